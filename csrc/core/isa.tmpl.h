// All hot kernels for the instruction set ISA with vectors of VECTOR_BYTES, and their table.
#include "gl_isa.h"
#include "ppo.h"

#include <math.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

// A loop over lanes. Kept from being unrolled before gcc vectorises, which it then does worse.
#ifdef __clang__
#define EACH_LANE(k) for (int k = 0; k < LANES; k++)
#else
#define EACH_LANE(k) _Pragma("GCC unroll 1") for (int k = 0; k < LANES; k++)
#endif

// The loop below carries nothing from one turn to the next, also where an output is an input.
#ifdef __clang__
#define GL_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#else
#define GL_IVDEP _Pragma("GCC ivdep")
#endif

// One multiply-add of vectors; fused where the instruction set has it.
#if VECTOR_BYTES == 64
#define FMA_f32(a, b, c) ((vec_f32)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define FMA_f64(a, b, c) ((vec_f64)_mm512_fmadd_pd((__m512d)(a), (__m512d)(b), (__m512d)(c)))
#elif VECTOR_BYTES == 32
#define FMA_f32(a, b, c) ((vec_f32)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define FMA_f64(a, b, c) ((vec_f64)_mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(c)))
#else
#define FMA_f32(a, b, c) ((a) * (b) + (c))
#define FMA_f64(a, b, c) ((a) * (b) + (c))
#endif

// A vector of one value.
#if VECTOR_BYTES == 64
#define SPLAT_f32(x) ((vec_f32)_mm512_set1_ps(x))
#define SPLAT_f64(x) ((vec_f64)_mm512_set1_pd(x))
#elif VECTOR_BYTES == 32
#define SPLAT_f32(x) ((vec_f32)_mm256_set1_ps(x))
#define SPLAT_f64(x) ((vec_f64)_mm256_set1_pd(x))
#else
#define SPLAT_f32(x) ((vec_f32){0} + (x))
#define SPLAT_f64(x) ((vec_f64){0} + (x))
#endif

typedef float vec_f32 __attribute__((vector_size(VECTOR_BYTES)));
typedef double vec_f64 __attribute__((vector_size(VECTOR_BYTES)));

#include "fold.tmpl.h"

#define REAL float
#define UINT uint32_t
#define SUFFIX f32
#define MATH(name) name##f
#include "isa_kernels.tmpl.h"
#undef REAL
#undef UINT
#undef SUFFIX
#undef MATH

#define REAL double
#define UINT uint64_t
#define SUFFIX f64
#define MATH(name) name
#include "isa_kernels.tmpl.h"

#define STRING_(x) #x
#define STRING(x) STRING_(x)

const gl_isa GL_PASTE(gl_isa, ISA) = {
    .name = STRING(ISA),
    .f32 = KERNELS(f32),
    .f64 = KERNELS(f64),
};
