#include "norm.h"

#include "gl_isa.h"
#include "gl_pool.h"

#include <string.h>

// Rows a task: fixed, so that partial sums do not depend on the number of threads.
enum { ROWS = 64 };

ptrdiff_t gl_layer_norm_backward_workspace(ptrdiff_t N, ptrdiff_t C) {
    return gl_size_mul(gl_size_mul(2, GL_CEIL_DIV(N, ROWS)), C);
}

#define REAL float
#define SUFFIX f32
#include "norm.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "norm.tmpl.h"
