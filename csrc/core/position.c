#include "position.h"

#include "gl_isa.h"
#include "gl_pool.h"

#include <string.h>

// Time steps a task.
enum { ROWS = 256 };

#define REAL float
#define SUFFIX f32
#include "position.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "position.tmpl.h"
