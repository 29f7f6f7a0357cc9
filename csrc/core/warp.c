#include "warp.h"

#include <math.h>
#include <string.h>

#include "gl_pool.h"

#define REAL float
#define SUFFIX f32
#include "warp.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "warp.tmpl.h"
