// Runs of open gates: neighbours that are open together share one product.
#ifndef GL_RUNS_H
#define GL_RUNS_H

#include "gl_common.h"

#define REAL float
#define SUFFIX f32
#include "gl_runs.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "gl_runs.tmpl.h"
#undef REAL
#undef SUFFIX

// for each run [from, to) of open gates among n, `step` apart
#define FOR_RUNS(from, to, gate, step, n) \
    for (ptrdiff_t from = 0, to; to = FN(gl__next_run)(gate, step, &from, n), from < (n); from = to)

#endif
