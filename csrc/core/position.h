// Rotation of queries and keys by their position.
#ifndef GL_POSITION_H
#define GL_POSITION_H

#include "gl_common.h"

// out_t = x_t with each pair (d, d + D/2) turned by the angle of its position, or back by it where
// `inverse`, which is also the gradient.
//
//   out     (B, H, T, D)  out, overwritten; may be x
//   x       (B, H, T, D)
//   cosine  (T, D/2)
//   sine    (T, D/2)
//
// The strides are those of samples, heads and time, in items; the last axis is contiguous. D is even.
void gl_rotary_f32(float *out, const ptrdiff_t out_stride[3], const float *x,
                   const ptrdiff_t x_stride[3], const float *cosine, const float *sine, int inverse,
                   ptrdiff_t B, ptrdiff_t H, ptrdiff_t T, ptrdiff_t D, int nth);
void gl_rotary_f64(double *out, const ptrdiff_t out_stride[3], const double *x,
                   const ptrdiff_t x_stride[3], const double *cosine, const double *sine,
                   int inverse, ptrdiff_t B, ptrdiff_t H, ptrdiff_t T, ptrdiff_t D, int nth);

#endif
