#include "optim.h"

#include "gl_isa.h"
#include "gl_pool.h"

#include <math.h>

// Elements a task: fixed, so that partial sums do not depend on the number of threads.
enum { CHUNK = 16384 };

ptrdiff_t gl_grad_norm_workspace(ptrdiff_t P) { return GL_CEIL_DIV(P, CHUNK); }

#define REAL float
#define SUFFIX f32
#include "optim.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "optim.tmpl.h"
