#include "combiner.h"

#include <string.h>

#include "gl_blas.h"
#include "gl_isa.h"
#include "gl_pool.h"
#include "linear.h"

// Rows of a model and samples a task; pieces that the adapters' weights are cut into, and rows that
// each has at least. Fixed, so that sums do not depend on the threads; large products copy less.
enum { ROWS = 256, SAMPLES = 64, PIECES = 16, PIECE_ROWS = 64 };

// Multiply-adds of some ten microseconds: less is not worth a second thread.
static const double SMALL = 1 << 21;

ptrdiff_t gl_combiner_saved_width(ptrdiff_t M, ptrdiff_t C, ptrdiff_t S, int norm) {
    const ptrdiff_t plain = gl_size_add(gl_size_add(C, S), 1);
    return gl_size_mul(M, norm ? gl_size_add(plain, gl_size_add(C, 2)) : plain);
}

gl_result gl_combiner_check_present(const uint8_t *present, ptrdiff_t B, ptrdiff_t M,
                                    ptrdiff_t context, int weigh_context) {
    if (present == NULL) return gl_ok();
    for (ptrdiff_t b = 0; b < B; b++) {
        const uint8_t *row = present + b*M;
        ptrdiff_t weighed = 0;
        for (ptrdiff_t i = 0; i < M; i++) {
            if (row[i] > 1) return (gl_result){GL_EVALUE, b};
            weighed += row[i] && (i != context || weigh_context);
        }
        if (!row[context] || weighed == 0) return (gl_result){GL_EVALUE, b};
    }
    return gl_ok();
}

#define REAL float
#define SUFFIX f32
#include "combiner.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "combiner.tmpl.h"
