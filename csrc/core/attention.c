#include "attention.h"

#include "gl_isa.h"
#include "gl_pool.h"

#define REAL float
#define SUFFIX f32
#include "attention.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "attention.tmpl.h"

gl_result gl_lengths_check(const int64_t *lengths, ptrdiff_t B, ptrdiff_t T) {
    for (ptrdiff_t b = 0; lengths && b < B; b++)
        if (lengths[b] < 0 || lengths[b] > T) return (gl_result){GL_EVALUE, b};
    return gl_ok();
}
