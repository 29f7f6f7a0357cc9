// Convolution of images (cross-correlation, as networks have it).
//
//   y[n, o, p, q] = bias[o] + sum over c, k, l of weight[o, c, k, l] * x[n, c, h, w]
//   h = p * stride[0] - padding[0] + k,  w = q * stride[1] - padding[1] + l
//
// x is 0 outside of the image. P = (H + 2 padding - K) / stride + 1, rounded down, and Q likewise.
#ifndef GL_CONV_H
#define GL_CONV_H

#include "gl_common.h"

#define REAL float
#define SUFFIX f32
#include "conv_args.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "conv_args.tmpl.h"
#undef REAL
#undef SUFFIX

// Fills y. All sizes, strides and paddings, C * K * L, H * W and P * Q must fit an int; the kernel
// is at least 1 and at most the padded image.
//   work  gl_conv2d_forward_workspace_*() bytes, aligned to GL_ALIGN
void gl_conv2d_forward_f32(const gl_conv2d_f32 *a, void *work, int nth);
void gl_conv2d_forward_f64(const gl_conv2d_f64 *a, void *work, int nth);

// Fills dx, adds to dweight and dbias.
//   work  gl_conv2d_backward_workspace_*() bytes, aligned to GL_ALIGN
void gl_conv2d_backward_f32(const gl_conv2d_f32 *a, void *work, int nth);
void gl_conv2d_backward_f64(const gl_conv2d_f64 *a, void *work, int nth);

// Workspaces in bytes; -1 where they do not fit.
ptrdiff_t gl_conv2d_forward_workspace_f32(const gl_conv2d_f32 *a, int nth);
ptrdiff_t gl_conv2d_forward_workspace_f64(const gl_conv2d_f64 *a, int nth);
ptrdiff_t gl_conv2d_backward_workspace_f32(const gl_conv2d_f32 *a, int nth);
ptrdiff_t gl_conv2d_backward_workspace_f64(const gl_conv2d_f64 *a, int nth);

#endif
