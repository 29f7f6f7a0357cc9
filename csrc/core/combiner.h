// Weight Sharing Attention: the embeddings of several models, adapted to one width, scored in a
// context by a network that all of them share, and summed by their normalised scores.
//
// For a sample with embeddings f_i of the models i, of which s is the context,
//
//   e_i   = relu(layer_norm(f_i W_i + b_i))        or f_i W_i + b_i
//   u_i   = v . relu(e_s A + e_i B + a) + c        or v . [e_s, e_i] + c
//   w_i   = exp(u_i) / sum_j exp(u_j)              or the same of softplus(u)
//   state = sum_i w_i e_i
//
// over the models that the sample has, without the context unless it is weighed. softplus, for
// which a rectifier is published, leaves no score without a gradient; its quotients are formed from
// logarithms, so that any scores have weights. What a sample lacks is neither read nor computed.
// NaN propagates within a sample.
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

// Values a sample of `saved`; -1 where they do not fit. `norm`: whether adapters have a layer norm.
//
//   M (C + S + 1), and M (C + 2) more with `norm`
ptrdiff_t gl_combiner_saved_width(ptrdiff_t M, ptrdiff_t C, ptrdiff_t S, int norm);

// GL_EVALUE and the row of the first sample that lacks the context, or all that is weighed, or has
// a flag that is not 0 or 1. `present` (B, M) may be NULL.
gl_result gl_combiner_check_present(const uint8_t *present, ptrdiff_t B, ptrdiff_t M,
                                    ptrdiff_t context, int weigh_context);

// Fills state, weights and saved. `present` must have passed the check.
//   work  gl_combiner_forward_workspace_*() bytes, aligned to GL_ALIGN
void gl_combiner_forward_f32(const gl_combiner_f32 *a, void *work, int nth);
void gl_combiner_forward_f64(const gl_combiner_f64 *a, void *work, int nth);

// Fills dfeatures, adds to the gradients of the parameters.
//   work  gl_combiner_backward_workspace_*() bytes, aligned to GL_ALIGN
void gl_combiner_backward_f32(const gl_combiner_f32 *a, void *work, int nth);
void gl_combiner_backward_f64(const gl_combiner_f64 *a, void *work, int nth);

// Workspaces in bytes; -1 where they do not fit.
ptrdiff_t gl_combiner_forward_workspace_f32(const gl_combiner_f32 *a, int nth);
ptrdiff_t gl_combiner_forward_workspace_f64(const gl_combiner_f64 *a, int nth);
ptrdiff_t gl_combiner_backward_workspace_f32(const gl_combiner_f32 *a, int nth);
ptrdiff_t gl_combiner_backward_workspace_f64(const gl_combiner_f64 *a, int nth);

#endif
