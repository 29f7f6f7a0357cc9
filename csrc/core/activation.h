// Activations, element by element.
#ifndef GL_ACTIVATION_H
#define GL_ACTIVATION_H

#include "gl_common.h"

typedef enum {
    GL_GELU,        // x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))
    GL_GELU_EXACT,  // x * Phi(x), Phi the normal distribution function
    GL_TANH,
    GL_RELU,        // max(x, 0); NaN stays NaN
    GL_SIGMOID,     // 1 / (1 + exp(-x))
} gl_activation;

// y = f(x).
//
//   y  (N,)  out, overwritten; may be x
//   x  (N,)
void gl_activation_forward_f32(float *y, const float *x, gl_activation f, ptrdiff_t N, int nth);
void gl_activation_forward_f64(double *y, const double *x, gl_activation f, ptrdiff_t N, int nth);

// dx = dy * f'.
//
//   dx  (N,)  out, overwritten; may be dy or xy
//   dy  (N,)
//   xy  (N,)  what the derivative is cheapest from: x for the GELUs, y for the others
void gl_activation_backward_f32(float *dx, const float *dy, const float *xy, gl_activation f,
                                ptrdiff_t N, int nth);
void gl_activation_backward_f64(double *dx, const double *dy, const double *xy, gl_activation f,
                                ptrdiff_t N, int nth);

#endif
