#include "activation.h"

#include "gl_isa.h"
#include "gl_pool.h"

// Elements a task.
enum { CHUNK = 16384 };

#define REAL float
#define SUFFIX f32
#include "activation.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "activation.tmpl.h"
