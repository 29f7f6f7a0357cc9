// Vectors of independent Bernoulli variables, such as the gates of one layer.
//
// With l a logit and s the logistic function, an action is 1 with probability
//     p = bound + (1 - 2 bound) s(l),   0 <= bound < 1/2,
// so that no probability leaves [bound, 1 - bound]. All is computed from exp(-|l|), hence exact
// for logits of any size. NaN in a row of logits makes that row's results NaN, except in sampling.
#ifndef GL_BERNOULLI_H
#define GL_BERNOULLI_H

#include "gl_common.h"

// actions = uniforms < p, and the log-probability of what was drawn.
//
//   actions   (B, K)  out, overwritten: 0 or 1
//   logp      (B,)    out, overwritten; may be NULL
//   logits    (B, K)
//   uniforms  (B, K)  in [0, 1)
//
// GL_ENONFINITE where a logit is NaN or infinite, GL_EVALUE where a uniform is outside [0, 1);
// actions and logp are then unspecified.
gl_result gl_bernoulli_sample_f32(uint8_t *actions, float *logp, const float *logits,
                                  const float *uniforms, float bound, ptrdiff_t B, ptrdiff_t K,
                                  int nth);
gl_result gl_bernoulli_sample_f64(uint8_t *actions, double *logp, const double *logits,
                                  const double *uniforms, double bound, ptrdiff_t B, ptrdiff_t K,
                                  int nth);

// logp_b = sum_k log P(actions_bk), entropy_b = -sum_k p log p + (1 - p) log(1 - p).
//
//   logp     (B,)    out, overwritten; may be NULL. -inf for an impossible action
//   entropy  (B,)    out, overwritten; may be NULL
//   logits   (B, K)
//   actions  (B, K)  0 or 1; may be NULL where logp is
//
// GL_EVALUE where an action is neither 0 nor 1; the outputs are then unspecified.
gl_result gl_bernoulli_forward_f32(float *logp, float *entropy, const float *logits,
                                   const uint8_t *actions, float bound, ptrdiff_t B, ptrdiff_t K,
                                   int nth);
gl_result gl_bernoulli_forward_f64(double *logp, double *entropy, const double *logits,
                                   const uint8_t *actions, double bound, ptrdiff_t B, ptrdiff_t K,
                                   int nth);

// Gradient of sum_b dlogp_b logp_b + dentropy_b entropy_b.
//
//   dlogits   (B, K)  out, overwritten; may be logits
//   dlogp     (B,)    may be NULL: 0
//   dentropy  (B,)    may be NULL: 0
//   logits, actions   as in forward; actions may be NULL where dlogp is
//
// GL_EVALUE as in forward; dlogits is then unspecified.
gl_result gl_bernoulli_backward_f32(float *dlogits, const float *dlogp, const float *dentropy,
                                    const float *logits, const uint8_t *actions, float bound,
                                    ptrdiff_t B, ptrdiff_t K, int nth);
gl_result gl_bernoulli_backward_f64(double *dlogits, const double *dlogp, const double *dentropy,
                                    const double *logits, const uint8_t *actions, double bound,
                                    ptrdiff_t B, ptrdiff_t K, int nth);

// kl_b = sum_k p log(p / q) + (1 - p) log((1 - p) / (1 - q)), one bound for both.
//
//   kl        (B,)    out, overwritten; inf where q excludes what p does not
//   logits_p  (B, K)
//   logits_q  (B, K)
void gl_bernoulli_kl_f32(float *kl, const float *logits_p, const float *logits_q, float bound,
                         ptrdiff_t B, ptrdiff_t K, int nth);
void gl_bernoulli_kl_f64(double *kl, const double *logits_p, const double *logits_q, double bound,
                         ptrdiff_t B, ptrdiff_t K, int nth);

// Gradients of sum_b dkl_b kl_b.
//
//   dlogits_p  (B, K)  out, overwritten; may be NULL
//   dlogits_q  (B, K)  out, overwritten; may be NULL
//   dkl        (B,)
//   logits_p, logits_q  as in kl
void gl_bernoulli_kl_backward_f32(float *dlogits_p, float *dlogits_q, const float *dkl,
                                  const float *logits_p, const float *logits_q, float bound,
                                  ptrdiff_t B, ptrdiff_t K, int nth);
void gl_bernoulli_kl_backward_f64(double *dlogits_p, double *dlogits_q, const double *dkl,
                                  const double *logits_p, const double *logits_q, double bound,
                                  ptrdiff_t B, ptrdiff_t K, int nth);

#endif
