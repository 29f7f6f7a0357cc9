// Every hot topic, in one type. A new topic is included here and named in KERNELS.
#include "gl_math.tmpl.h"

#include "norm_kernels.tmpl.h"
#include "product_kernels.tmpl.h"

#ifndef KERNELS
#define KERNELS(S)                                                          \
    {                                                                       \
        .vector_length = VECTOR_BYTES / (ptrdiff_t)sizeof(((vec_##S){0})[0]), \
        .product = product_##S,                                             \
        .layer_norm_rows = layer_norm_rows_##S,                             \
        .layer_norm_rows_backward = layer_norm_rows_backward_##S,           \
    }
#endif
