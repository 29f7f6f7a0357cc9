#ifdef __x86_64__
#define ISA avx512
#define VECTOR_BYTES 64
#ifdef __clang__
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif
#include "isa.tmpl.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
