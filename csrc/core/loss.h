// Softmax, its logarithm, and the cross-entropy of logits, over the last axis.
//
// A row of -inf alone, and any row with NaN or +inf, gives NaN.
#ifndef GL_LOSS_H
#define GL_LOSS_H

#include "gl_common.h"

// y = exp(x) / sum(exp(x)); a logit of -inf gives exactly 0.
//
//   y  (N, V)  out, overwritten; may be x
//   x  (N, V)
void gl_softmax_forward_f32(float *y, const float *x, ptrdiff_t N, ptrdiff_t V, int nth);
void gl_softmax_forward_f64(double *y, const double *x, ptrdiff_t N, ptrdiff_t V, int nth);

// dx = y * (dy - sum(dy * y)).
//
//   dx  (N, V)  out, overwritten; may be dy or y
//   dy  (N, V)
//   y   (N, V)  the output of forward
void gl_softmax_backward_f32(float *dx, const float *dy, const float *y, ptrdiff_t N, ptrdiff_t V,
                             int nth);
void gl_softmax_backward_f64(double *dx, const double *dy, const double *y, ptrdiff_t N,
                             ptrdiff_t V, int nth);

// y = x - log(sum(exp(x))); arrays as in softmax.
void gl_log_softmax_forward_f32(float *y, const float *x, ptrdiff_t N, ptrdiff_t V, int nth);
void gl_log_softmax_forward_f64(double *y, const double *x, ptrdiff_t N, ptrdiff_t V, int nth);

// dx = dy - exp(y) * sum(dy); arrays as in softmax.
void gl_log_softmax_backward_f32(float *dx, const float *dy, const float *y, ptrdiff_t N,
                                 ptrdiff_t V, int nth);
void gl_log_softmax_backward_f64(double *dx, const double *dy, const double *y, ptrdiff_t N,
                                 ptrdiff_t V, int nth);

// loss = -log(softmax(logits)[target]) and its gradient, in one pass.
//
//   loss          (N,)    out, overwritten; 0 where targets is ignore_index
//   dlogits       (N, V)  out, overwritten, or NULL: (softmax(logits) - onehot(target)) * dloss,
//                         0 where targets is ignore_index; may be logits
//   logits        (N, V)
//   targets       (N,)    in [0, V), or ignore_index
//   dloss         (N,)    weight of each row in the gradient, or NULL for 1
//
// GL_EINDEX names the lowest target out of range; nothing is then written.
gl_result gl_cross_entropy_f32(float *loss, float *dlogits, const float *logits,
                               const int64_t *targets, const float *dloss, int64_t ignore_index,
                               ptrdiff_t N, ptrdiff_t V, int nth);
gl_result gl_cross_entropy_f64(double *loss, double *dlogits, const double *logits,
                               const int64_t *targets, const double *dloss, int64_t ignore_index,
                               ptrdiff_t N, ptrdiff_t V, int nth);

#endif
