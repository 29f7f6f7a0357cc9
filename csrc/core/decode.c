#include "decode.h"

#include <string.h>

#include "gl_isa.h"
#include "gl_pool.h"

// Positions that go through a layer together, keys a task of attention, rows and columns of a
// product, its depth between two fetches of weights, words of the vocabulary a task.
enum { RUN = 32, KEYS = 256, ROWS = 48, COLS = 64, DEPTH = 16, WORDS = 64 };

#define REAL float
#define SUFFIX f32
#include "decode.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "decode.tmpl.h"
#undef REAL
#undef SUFFIX

gl_result gl_decode_first_check(const int64_t *first, ptrdiff_t H, ptrdiff_t P) {
    if (P > 0 && (H == 0 || first[0] != 0)) return (gl_result){GL_EVALUE, 0};
    for (ptrdiff_t h = 0; h < H; h++) {
        const int64_t before = h == 0 ? 0 : first[h - 1];
        if (first[h] < before || first[h] > P) return (gl_result){GL_EVALUE, h};
    }
    return gl_ok();
}

gl_result gl_decode_sample_check(const int64_t *sample, ptrdiff_t P, ptrdiff_t B) {
    for (ptrdiff_t p = 0; p < P; p++)
        if (sample[p] < 0 || sample[p] >= B) return (gl_result){GL_EINDEX, p};
    return gl_ok();
}
