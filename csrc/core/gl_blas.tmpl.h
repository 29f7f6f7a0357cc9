// Rows of C one by one, so that the inner loop runs along memory.
static void FN(plain_gemm)(int ta, int tb, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const REAL *A,
                           ptrdiff_t lda, const REAL *B, ptrdiff_t ldb, REAL beta, REAL *C,
                           ptrdiff_t ldc) {
    for (ptrdiff_t m = 0; m < M; m++) {
        REAL *c_m = C + m*ldc;
        for (ptrdiff_t n = 0; n < N; n++) c_m[n] = beta == 0 ? 0 : beta * c_m[n];
        for (ptrdiff_t k = 0; k < K; k++) {
            const REAL a = ta ? A[k*lda + m] : A[m*lda + k];
            if (tb)
                for (ptrdiff_t n = 0; n < N; n++) c_m[n] += a * B[n*ldb + k];
            else
                for (ptrdiff_t n = 0; n < N; n++) c_m[n] += a * B[k*ldb + n];
        }
    }
}

void FN(gl_gemm)(int ta, int tb, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const REAL *A,
                 ptrdiff_t lda, const REAL *B, ptrdiff_t ldb, REAL beta, REAL *C, ptrdiff_t ldc) {
    if (M == 0 || N == 0) return;
    if (blas.GEMM == NULL || K == 0) {
        FN(plain_gemm)(ta, tb, M, N, K, A, lda, B, ldb, beta, C, ldc);
        return;
    }
    // where B stays in cache, packing costs more than it saves; columns must fill vectors
    if (!tb && N % 16 == 0 && N*K <= SMALL / (ptrdiff_t)sizeof(REAL) && (beta == 0 || beta == 1)) {
        GL_K(product)(C, ldc, A, ta ? 1 : lda, ta ? lda : 1, B, ldb, M, N, K, beta != 0);
        return;
    }
    blas.GEMM(ROW_MAJOR, ta ? TRANS : NO_TRANS, tb ? TRANS : NO_TRANS, (int)M, (int)N, (int)K, 1, A,
              (int)lda, B, (int)ldb, beta, C, (int)ldc);
}
