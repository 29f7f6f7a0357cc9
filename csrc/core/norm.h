// Layer normalisation over the last axis.
#ifndef GL_NORM_H
#define GL_NORM_H

#include "gl_common.h"

// out = (x - mean) * rstd * weight + bias, with the biased variance of each row.
//
//   out     (N, C)  out, overwritten; may be x
//   mean    (N,)    out, overwritten
//   rstd    (N,)    out, overwritten: 1 / sqrt(variance + eps)
//   x       (N, C)
//   weight  (C,)
//   bias    (C,)
void gl_layer_norm_forward_f32(float *out, float *mean, float *rstd, const float *x,
                               const float *weight, const float *bias, float eps, ptrdiff_t N,
                               ptrdiff_t C, int nth);
void gl_layer_norm_forward_f64(double *out, double *mean, double *rstd, const double *x,
                               const double *weight, const double *bias, double eps, ptrdiff_t N,
                               ptrdiff_t C, int nth);

// Gradients of the above.
//
//   dx       (N, C)  out, overwritten; may be dout
//   dweight  (C,)    out, accumulated
//   dbias    (C,)    out, accumulated
//   dout     (N, C)
//   x, mean, rstd, weight  as in forward
//   work     (gl_layer_norm_backward_workspace_*(N, C) values)
void gl_layer_norm_backward_f32(float *dx, float *dweight, float *dbias, const float *dout,
                                const float *x, const float *mean, const float *rstd,
                                const float *weight, float *work, ptrdiff_t N, ptrdiff_t C, int nth);
void gl_layer_norm_backward_f64(double *dx, double *dweight, double *dbias, const double *dout,
                                const double *x, const double *mean, const double *rstd,
                                const double *weight, double *work, ptrdiff_t N, ptrdiff_t C,
                                int nth);

// Workspace of the backward pass in values; -1 where it does not fit.
ptrdiff_t gl_layer_norm_backward_workspace(ptrdiff_t N, ptrdiff_t C);

#endif
