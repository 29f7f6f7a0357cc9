// One member a hot kernel. What a kernel computes is said where it is defined.
typedef struct {
    // product_kernels
    void (*product)(REAL *C, ptrdiff_t ldc, const REAL *A, ptrdiff_t rsa, ptrdiff_t csa,
                    const REAL *B, ptrdiff_t ldb, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K,
                    int accumulate);
    REAL (*dot)(const REAL *x, const REAL *y, ptrdiff_t n);

    // norm_kernels
    void (*layer_norm_rows)(REAL *out, REAL *mean, REAL *rstd, const REAL *x, const REAL *weight,
                            const REAL *bias, REAL eps, ptrdiff_t N, ptrdiff_t C);
    void (*layer_norm_rows_backward)(REAL *dx, REAL *dweight, REAL *dbias, const REAL *dout,
                                     const REAL *x, const REAL *mean, const REAL *rstd,
                                     const REAL *weight, int accumulate, ptrdiff_t N, ptrdiff_t C);

    // position_kernels
    void (*token_shift)(REAL *restrict m, const REAL *restrict n, const REAL *restrict shift,
                        ptrdiff_t T, ptrdiff_t C);
    void (*token_shift_backward)(REAL *restrict dn, REAL *restrict dshift, const REAL *restrict dm,
                                 const REAL *restrict n, const REAL *restrict shift, ptrdiff_t T,
                                 ptrdiff_t C);
    void (*rotate)(REAL *x, ptrdiff_t stride, const REAL *cosine, const REAL *sine, int inverse,
                   ptrdiff_t T, ptrdiff_t D);

    // attention_kernels: scratch in bytes, aligned to GL_ALIGN
    ptrdiff_t (*attention_forward_scratch)(ptrdiff_t D, ptrdiff_t E);
    ptrdiff_t (*attention_backward_scratch)(ptrdiff_t D, ptrdiff_t E);
    void (*attention_forward_block)(const FN(gl_attention) *a, ptrdiff_t b, ptrdiff_t h,
                                    ptrdiff_t q0, void *scratch);
    void (*attention_backward_head)(const FN(gl_attention) *a, ptrdiff_t b, ptrdiff_t h,
                                    void *scratch);
} FN(gl_kernels);
