#include "conv.h"

#include <string.h>

#include "gl_blas.h"
#include "gl_isa.h"
#include "gl_pool.h"

// Chunks at most, values of dweight a task, values of a block of patches (which stays in the second
// cache): fixed, so that sums do not depend on the threads.
enum { CHUNKS = 16, PIECE = 8192, BLOCK = 1 << 16 };

typedef struct {
    ptrdiff_t from, to;
} range;

// The outputs from <= i < to, of n, that see the image through place k of the kernel, at
// i * stride + k - padding; the others see padding.
static range outputs_inside(ptrdiff_t k, ptrdiff_t size, ptrdiff_t n, ptrdiff_t stride,
                            ptrdiff_t padding) {
    const ptrdiff_t start = GL_MAX(0, padding - k), end = GL_MAX(0, padding - k + size);
    const ptrdiff_t from = GL_MIN(n, GL_CEIL_DIV(start, stride));
    return (range){from, GL_MAX(from, GL_MIN(n, GL_CEIL_DIV(end, stride)))};
}

#define REAL float
#define SUFFIX f32
#include "conv.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "conv.tmpl.h"
