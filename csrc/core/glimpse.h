// Patches of images around real-valued places, fine in the middle and coarser with each scale: the
// sensor of V. Mnih et al., "Recurrent Models of Visual Attention", NIPS 2014.
//
// A location (x, y) counts from -1 to 1 between the outer edges of the image: with pixel 0 at 0,
// its centre is column (x W + W - 1) / 2 and row (y H + H - 1) / 2. Patch s covers P f x P f pixels
// round the centre, f = 2^s. It is sampled bilinearly, one sample a pixel, and averaged over f x f
// samples. Both together are a weighted mean along each axis: with first + t the place of the first
// sample, 0 <= t < 1, output p is the mean of the pixels first + p f .. first + (p + 1) f, which
// weigh 1 - t, 1, .., 1, t. Pixels outside of the image are 0; one of weight 0 is not looked at.
#ifndef GL_GLIMPSE_H
#define GL_GLIMPSE_H

#include "gl_common.h"

// The most scales that one call computes.
enum { GL_GLIMPSE_SCALES = 16 };

// Glimpse n of image b is patch (b, n).
//
//   patches    (B, N, S, C, P, P)  out, overwritten
//   images     (B, C, H, W)
//   locations  (B, N, 2)           x, y; outside of [-1, 1] too
//   work       gl_glimpse_workspace_*() bytes, aligned to GL_ALIGN
//
// GL_ENONFINITE with the lowest row b N + n whose centre, in pixels, is NaN or infinite; nothing is
// then written. S is at most GL_GLIMPSE_SCALES.
gl_result gl_glimpse_forward_f32(float *patches, const float *images, const float *locations,
                                 void *work, ptrdiff_t B, ptrdiff_t N, ptrdiff_t S, ptrdiff_t C,
                                 ptrdiff_t H, ptrdiff_t W, ptrdiff_t P, int nth);
gl_result gl_glimpse_forward_f64(double *patches, const double *images, const double *locations,
                                 void *work, ptrdiff_t B, ptrdiff_t N, ptrdiff_t S, ptrdiff_t C,
                                 ptrdiff_t H, ptrdiff_t W, ptrdiff_t P, int nth);

// Gradient of sum(dpatches patches) with respect to the images; there is none for locations.
//
//   dimages    (B, C, H, W)        out, accumulated, patch after patch
//   dpatches   (B, N, S, C, P, P)
//   locations, work, status as in forward
gl_result gl_glimpse_backward_f32(float *dimages, const float *dpatches, const float *locations,
                                  void *work, ptrdiff_t B, ptrdiff_t N, ptrdiff_t S, ptrdiff_t C,
                                  ptrdiff_t H, ptrdiff_t W, ptrdiff_t P, int nth);
gl_result gl_glimpse_backward_f64(double *dimages, const double *dpatches, const double *locations,
                                  void *work, ptrdiff_t B, ptrdiff_t N, ptrdiff_t S, ptrdiff_t C,
                                  ptrdiff_t H, ptrdiff_t W, ptrdiff_t P, int nth);

// Workspace of either pass in bytes; -1 where it does not fit.
ptrdiff_t gl_glimpse_workspace_f32(ptrdiff_t W, int nth);
ptrdiff_t gl_glimpse_workspace_f64(ptrdiff_t W, int nth);

#endif
