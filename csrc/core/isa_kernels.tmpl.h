// Every hot topic, in one type. A new topic is included here and named in KERNELS.
#include "gl_math.tmpl.h"

#include "advantage_kernels.tmpl.h"
#include "bernoulli_kernels.tmpl.h"
#include "categorical_kernels.tmpl.h"
#include "norm_kernels.tmpl.h"
#include "ppo_kernels.tmpl.h"
#include "product_kernels.tmpl.h"

#ifndef KERNELS
#define KERNELS(S)                                                          \
    {                                                                       \
        .vector_length = VECTOR_BYTES / (ptrdiff_t)sizeof(((vec_##S){0})[0]), \
        .product = product_##S,                                             \
        .layer_norm_rows = layer_norm_rows_##S,                             \
        .layer_norm_rows_backward = layer_norm_rows_backward_##S,           \
        .bernoulli_rows = bernoulli_rows_##S,                               \
        .bernoulli_sample_rows = bernoulli_sample_rows_##S,                 \
        .bernoulli_rows_backward = bernoulli_rows_backward_##S,             \
        .bernoulli_kl_rows = bernoulli_kl_rows_##S,                         \
        .categorical_rows = categorical_rows_##S,                           \
        .categorical_sample_rows = categorical_sample_rows_##S,             \
        .categorical_rows_backward = categorical_rows_backward_##S,         \
        .categorical_kl_rows = categorical_kl_rows_##S,                     \
        .gae_columns = gae_columns_##S,                                     \
        .leave_one_out_columns = leave_one_out_columns_##S,                 \
        .ppo_rows = ppo_rows_##S,                                           \
        .ppo_value_rows = ppo_value_rows_##S,                               \
    }
#endif
