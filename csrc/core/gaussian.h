// Vectors of independent Gaussian variables with one deviation, such as where to look next.
//
// An action is mean + std * n, n a standard normal number. std > 0 is finite in the type of the
// arrays. NaN in a row makes that row's results NaN, except in sampling.
#ifndef GL_GAUSSIAN_H
#define GL_GAUSSIAN_H

#include "gl_common.h"

// actions = mean + std * normals, and the log-density of what was drawn.
//
//   actions  (B, K)  out, overwritten
//   logp     (B,)    out, overwritten; may be NULL
//   mean     (B, K)
//   normals  (B, K)
//
// GL_ENONFINITE where a mean is NaN or infinite, GL_EVALUE where a normal number is or makes an
// action so; actions and logp are then unspecified.
gl_result gl_gaussian_sample_f32(float *actions, float *logp, const float *mean,
                                 const float *normals, float std, ptrdiff_t B, ptrdiff_t K,
                                 int nth);
gl_result gl_gaussian_sample_f64(double *actions, double *logp, const double *mean,
                                 const double *normals, double std, ptrdiff_t B, ptrdiff_t K,
                                 int nth);

// logp_b = -sum_k ((actions_bk - mean_bk) / std)^2 / 2 - K log(std sqrt(2 pi))
//
//   logp     (B,)    out, overwritten
//   mean     (B, K)
//   actions  (B, K)
void gl_gaussian_log_prob_f32(float *logp, const float *mean, const float *actions, float std,
                              ptrdiff_t B, ptrdiff_t K, int nth);
void gl_gaussian_log_prob_f64(double *logp, const double *mean, const double *actions, double std,
                              ptrdiff_t B, ptrdiff_t K, int nth);

// Gradient of sum_b dlogp_b logp_b: dmean_bk = dlogp_b (actions_bk - mean_bk) / std^2
//
//   dmean    (B, K)  out, overwritten; may be mean
//   dlogp    (B,)
//   mean, actions    as in log_prob
void gl_gaussian_backward_f32(float *dmean, const float *dlogp, const float *mean,
                              const float *actions, float std, ptrdiff_t B, ptrdiff_t K, int nth);
void gl_gaussian_backward_f64(double *dmean, const double *dlogp, const double *mean,
                              const double *actions, double std, ptrdiff_t B, ptrdiff_t K,
                              int nth);

// kl_b = sum_k ((mean_p_bk - mean_q_bk) / std)^2 / 2, one deviation for both. Its gradient is that
// of gl_gaussian_backward with p as actions and q as mean, and minus that.
//
//   kl      (B,)    out, overwritten
//   mean_p  (B, K)
//   mean_q  (B, K)
void gl_gaussian_kl_f32(float *kl, const float *mean_p, const float *mean_q, float std,
                        ptrdiff_t B, ptrdiff_t K, int nth);
void gl_gaussian_kl_f64(double *kl, const double *mean_p, const double *mean_q, double std,
                        ptrdiff_t B, ptrdiff_t K, int nth);

#endif
