#include "gated_heads.h"

#include <string.h>

#include "gl_blas.h"
#include "gl_isa.h"
#include "gl_pool.h"

// Chunks at most and rows of one at least: fixed, so that sums do not depend on the threads.
enum { CHUNKS = 16, CHUNK_ROWS = 128 };

#define REAL float
#define SUFFIX f32
#include "gated_heads.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "gated_heads.tmpl.h"
