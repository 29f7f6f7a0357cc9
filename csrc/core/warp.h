// Images seen through a flow: each pixel is sampled where the flow says.
#ifndef GL_WARP_H
#define GL_WARP_H

#include "gl_common.h"

// Pixel (h, w) of y is sampled bilinearly at row h + flow[1, h, w] and column w + flow[0, h, w],
// both held inside the image: beyond an edge its pixels go on. H and W are at least 1.
//
//   y      (B, C, H, W)  out, overwritten
//   image  (B, C, H, W)
//   flow   (B, 2, H, W)  in pixels, to the right and down
//
// GL_ENONFINITE names the lowest image whose flow holds NaN or infinity; y is then unspecified.
gl_result gl_warp_forward_f32(float *y, const float *image, const float *flow, ptrdiff_t B,
                              ptrdiff_t C, ptrdiff_t H, ptrdiff_t W, int nth);
gl_result gl_warp_forward_f64(double *y, const double *image, const double *flow, ptrdiff_t B,
                              ptrdiff_t C, ptrdiff_t H, ptrdiff_t W, int nth);

// Gradients of sum(dy y). That of a flow is 0 along an axis on which the sample is beyond an edge;
// where it lies on a pixel, the slope to the next one counts.
//
//   dimage  (B, C, H, W)  out, overwritten; pixel after pixel of dy; may be NULL
//   dflow   (B, 2, H, W)  out, overwritten; may be NULL
//   dy      (B, C, H, W)
//   image, flow, status as in forward
gl_result gl_warp_backward_f32(float *dimage, float *dflow, const float *dy, const float *image,
                               const float *flow, ptrdiff_t B, ptrdiff_t C, ptrdiff_t H,
                               ptrdiff_t W, int nth);
gl_result gl_warp_backward_f64(double *dimage, double *dflow, const double *dy, const double *image,
                               const double *flow, ptrdiff_t B, ptrdiff_t C, ptrdiff_t H,
                               ptrdiff_t W, int nth);

#endif
