#include "combiner.h"

#include <string.h>

#include "gl_isa.h"
#include "gl_pool.h"
#include "linear.h"
#include "norm.h"

// Samples of a task, and columns of one that sums over samples.
enum { ROWS = 32, COLS = 64 };

// Values below which one thread is faster than waking others.
enum { FEW = 1 << 15 };

#define REAL float
#define SUFFIX f32
#include "combiner.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "combiner.tmpl.h"
#undef REAL
#undef SUFFIX

gl_result gl_combine_columns_check(const int64_t *columns, ptrdiff_t M, ptrdiff_t D) {
    if (columns[0] != 0) return (gl_result){GL_EVALUE, 0};
    for (ptrdiff_t i = 0; i < M; i++)
        if (columns[i + 1] < columns[i]) return (gl_result){GL_EVALUE, i + 1};
    return columns[M] == D ? gl_ok() : (gl_result){GL_EVALUE, M};
}
