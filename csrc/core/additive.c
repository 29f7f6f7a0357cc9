#include "additive.h"

#include "gl_isa.h"
#include "gl_pool.h"

#include <string.h>

// Queries a task of forward; tasks of backward, at least, where there are queries enough.
enum { ROWS = 16, TASKS = 8 };

static ptrdiff_t part_rows(ptrdiff_t B, ptrdiff_t Tq) {
    const ptrdiff_t parts = GL_CEIL_DIV(TASKS, GL_MAX(B, 1));
    return GL_MAX(GL_CEIL_DIV(Tq, parts), 1);
}

#define REAL float
#define SUFFIX f32
#include "additive.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "additive.tmpl.h"
