#include "embedding.h"

#include "gl_pool.h"

#include <string.h>

// Forward: rows a task. Backward: a task owns these columns of dtable and walks all rows in order,
// so no two tasks add to one place.
enum { ROWS = 128, COLS = 32 };

static gl_result check_indices(const int64_t *idx, ptrdiff_t N, ptrdiff_t V) {
    for (ptrdiff_t n = 0; n < N; n++)
        if (idx[n] < 0 || idx[n] >= V) return (gl_result){GL_EINDEX, n};
    return gl_ok();
}

#define REAL float
#define SUFFIX f32
#include "embedding.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "embedding.tmpl.h"
