// Rows to columns, in squares of one vector that are turned in registers.

#ifndef PANEL
// Columns of a packed panel: what one tile of a product covers.
#define PANEL GL_MAX(2 * VL, LANES)

#define LOW_2 0, 2
#define HIGH_2 1, 3
#define LOW_4 0, 4, 1, 5
#define HIGH_4 2, 6, 3, 7
#define LOW_8 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_8 4, 12, 5, 13, 6, 14, 7, 15
#define LOW_16 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_16 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#if VECTOR_BYTES == 64
#define PICK(what, suffix) PICK_##suffix(what##_16, what##_8)
#elif VECTOR_BYTES == 32
#define PICK(what, suffix) PICK_##suffix(what##_8, what##_4)
#else
#define PICK(what, suffix) PICK_##suffix(what##_4, what##_2)
#endif
#define PICK_f32(f32, f64) f32
#define PICK_f64(f32, f64) f64
#define PICK_OF(what, suffix) PICK(what, suffix)

// The first halves of two vectors, lane by lane in turn, and the second halves.
#ifdef __clang__
#define INTERLEAVE(a, b, what) __builtin_shufflevector(a, b, PICK_OF(what, SUFFIX))
#else
#define INTERLEAVE(a, b, what) __builtin_shuffle(a, b, (INDICES){PICK_OF(what, SUFFIX)})
#endif
typedef int32_t indices_f32 __attribute__((vector_size(VECTOR_BYTES)));
typedef int64_t indices_f64 __attribute__((vector_size(VECTOR_BYTES)));
#define INDICES GL_PASTE(indices, SUFFIX)
#endif

// VL columns, `ldt` apart, from the VL first values of n <= VL rows; rows that are missing are 0.
static inline void FN(transpose_square)(REAL *restrict to, ptrdiff_t ldt, const REAL *restrict x,
                                        ptrdiff_t stride, ptrdiff_t n) {
    VEC row[VL], next[VL];
#pragma GCC unroll 16
    for (ptrdiff_t i = 0; i < VL; i++) row[i] = i < n ? FN(load)(x + i*stride) : (VEC){0};

    // each round moves the top bit of a value's row to the end of its column and back
#pragma GCC unroll 4
    for (ptrdiff_t round = 1; round < VL; round *= 2) {
#pragma GCC unroll 8
        for (ptrdiff_t i = 0; i < VL / 2; i++) {
            next[2*i] = INTERLEAVE(row[i], row[i + VL/2], LOW);
            next[2*i + 1] = INTERLEAVE(row[i], row[i + VL/2], HIGH);
        }
#pragma GCC unroll 16
        for (ptrdiff_t i = 0; i < VL; i++) row[i] = next[i];
    }
#pragma GCC unroll 16
    for (ptrdiff_t i = 0; i < VL; i++) FN(store)(to + i*ldt, row[i]);
}

// to (n / PANEL, D, PANEL) = n rows of x, transposed panel by panel; what fills a panel up to a
// multiple of LANES columns is 0.
static void FN(pack_panels)(REAL *restrict to, const REAL *restrict x, ptrdiff_t stride,
                            ptrdiff_t n, ptrdiff_t D) {
    for (ptrdiff_t s = 0; s < GL_CEIL_DIV(n, LANES) * LANES; s += VL) {
        REAL *panel = to + s / PANEL * PANEL*D + s % PANEL;
        const REAL *x_s = x + s*stride;
        const ptrdiff_t rows = GL_MAX(0, GL_MIN(VL, n - s));
        ptrdiff_t d = 0;
        for (; d + VL <= D; d += VL)
            FN(transpose_square)(panel + d*PANEL, PANEL, x_s + d, stride, rows);
        for (; d < D; d++)
            for (ptrdiff_t i = 0; i < VL; i++)
                panel[d*PANEL + i] = i < rows ? x_s[i*stride + d] : 0;
    }
}
