// Softmax attention, forward and backward, without the matrix of scores.
//
// For sample b, head h and query t, over the keys s that t may see,
//
//   score_s = scale * <q_t, k_s> + bias_ts - slope_h * |t - s|
//   out_t   = gate_bh * sum_s softmax(score)_s v_s
//
// H / G neighbouring heads share the keys and values of one. A head whose gate is 0 is closed:
// neither its inputs nor its saved arrays are read, its outputs and gradients are 0. A query that
// sees no key gives 0 and has gradient 0. NaN propagates from keys that a query sees, never from
// those it does not. Keys that a whole tile of queries does not see cost nothing.
#ifndef GL_ATTENTION_H
#define GL_ATTENTION_H

#include "gl_common.h"

typedef struct {
    const uint8_t *data;
    ptrdiff_t b, h, t;
} gl_heads_mask;

#define REAL float
#define SUFFIX f32
#include "attention_args.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "attention_args.tmpl.h"
#undef REAL
#undef SUFFIX

// Fills out, and lse where it is not NULL.
//   work  gl_attention_forward_workspace_*() bytes, aligned to GL_ALIGN
void gl_attention_forward_f32(const gl_attention_f32 *a, void *work, int nth);
void gl_attention_forward_f64(const gl_attention_f64 *a, void *work, int nth);

// Fills dq, dk, dv, and dgate and dbias where not NULL, from dout, the inputs, out and lse.
//   work  gl_attention_backward_workspace_*() bytes, aligned to GL_ALIGN
void gl_attention_backward_f32(const gl_attention_f32 *a, void *work, int nth);
void gl_attention_backward_f64(const gl_attention_f64 *a, void *work, int nth);

// Fills weights with the rows of softmax of the named queries; gates close heads, but do not scale.
//   work  gl_attention_weights_workspace_*() bytes, aligned to GL_ALIGN
void gl_attention_weights_f32(const gl_attention_f32 *a, void *work, int nth);
void gl_attention_weights_f64(const gl_attention_f64 *a, void *work, int nth);

// Workspaces in bytes, independent of the times; -1 where they do not fit.
ptrdiff_t gl_attention_forward_workspace_f32(const gl_attention_f32 *a, int nth);
ptrdiff_t gl_attention_forward_workspace_f64(const gl_attention_f64 *a, int nth);
ptrdiff_t gl_attention_backward_workspace_f32(const gl_attention_f32 *a, int nth);
ptrdiff_t gl_attention_backward_workspace_f64(const gl_attention_f64 *a, int nth);
ptrdiff_t gl_attention_weights_workspace_f32(const gl_attention_f32 *a, int nth);
ptrdiff_t gl_attention_weights_workspace_f64(const gl_attention_f64 *a, int nth);

// GL_EVALUE with the first sample whose length is outside 0 .. T. NULL passes.
gl_result gl_lengths_check(const int64_t *lengths, ptrdiff_t B, ptrdiff_t T);

// Query rows that one call of the kernels of forward, weights and dbias handles.
enum { GL_ATTENTION_QUERY_BLOCK = 192 };

#endif
