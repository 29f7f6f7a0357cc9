// Adam with decoupled weight decay over a flat buffer, and the norm of a gradient.
#ifndef GL_OPTIM_H
#define GL_OPTIM_H

#include "gl_common.h"

typedef struct {
    double lr, beta1, beta2, eps;
    double weight_decay;
    double grad_scale;  // multiplies grad first: 1, or what brings its norm down to a limit
    ptrdiff_t step;     // counts from 1
} gl_adamw_opts;

// One step, t = opts->step, g = grad_scale * grad:
//
//   param *= 1 - lr * weight_decay * decay
//   m = beta1 * m + (1 - beta1) * g
//   v = beta2 * v + (1 - beta2) * g^2
//   param -= lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
//
//   param  (P,)  in and out
//   m, v   (P,)  in and out; 0 before the first step
//   grad   (P,)
//   decay  (P,)  factor of weight_decay for each parameter, or NULL for 1
void gl_adamw_step_f32(float *param, float *m, float *v, const float *grad, const float *decay,
                       const gl_adamw_opts *opts, ptrdiff_t P, int nth);
void gl_adamw_step_f64(double *param, double *m, double *v, const double *grad,
                       const double *decay, const gl_adamw_opts *opts, ptrdiff_t P, int nth);

// The Euclidean norm, summed in double over fixed chunks. NaN or inf where grad has one, or where a
// square overflows a double.
//
//   grad  (P,)
//   work  (gl_grad_norm_workspace(P) values)
double gl_grad_norm_f32(const float *grad, double *work, ptrdiff_t P, int nth);
double gl_grad_norm_f64(const double *grad, double *work, ptrdiff_t P, int nth);
ptrdiff_t gl_grad_norm_workspace(ptrdiff_t P);

#endif
