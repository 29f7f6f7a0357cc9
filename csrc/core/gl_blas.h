// The only caller of BLAS.
//
// Products run on the calling thread: the library is held at one thread, and our own pool calls it
// on fixed blocks. Where its packing would be the cost, our own kernel takes the product. Without a
// library the plain C product serves, which is also the oracle.
#ifndef GL_BLAS_H
#define GL_BLAS_H

#include "gl_common.h"

// Entry points of a CBLAS with 32-bit integers; all NULL until gl_blas_set.
typedef struct {
    void (*sgemm)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                  int lda, const float *b, int ldb, float beta, float *c, int ldc);
    void (*dgemm)(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a,
                  int lda, const double *b, int ldb, double beta, double *c, int ldc);
} gl_blas_table;

// Choose the library for the rest of the process; NULL members select the plain C product.
void gl_blas_set(gl_blas_table table);

// C (M, N) = op(A) op(B) + beta * C, row-major; op transposes where ta, tb are set.
// lda, ldb, ldc are the row lengths in memory. With beta = 0, C is not read. All sizes must fit
// an int: bindings check their dimensions by gl_blas_fits.
void gl_gemm_f32(int ta, int tb, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const float *A,
                 ptrdiff_t lda, const float *B, ptrdiff_t ldb, float beta, float *C, ptrdiff_t ldc);
void gl_gemm_f64(int ta, int tb, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const double *A,
                 ptrdiff_t lda, const double *B, ptrdiff_t ldb, double beta, double *C,
                 ptrdiff_t ldc);

static inline int gl_blas_fits(ptrdiff_t n) { return n <= INT32_MAX; }

#endif
