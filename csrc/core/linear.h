// The affine map of rows, and its gradients. Products run in fixed blocks, one to a task.
#ifndef GL_LINEAR_H
#define GL_LINEAR_H

#include "gl_common.h"

// y = x weight + bias, or y = x weight^T + bias with `transposed`.
//
//   y       (N, O)  out, overwritten; rows ldy apart
//   x       (N, I)  rows ldx apart
//   weight  (I, O), or (O, I) with `transposed`
//   bias    (O,)    or NULL
//
// Sizes and row lengths must fit an int.
void gl_linear_forward_f32(float *y, ptrdiff_t ldy, const float *x, ptrdiff_t ldx,
                           const float *weight, const float *bias, int transposed, ptrdiff_t N,
                           ptrdiff_t I, ptrdiff_t O, int nth);
void gl_linear_forward_f64(double *y, ptrdiff_t ldy, const double *x, ptrdiff_t ldx,
                           const double *weight, const double *bias, int transposed, ptrdiff_t N,
                           ptrdiff_t I, ptrdiff_t O, int nth);

// Gradients of the above; a gradient that is NULL is not computed.
//
//   dx       (N, I)  out, overwritten; rows lddx apart
//   dweight  as weight, out, accumulated
//   dbias    (O,)    out, accumulated
//   dy       (N, O)  rows lddy apart
//   x        (N, I)  rows ldx apart
//   weight   as in forward
void gl_linear_backward_f32(float *dx, ptrdiff_t lddx, float *dweight, float *dbias,
                            const float *dy, ptrdiff_t lddy, const float *x, ptrdiff_t ldx,
                            const float *weight, int transposed, ptrdiff_t N, ptrdiff_t I,
                            ptrdiff_t O, int nth);
void gl_linear_backward_f64(double *dx, ptrdiff_t lddx, double *dweight, double *dbias,
                            const double *dy, ptrdiff_t lddy, const double *x, ptrdiff_t ldx,
                            const double *weight, int transposed, ptrdiff_t N, ptrdiff_t I,
                            ptrdiff_t O, int nth);

#endif
