// What an action was worth compared with a baseline.
#ifndef GL_ADVANTAGE_H
#define GL_ADVANTAGE_H

#include "gl_common.h"

// Generalised advantage estimation, from the last step to the first:
//     next_t   = final_t where truncated_t, else values_{t+1}, else last; 0 where terminated_t
//     delta_t  = rewards_t + gamma next_t - values_t
//     adv_t    = delta_t + gamma lambda adv_{t+1}, without the second term where an episode ended
//     returns_t = adv_t + values_t
// An episode ends at t where terminated_t or truncated_t. A terminated one is worth nothing
// afterwards; a truncated one is worth the value of its final observation.
//
//   advantages  (T, N)  out, overwritten
//   returns     (T, N)  out, overwritten; may be NULL
//   rewards     (T, N)
//   values      (T, N)
//   last        (N,)    value of the observation after the last step
//   final       (T, N)  value of the final observation, read where truncated and not terminated;
//                       may be NULL: values_{t+1} is that value
//   terminated  (T, N)  0 or not; may be NULL: never
//   truncated   (T, N)  0 or not; may be NULL: never
void gl_gae_f32(float *advantages, float *returns, const float *rewards, const float *values,
                const float *last, const float *final, const uint8_t *terminated,
                const uint8_t *truncated, float gamma, float lambda, ptrdiff_t T, ptrdiff_t N,
                int nth);
void gl_gae_f64(double *advantages, double *returns, const double *rewards, const double *values,
                const double *last, const double *final, const uint8_t *terminated,
                const uint8_t *truncated, double gamma, double lambda, ptrdiff_t T, ptrdiff_t N,
                int nth);

// Each of S rewards less the mean of the S - 1 others; exactly 0 where all are equal.
//
//   advantages  (S, B)  out, overwritten; may be rewards
//   rewards     (S, B)  S >= 2
void gl_leave_one_out_f32(float *advantages, const float *rewards, ptrdiff_t S, ptrdiff_t B,
                          int nth);
void gl_leave_one_out_f64(double *advantages, const double *rewards, ptrdiff_t S, ptrdiff_t B,
                          int nth);

#endif
