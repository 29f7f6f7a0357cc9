#include "gaussian.h"

#include "gl_isa.h"
#include "gl_pool.h"

#include <math.h>

// Elements a task, at least one row.
enum { ELEMENTS = 4096 };

// Log-density of K variables at their mean: -K log(std sqrt(2 pi)).
static double log_scale(double std, ptrdiff_t K) {
    return -(double)K * (log(std) + 0.91893853320467274178);
}

#define REAL float
#define SUFFIX f32
#include "gaussian.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "gaussian.tmpl.h"
