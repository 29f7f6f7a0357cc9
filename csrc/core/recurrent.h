// Recurrent layers through time: RNN, LSTM and GRU.
//
// With a = x_t wx + bias and u = h' wh, cut into gates of H values each, and ' for the step before,
//
//   RNN   h = tanh(a + u), or max(a + u, 0)
//   LSTM  i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of a + u
//         c = f * c' + i * g,  h = o * tanh(c)
//   GRU   r, z = sigmoid(a + u);  n = tanh(a_n + r * (u_n + bias_hidden))
//         h = (1 - z) * n + z * h'
//
// The output y_t is h; the state is h, of an LSTM h and c. Steps behind a sample's length are not
// computed: the state passes by, outputs and gradients are 0. With `reverse` a sample starts at its
// own last step.
#ifndef GL_RECURRENT_H
#define GL_RECURRENT_H

#include "gl_common.h"

#define REAL float
#define SUFFIX f32
#include "recurrent_args.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "recurrent_args.tmpl.h"
#undef REAL
#undef SUFFIX

// Fills y, trace and last. B * T and (G + 1) * H must fit an int.
//   work  gl_recurrent_forward_workspace_*() bytes, aligned to GL_ALIGN
void gl_recurrent_forward_f32(const gl_recurrent_f32 *a, void *work, int nth);
void gl_recurrent_forward_f64(const gl_recurrent_f64 *a, void *work, int nth);

// Fills dx and dfirst, adds to the gradients of the parameters.
//   work  gl_recurrent_backward_workspace_*() bytes, aligned to GL_ALIGN
void gl_recurrent_backward_f32(const gl_recurrent_f32 *a, void *work, int nth);
void gl_recurrent_backward_f64(const gl_recurrent_f64 *a, void *work, int nth);

// Workspaces in bytes; -1 where they do not fit.
ptrdiff_t gl_recurrent_forward_workspace_f32(const gl_recurrent_f32 *a, int nth);
ptrdiff_t gl_recurrent_forward_workspace_f64(const gl_recurrent_f64 *a, int nth);
ptrdiff_t gl_recurrent_backward_workspace_f32(const gl_recurrent_f32 *a, int nth);
ptrdiff_t gl_recurrent_backward_workspace_f64(const gl_recurrent_f64 *a, int nth);

#endif
