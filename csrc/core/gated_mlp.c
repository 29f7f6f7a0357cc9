#include "gated_mlp.h"

#include <string.h>

#include "gl_blas.h"
#include "gl_isa.h"
#include "gl_pool.h"

// Rows a block, chunks at most, values of a weight a task: fixed, so that sums do not depend on the
// threads.
enum { ROWS = 128, CHUNKS = 16, PIECE = 8192 };

#define REAL float
#define SUFFIX f32
#include "gated_mlp.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "gated_mlp.tmpl.h"
