#include "gl_blas.h"
#include "gl_isa.h"

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };

#define SMALL (256 << 10)  // bytes of a matrix that a product may read again and again

static gl_blas_table blas;

void gl_blas_set(gl_blas_table table) { blas = table; }

#define REAL float
#define SUFFIX f32
#define GEMM sgemm
#include "gl_blas.tmpl.h"
#undef REAL
#undef SUFFIX
#undef GEMM

#define REAL double
#define SUFFIX f64
#define GEMM dgemm
#include "gl_blas.tmpl.h"
