// The gated multi-head layer: a pre-norm residual block of self-attention whose closed heads cost
// nothing.
//
//   n   = layer_norm(x)
//   m_t = n_t + shift * (n_{t-1} - n_t)    for each of q, k, v; n_{-1} = 0; without shift, m = n
//   q, k, v of head h = m_q wq_h, m_k wk_h, m_v wv_h    q and k rotated by position
//   y   = x + sum over open heads of gate_bh * attention(q, k, v) wo_h
//
// A bias is added to the scores of each key, the same for all heads and queries of a sample.
//
// For each sample, the heads whose gate is 0 take no part: their columns of wq, wk and wv, their
// attention and their rows of wo are not touched, forward or backward, whatever these hold. A sample
// without an open head is copied. Rows behind a sample's length are copied, too.
#ifndef GL_GATED_HEADS_H
#define GL_GATED_HEADS_H

#include "gl_common.h"

#define REAL float
#define SUFFIX f32
#include "gated_heads_args.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "gated_heads_args.tmpl.h"
#undef REAL
#undef SUFFIX

// Fills y, and the saved arrays where they are not NULL.
//   work  gl_gated_heads_forward_workspace_*() bytes, aligned to GL_ALIGN
void gl_gated_heads_forward_f32(const gl_gated_heads_f32 *a, void *work, int nth);
void gl_gated_heads_forward_f64(const gl_gated_heads_f64 *a, void *work, int nth);

// Fills dx and dgate, adds to the gradients of the parameters.
//   work  gl_gated_heads_backward_workspace_*() bytes, aligned to GL_ALIGN
void gl_gated_heads_backward_f32(const gl_gated_heads_f32 *a, void *work, int nth);
void gl_gated_heads_backward_f64(const gl_gated_heads_f64 *a, void *work, int nth);

// Workspaces in bytes; -1 where they do not fit.
ptrdiff_t gl_gated_heads_forward_workspace_f32(const gl_gated_heads_f32 *a, int nth);
ptrdiff_t gl_gated_heads_forward_workspace_f64(const gl_gated_heads_f64 *a, int nth);
ptrdiff_t gl_gated_heads_backward_workspace_f32(const gl_gated_heads_f32 *a, int nth);
ptrdiff_t gl_gated_heads_backward_workspace_f64(const gl_gated_heads_f64 *a, int nth);

#endif
