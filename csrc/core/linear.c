#include "linear.h"

#include "gl_blas.h"
#include "gl_pool.h"

#include <string.h>

// Blocks of an activation, of dweight, and of dbias: fixed, so that no result depends on the number
// of threads. A block of dweight sums over all N rows, so there are no partial sums to add.
#ifndef ROWS
enum { ROWS = 128, COLS = 512, WROWS = 64, WCOLS = 512 };
#endif
enum { BCOLS = 256, BROWS = 64 };

#define REAL float
#define SUFFIX f32
#include "linear.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "linear.tmpl.h"
