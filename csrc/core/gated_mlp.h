// The gated MLP layer: a pre-norm residual block of two products that a sample can close.
//
//   y = x + gate_b * gelu(layer_norm(x) w1) w2        gelu by its tanh form
//
// A sample whose gate is 0 is copied; so are the rows behind a sample's length.
#ifndef GL_GATED_MLP_H
#define GL_GATED_MLP_H

#include "gl_common.h"

#define REAL float
#define SUFFIX f32
#include "gated_mlp_args.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "gated_mlp_args.tmpl.h"
#undef REAL
#undef SUFFIX

// Fills y, and the saved arrays where they are not NULL.
//   work  gl_gated_mlp_forward_workspace_*() bytes, aligned to GL_ALIGN
void gl_gated_mlp_forward_f32(const gl_gated_mlp_f32 *a, void *work, int nth);
void gl_gated_mlp_forward_f64(const gl_gated_mlp_f64 *a, void *work, int nth);

// Fills dx and dgate, adds to the gradients of the parameters.
//   work  gl_gated_mlp_backward_workspace_*() bytes, aligned to GL_ALIGN
void gl_gated_mlp_backward_f32(const gl_gated_mlp_f32 *a, void *work, int nth);
void gl_gated_mlp_backward_f64(const gl_gated_mlp_f64 *a, void *work, int nth);

// Workspaces in bytes; -1 where they do not fit.
ptrdiff_t gl_gated_mlp_forward_workspace_f32(const gl_gated_mlp_f32 *a, int nth);
ptrdiff_t gl_gated_mlp_forward_workspace_f64(const gl_gated_mlp_f64 *a, int nth);
ptrdiff_t gl_gated_mlp_backward_workspace_f32(const gl_gated_mlp_f32 *a, int nth);
ptrdiff_t gl_gated_mlp_backward_workspace_f64(const gl_gated_mlp_f64 *a, int nth);

#endif
