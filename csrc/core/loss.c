#include "loss.h"

#include "gl_isa.h"
#include "gl_pool.h"

// Values a task, at least one row.
enum { CHUNK = 16384 };

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
