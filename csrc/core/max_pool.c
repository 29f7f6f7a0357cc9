#include "max_pool.h"

#include <string.h>

#include "gl_pool.h"

// Values of x a task, at least one plane.
enum { VALUES = 1 << 15 };

#define REAL float
#define SUFFIX f32
#include "max_pool.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "max_pool.tmpl.h"
