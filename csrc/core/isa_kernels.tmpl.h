// Every hot topic, in one type. A new topic is included here and named in KERNELS.
#include "gl_math.tmpl.h"
#include "points_kernels.tmpl.h"

#include "activation_kernels.tmpl.h"
#include "advantage_kernels.tmpl.h"
#include "bernoulli_kernels.tmpl.h"
#include "categorical_kernels.tmpl.h"
#include "combiner_kernels.tmpl.h"
#include "decode_kernels.tmpl.h"
#include "dropout_kernels.tmpl.h"
#include "gaussian_kernels.tmpl.h"
#include "glimpse_kernels.tmpl.h"
#include "loss_kernels.tmpl.h"
#include "norm_kernels.tmpl.h"
#include "optim_kernels.tmpl.h"
#include "plackett_luce_kernels.tmpl.h"
#include "ppo_kernels.tmpl.h"
#include "product_kernels.tmpl.h"
#include "recurrent_kernels.tmpl.h"

// each of these uses what stands above
#include "additive_kernels.tmpl.h"
#include "position_kernels.tmpl.h"
#include "transpose_kernels.tmpl.h"

#include "attention_scores_kernels.tmpl.h"

#include "attention_backward_kernels.tmpl.h"
#include "attention_kernels.tmpl.h"
#include "hard_kernels.tmpl.h"

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
        .attention_weights_scratch = attention_weights_scratch_##S,         \
        .attention_forward_block = attention_forward_block_##S,             \
        .attention_weights_block = attention_weights_block_##S,             \
        .attention_backward_head = attention_backward_head_##S,             \
        .attention_bias_block = attention_bias_block_##S,                   \
        .additive_forward_row = additive_forward_row_##S,                   \
        .additive_backward_rows = additive_backward_rows_##S,               \
        .combiner_row = combiner_row_##S,                                   \
        .combiner_row_backward = combiner_row_backward_##S,                 \
        .gelu = gelu_##S,                                                   \
        .gelu_exact = gelu_exact_##S,                                       \
        .tanh_map = tanh_map_##S,                                           \
        .relu = relu_##S,                                                   \
        .sigmoid = sigmoid_##S,                                             \
        .gelu_backward = gelu_backward_##S,                                 \
        .gelu_exact_backward = gelu_exact_backward_##S,                     \
        .tanh_backward = tanh_backward_##S,                                 \
        .relu_backward = relu_backward_##S,                                 \
        .sigmoid_backward = sigmoid_backward_##S,                           \
        .softmax_rows = softmax_rows_##S,                                   \
        .softmax_rows_backward = softmax_rows_backward_##S,                 \
        .log_softmax_rows = log_softmax_rows_##S,                           \
        .log_softmax_rows_backward = log_softmax_rows_backward_##S,         \
        .cross_entropy_rows = cross_entropy_rows_##S,                       \
        .bernoulli_rows = bernoulli_rows_##S,                               \
        .bernoulli_sample_rows = bernoulli_sample_rows_##S,                 \
        .bernoulli_rows_backward = bernoulli_rows_backward_##S,             \
        .bernoulli_kl_rows = bernoulli_kl_rows_##S,                         \
        .categorical_rows = categorical_rows_##S,                           \
        .categorical_sample_rows = categorical_sample_rows_##S,             \
        .categorical_rows_backward = categorical_rows_backward_##S,         \
        .categorical_kl_rows = categorical_kl_rows_##S,                     \
        .hard_scratch = hard_scratch_##S,                                   \
        .hard_score_rows = hard_score_rows_##S,                             \
        .hard_draw_rows = hard_draw_rows_##S,                               \
        .hard_backward_keys = hard_backward_keys_##S,                       \
        .gumbel_scores = gumbel_scores_##S,                                 \
        .exp_sum = exp_sum_##S,                                             \
        .exp_scaled = exp_scaled_##S,                                       \
        .decode_block = decode_block_##S,                                   \
        .decode_combine = decode_combine_##S,                               \
        .gae_columns = gae_columns_##S,                                     \
        .leave_one_out_columns = leave_one_out_columns_##S,                 \
        .gaussian_rows = gaussian_rows_##S,                                 \
        .gaussian_sample_rows = gaussian_sample_rows_##S,                   \
        .gaussian_rows_backward = gaussian_rows_backward_##S,               \
        .glimpse_patch = glimpse_patch_##S,                                 \
        .glimpse_patch_backward = glimpse_patch_backward_##S,               \
        .ppo_rows = ppo_rows_##S,                                           \
        .ppo_value_rows = ppo_value_rows_##S,                               \
        .rnn_step = rnn_step_##S,                                           \
        .lstm_step = lstm_step_##S,                                         \
        .gru_step = gru_step_##S,                                           \
        .rnn_step_backward = rnn_step_backward_##S,                         \
        .lstm_step_backward = lstm_step_backward_##S,                       \
        .gru_step_backward = gru_step_backward_##S,                         \
        .adamw = adamw_##S,                                                 \
        .sum_squares = sum_squares_##S,                                     \
    }
#endif
