#include "glimpse.h"

#include "gl_isa.h"
#include "gl_pool.h"

#include <math.h>

// Outputs a task of forward, at least one location.
enum { OUTPUTS = 4096 };

// The place on an axis of n pixels, pixel 0 at 0, of a coordinate from -1 to 1 edge to edge.
static double pixel(double coordinate, ptrdiff_t n) {
    return (coordinate * (double)n + (double)(n - 1)) / 2;
}

#define REAL float
#define SUFFIX f32
#include "glimpse.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "glimpse.tmpl.h"
