// One member a hot kernel. What a kernel computes is said where it is defined.
typedef struct {
    // product_kernels: values in a vector; widths that kernels ask for are multiples of it
    ptrdiff_t vector_length;
    void (*product)(REAL *C, ptrdiff_t ldc, const REAL *A, ptrdiff_t rsa, ptrdiff_t csa,
                    const REAL *B, ptrdiff_t ldb, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K,
                    int accumulate);

    // norm_kernels
    void (*layer_norm_rows)(REAL *out, REAL *mean, REAL *rstd, const REAL *x, const REAL *weight,
                            const REAL *bias, REAL eps, ptrdiff_t N, ptrdiff_t C);
    void (*layer_norm_rows_backward)(REAL *dx, REAL *dweight, REAL *dbias, const REAL *dout,
                                     const REAL *x, const REAL *mean, const REAL *rstd,
                                     const REAL *weight, int accumulate, ptrdiff_t N, ptrdiff_t C);
} FN(gl_kernels);
