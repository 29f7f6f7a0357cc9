#include "linear.h"

#include "gl_blas.h"
#include "gl_pool.h"

#include <string.h>

// Blocks depend on the sizes alone, so that no result depends on the number of threads. One of
// dweight sums over all N rows: there are no partial sums to add.
enum { COLS = 512, BCOLS = 256, BROWS = 64 };

// Multiply-adds of some ten microseconds: less is not worth a second thread.
static const double SMALL = 1 << 21;

static int is_small(ptrdiff_t N, ptrdiff_t I, ptrdiff_t O) {
    return (double)N * (double)I * (double)O < SMALL;
}

// Rows of a block of y or dx: many make a faster product, few make more tasks.
static ptrdiff_t block_rows(ptrdiff_t N, ptrdiff_t I, ptrdiff_t O) {
    ptrdiff_t rows = N >= 2048 ? 256 : 128;
    while (rows < N && is_small(rows, I, O)) rows *= 2;
    return rows;
}

// Rows of a block of dweight (R, C).
static ptrdiff_t dweight_rows(ptrdiff_t R, ptrdiff_t C) {
    return GL_CEIL_DIV(R, 128) * GL_CEIL_DIV(C, COLS) >= 4 ? 128 : 64;
}

#define REAL float
#define SUFFIX f32
#include "linear.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "linear.tmpl.h"
