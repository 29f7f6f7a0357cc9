// Weight Sharing Attention: embeddings of several models, weighed in a context by one scorer that
// all of them share.
//
//   e_i     = max(layer_norm(x_i weight_i + bias_i), 0)         or x_i weight_i + bias_i
//   h_i     = max(e_s context_weight + e_i model_weight + hidden_bias, 0)
//   u_i     = <h_i, score_weight> + score_bias
//   w_i     = g(u_i) / sum_j g(u_j),  g = exp, or softplus with `linear`
//   state   = sum_i w_i e_i
//
// x_i is what stands in the columns of model i, s is the model that gives the context. Without
// score_weight, u_i is h_i before its maximum, plus score_bias. Softplus is taken in logarithms:
// w is exact however small all of it is. A model that a sample does not have, or that is only
// context, has weight 0; its columns are not read. Where a sample lacks the context, e_s is 0.
#ifndef GL_COMBINER_H
#define GL_COMBINER_H

#include "gl_common.h"

#define REAL float
#define SUFFIX f32
#include "combiner_args.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "combiner_args.tmpl.h"
#undef REAL
#undef SUFFIX

// Fills state and what backward reads. All sizes must fit an int.
//   work  gl_combine_forward_workspace_*() bytes, aligned to GL_ALIGN
//
// GL_EVALUE names the lowest sample that has no model to weigh; the outputs are then unspecified.
gl_result gl_combine_forward_f32(const gl_combine_f32 *a, void *work, int nth);
gl_result gl_combine_forward_f64(const gl_combine_f64 *a, void *work, int nth);

// Gradients of sum <dstate, state> + <dweights, weights>: fills dx, adds to those of the parameters.
//   work  gl_combine_backward_workspace_*() bytes, aligned to GL_ALIGN
void gl_combine_backward_f32(const gl_combine_f32 *a, void *work, int nth);
void gl_combine_backward_f64(const gl_combine_f64 *a, void *work, int nth);

// Workspaces in bytes; -1 where they do not fit.
ptrdiff_t gl_combine_forward_workspace_f32(const gl_combine_f32 *a, int nth);
ptrdiff_t gl_combine_forward_workspace_f64(const gl_combine_f64 *a, int nth);
ptrdiff_t gl_combine_backward_workspace_f32(const gl_combine_f32 *a, int nth);
ptrdiff_t gl_combine_backward_workspace_f64(const gl_combine_f64 *a, int nth);

// Whether `columns` begin at 0, grow, and end at D; GL_EVALUE names the first that does not.
gl_result gl_combine_columns_check(const int64_t *columns, ptrdiff_t M, ptrdiff_t D);

#endif
