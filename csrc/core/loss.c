#include "loss.h"

#include "gl_isa.h"
#include "gl_pool.h"

// Rows a task: about this many values.
enum { CHUNK = 16384 };

static ptrdiff_t rows_a_task(ptrdiff_t V) { return GL_MAX(1, CHUNK / GL_MAX(1, V)); }

static gl_result check_targets(const int64_t *targets, int64_t ignore_index, ptrdiff_t N,
                               ptrdiff_t V) {
    for (ptrdiff_t n = 0; n < N; n++)
        if ((targets[n] < 0 || targets[n] >= V) && targets[n] != ignore_index)
            return (gl_result){GL_EINDEX, n};
    return gl_ok();
}

#define REAL float
#define SUFFIX f32
#include "loss.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "loss.tmpl.h"
