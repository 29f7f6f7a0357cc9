// C (M, N) = A (M, K) B (K, N), or C += it: the register-blocked product of the small matrices in
// attention. A is reached by a row and a column stride, so it may be transposed.
//
// A tile of MR rows by two vectors is held in registers while k runs: one load of B feeds MR
// multiply-adds.

#ifndef PRODUCT_ROWS
#define VEC GL_PASTE(vec, SUFFIX)
#define FMA GL_PASTE(FMA, SUFFIX)
#define SPLAT GL_PASTE(SPLAT, SUFFIX)
#define VL (VECTOR_BYTES / (ptrdiff_t)sizeof(REAL))

#if VECTOR_BYTES == 64
#define PRODUCT_ROWS 12
#else
#define PRODUCT_ROWS 6
#endif
#endif

static inline VEC FN(load)(const REAL *p) {
    VEC v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void FN(store)(REAL *p, VEC v) { memcpy(p, &v, sizeof v); }

// The first n values only, for columns that do not fill a vector.
static inline VEC FN(load_part)(const REAL *p, ptrdiff_t n) {
    VEC v = {0};
    for (ptrdiff_t i = 0; i < n; i++) v[i] = p[i];
    return v;
}

static inline void FN(store_part)(REAL *p, VEC v, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) p[i] = v[i];
}

// MR rows of C by NV vectors, or by the `part` first columns where part > 0. MR and NV are
// constants at every call.
static inline __attribute__((always_inline)) void FN(product_tile)(
    int MR, int NV, ptrdiff_t part, REAL *C, ptrdiff_t ldc, const REAL *A, ptrdiff_t rsa,
    ptrdiff_t csa, const REAL *B, ptrdiff_t ldb, ptrdiff_t K, int accumulate) {
    VEC acc[PRODUCT_ROWS][2];
#pragma GCC unroll 16
    for (int m = 0; m < MR; m++) {
#pragma GCC unroll 2
        for (int v = 0; v < NV; v++)
            acc[m][v] = !accumulate ? (VEC){0}
                        : part      ? FN(load_part)(C + m*ldc, part)
                                    : FN(load)(C + m*ldc + v*VL);
    }
    for (ptrdiff_t k = 0; k < K; k++) {
        VEC b[2];
#pragma GCC unroll 2
        for (int v = 0; v < NV; v++)
            b[v] = part ? FN(load_part)(B + k*ldb, part) : FN(load)(B + k*ldb + v*VL);
#pragma GCC unroll 16
        for (int m = 0; m < MR; m++) {
            const VEC a = SPLAT(A[m*rsa + k*csa]);
#pragma GCC unroll 2
            for (int v = 0; v < NV; v++) acc[m][v] = FMA(a, b[v], acc[m][v]);
        }
    }
#pragma GCC unroll 16
    for (int m = 0; m < MR; m++) {
#pragma GCC unroll 2
        for (int v = 0; v < NV; v++) {
            if (part)
                FN(store_part)(C + m*ldc, acc[m][v], part);
            else
                FN(store)(C + m*ldc + v*VL, acc[m][v]);
        }
    }
}

// All rows of one column panel, NV vectors wide.
static inline __attribute__((always_inline)) void FN(product_panel)(
    int NV, ptrdiff_t part, REAL *C, ptrdiff_t ldc, const REAL *A, ptrdiff_t rsa, ptrdiff_t csa,
    const REAL *B, ptrdiff_t ldb, ptrdiff_t M, ptrdiff_t K, int accumulate) {
    ptrdiff_t m = 0;
#define ROWS(MR)                                                                              \
    for (; m + MR <= M; m += MR)                                                              \
        FN(product_tile)(MR, NV, part, C + m*ldc, ldc, A + m*rsa, rsa, csa, B, ldb, K, accumulate);
    ROWS(PRODUCT_ROWS)
    if (PRODUCT_ROWS > 8) ROWS(8)
    ROWS(4)
    ROWS(2)
    ROWS(1)
#undef ROWS
}

static void FN(product)(REAL *C, ptrdiff_t ldc, const REAL *A, ptrdiff_t rsa, ptrdiff_t csa,
                        const REAL *B, ptrdiff_t ldb, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K,
                        int accumulate) {
    ptrdiff_t n = 0;
    for (; n + 2*VL <= N; n += 2*VL)
        FN(product_panel)(2, 0, C + n, ldc, A, rsa, csa, B + n, ldb, M, K, accumulate);
    for (; n + VL <= N; n += VL)
        FN(product_panel)(1, 0, C + n, ldc, A, rsa, csa, B + n, ldb, M, K, accumulate);
    if (n < N) FN(product_panel)(1, N - n, C + n, ldc, A, rsa, csa, B + n, ldb, M, K, accumulate);
}
