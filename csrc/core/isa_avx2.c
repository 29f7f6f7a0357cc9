#ifdef __x86_64__
#define ISA avx2
#define VECTOR_BYTES 32
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#include "isa.tmpl.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
