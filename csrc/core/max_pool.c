#include "max_pool.h"

#include <string.h>

#include "gl_pool.h"

// Values of x a task, at least one plane.
enum { VALUES = 1 << 15 };

static ptrdiff_t planes_a_task(ptrdiff_t H, ptrdiff_t W) {
    return GL_MAX(1, VALUES / GL_MAX(1, H*W));
}

#define REAL float
#define SUFFIX f32
#include "max_pool.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "max_pool.tmpl.h"
