// The clipped loss of proximal policy optimisation, and its gradient, in one pass.
#ifndef GL_PPO_H
#define GL_PPO_H

#include "gl_common.h"

typedef struct {
    double clip;                 // how far the ratio may leave 1 and still be rewarded
    double value_clip;           // how far the value may leave value_old; read where that is given
    double value_coefficient;    // weight of the value loss
    double entropy_coefficient;  // weight of the entropy
} gl_ppo_opts;

// What gl_ppo writes to stats, in this order.
enum { GL_PPO_LOSS, GL_PPO_POLICY, GL_PPO_VALUE, GL_PPO_ENTROPY, GL_PPO_KL, GL_PPO_CLIPPED,
       GL_PPO_STATS };

// With r = exp(logp - logp_old) and means over the batch:
//     policy  = -mean(min(r advantage, clamp(r, 1 - clip, 1 + clip) advantage))
//     value   = mean((value - returns)^2) / 2, or with value_old
//               mean(max((value - returns)^2, (near - returns)^2)) / 2,
//               near = value_old + clamp(value - value_old, -value_clip, value_clip)
//     entropy = mean(entropy)
//     loss    = policy + value_coefficient value - entropy_coefficient entropy
//     kl      = mean((r - 1) - log r), an estimate of KL(old || new) that is never negative
//     clipped = share of rows with |r - 1| > clip
// advantage, returns and the _old are constants. At a kink the gradient is the unclipped side's.
//
//   stats      (GL_PPO_STATS,)  out, overwritten; NaN where B is 0
//   dlogp      (B,)  out, overwritten: gradient of loss
//   dvalue     (B,)  out, overwritten; NULL where value is
//   dentropy   (B,)  out, overwritten: -entropy_coefficient / B
//   logp       (B,)
//   logp_old   (B,)
//   advantage  (B,)
//   value      (B,)  may be NULL: no value loss
//   value_old  (B,)  may be NULL: no clipping of the value
//   returns    (B,)  NULL where value is
//   entropy    (B,)
void gl_ppo_f32(float *stats, float *dlogp, float *dvalue, float *dentropy, const float *logp,
                const float *logp_old, const float *advantage, const float *value,
                const float *value_old, const float *returns, const float *entropy,
                gl_ppo_opts opts, ptrdiff_t B, int nth);
void gl_ppo_f64(double *stats, double *dlogp, double *dvalue, double *dentropy, const double *logp,
                const double *logp_old, const double *advantage, const double *value,
                const double *value_old, const double *returns, const double *entropy,
                gl_ppo_opts opts, ptrdiff_t B, int nth);

#endif
