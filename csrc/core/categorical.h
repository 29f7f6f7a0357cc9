// One choice of K a row, such as where to look next.
//
// The probabilities are the softmax of the logits. A logit of -inf masks its choice: it has
// probability 0, is never drawn and gets no gradient unless it was the action. A row with NaN or
// +inf, or masked throughout, gives NaN, except in sampling, where it is refused.
#ifndef GL_CATEGORICAL_H
#define GL_CATEGORICAL_H

#include "gl_common.h"

// The first choice at which the cumulative probability exceeds the uniform, and its
// log-probability.
//
//   actions   (B,)    out, overwritten
//   logp      (B,)    out, overwritten; may be NULL
//   logits    (B, K)
//   uniforms  (B,)    in [0, 1)
//
// GL_ENONFINITE where a row has nothing to draw from, GL_EVALUE where a uniform is outside [0, 1);
// actions and logp are then unspecified.
gl_result gl_categorical_sample_f32(int64_t *actions, float *logp, const float *logits,
                                    const float *uniforms, ptrdiff_t B, ptrdiff_t K, int nth);
gl_result gl_categorical_sample_f64(int64_t *actions, double *logp, const double *logits,
                                    const double *uniforms, ptrdiff_t B, ptrdiff_t K, int nth);

// logp_b = log softmax(logits_b)[actions_b], entropy_b = -sum_k p log p.
//
//   logp     (B,)    out, overwritten; may be NULL. -inf for a masked action
//   entropy  (B,)    out, overwritten; may be NULL
//   logits   (B, K)
//   actions  (B,)    in [0, K); may be NULL where logp is
//
// GL_EINDEX where an action is out of range; the outputs are then unspecified.
gl_result gl_categorical_forward_f32(float *logp, float *entropy, const float *logits,
                                     const int64_t *actions, ptrdiff_t B, ptrdiff_t K, int nth);
gl_result gl_categorical_forward_f64(double *logp, double *entropy, const double *logits,
                                     const int64_t *actions, ptrdiff_t B, ptrdiff_t K, int nth);

// Gradient of sum_b dlogp_b logp_b + dentropy_b entropy_b.
//
//   dlogits   (B, K)  out, overwritten; may be logits
//   dlogp     (B,)    may be NULL: 0
//   dentropy  (B,)    may be NULL: 0
//   logits, actions   as in forward; actions may be NULL where dlogp is
//
// GL_EINDEX as in forward; dlogits is then unspecified.
gl_result gl_categorical_backward_f32(float *dlogits, const float *dlogp, const float *dentropy,
                                      const float *logits, const int64_t *actions, ptrdiff_t B,
                                      ptrdiff_t K, int nth);
gl_result gl_categorical_backward_f64(double *dlogits, const double *dlogp, const double *dentropy,
                                      const double *logits, const int64_t *actions, ptrdiff_t B,
                                      ptrdiff_t K, int nth);

// kl_b = sum_k p log(p / q) over the choices with p > 0.
//
//   kl        (B,)    out, overwritten; inf where q masks what p does not
//   logits_p  (B, K)
//   logits_q  (B, K)
void gl_categorical_kl_f32(float *kl, const float *logits_p, const float *logits_q, ptrdiff_t B,
                           ptrdiff_t K, int nth);
void gl_categorical_kl_f64(double *kl, const double *logits_p, const double *logits_q, ptrdiff_t B,
                           ptrdiff_t K, int nth);

// Gradients of sum_b dkl_b kl_b.
//
//   dlogits_p  (B, K)  out, overwritten; may be NULL
//   dlogits_q  (B, K)  out, overwritten; may be NULL
//   dkl        (B,)
//   logits_p, logits_q  as in kl
void gl_categorical_kl_backward_f32(float *dlogits_p, float *dlogits_q, const float *dkl,
                                    const float *logits_p, const float *logits_q, ptrdiff_t B,
                                    ptrdiff_t K, int nth);
void gl_categorical_kl_backward_f64(double *dlogits_p, double *dlogits_q, const double *dkl,
                                    const double *logits_p, const double *logits_q, ptrdiff_t B,
                                    ptrdiff_t K, int nth);

#endif
