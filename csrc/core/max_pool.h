// The largest value of each window of an image.
#ifndef GL_MAX_POOL_H
#define GL_MAX_POOL_H

#include "gl_common.h"

// Along height, along width: kernel and stride at least 1, padding at most half the kernel.
typedef struct {
    ptrdiff_t kernel[2], stride[2], padding[2];
} gl_window;

// Window (p, q) starts at (p * stride - padding, q * stride - padding); what lies outside of the
// image is left out. NaN is larger than any number; of equal values the first counts, row by row.
// P = (H + 2 padding - kernel) / stride + 1, rounded down, and Q likewise. H and W are at least 1.
//
//   y      (M, P, Q)  out, overwritten
//   index  (M, P, Q)  out, overwritten: where in its plane the value stands, h * W + w
//   x      (M, H, W)
void gl_max_pool2d_forward_f32(float *y, int64_t *index, const float *x, gl_window window,
                               ptrdiff_t M, ptrdiff_t H, ptrdiff_t W, ptrdiff_t P, ptrdiff_t Q,
                               int nth);
void gl_max_pool2d_forward_f64(double *y, int64_t *index, const double *x, gl_window window,
                               ptrdiff_t M, ptrdiff_t H, ptrdiff_t W, ptrdiff_t P, ptrdiff_t Q,
                               int nth);

// Each gradient goes to where the value stood.
//
//   dx     (M, H, W)  out, overwritten
//   dy     (M, P, Q)
//   index  (M, P, Q)  in [0, H * W)
//
// GL_EINDEX names the lowest flat position whose index is out of range; dx is then unspecified.
gl_result gl_max_pool2d_backward_f32(float *dx, const float *dy, const int64_t *index, ptrdiff_t M,
                                     ptrdiff_t H, ptrdiff_t W, ptrdiff_t P, ptrdiff_t Q, int nth);
gl_result gl_max_pool2d_backward_f64(double *dx, const double *dy, const int64_t *index,
                                     ptrdiff_t M, ptrdiff_t H, ptrdiff_t W, ptrdiff_t P,
                                     ptrdiff_t Q, int nth);

#endif
