// Every hot topic, in one type. A new topic is included here and named in KERNELS.
#include "gl_math.tmpl.h"

#include "norm_kernels.tmpl.h"
#include "position_kernels.tmpl.h"
#include "product_kernels.tmpl.h"

#include "attention_kernels.tmpl.h"

#ifndef KERNELS
#define KERNELS(S)                                                          \
    {                                                                       \
        .product = product_##S,                                             \
        .dot = dot__##S,                                                    \
        .layer_norm_rows = layer_norm_rows_##S,                             \
        .layer_norm_rows_backward = layer_norm_rows_backward_##S,           \
        .token_shift = token_shift_##S,                                     \
        .token_shift_backward = token_shift_backward_##S,                   \
        .rotate = rotate_##S,                                               \
        .attention_forward_scratch = attention_forward_scratch_##S,         \
        .attention_backward_scratch = attention_backward_scratch_##S,       \
        .attention_forward_block = attention_forward_block_##S,             \
        .attention_backward_head = attention_backward_head_##S,             \
    }
#endif
