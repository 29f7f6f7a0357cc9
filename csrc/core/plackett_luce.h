// Rankings of R out of K choices a row, drawn without replacement, such as which entries to keep.
//
// The model of Plackett and Luce: each place goes to one of the choices that are left, with the
// softmax of their logits. A logit of -inf masks its choice: it is never drawn and gets no gradient
// unless it was ranked. A row with NaN or +inf, or masked throughout, gives NaN, except in
// sampling, where it is refused.
//
// 1 <= R <= K. work is gl_plackett_luce_workspace_*() bytes, aligned to GL_ALIGN. On GL_EINDEX,
// where a ranking holds a choice out of range, and GL_EVALUE, where it holds one twice, the
// contents of the outputs are unspecified.
#ifndef GL_PLACKETT_LUCE_H
#define GL_PLACKETT_LUCE_H

#include "gl_common.h"

ptrdiff_t gl_plackett_luce_workspace_f32(ptrdiff_t K, ptrdiff_t R, int nth);
ptrdiff_t gl_plackett_luce_workspace_f64(ptrdiff_t K, ptrdiff_t R, int nth);

// The R highest of the scores logits - log(-log(uniforms)), best first, which are a draw, and its
// log-probability. Of equal scores the lower choice comes first. A uniform of 0 counts as the
// smallest normal number, so that the score of an unmasked choice is finite.
//
//   rankings  (B, R)  out, overwritten: in [0, K)
//   logp      (B,)    out, overwritten
//   logits    (B, K)
//   uniforms  (B, K)  in [0, 1)
//
// GL_ENONFINITE where a row has NaN, +inf or fewer than R finite logits, GL_EVALUE where a uniform
// is outside [0, 1); rankings and logp are then unspecified.
gl_result gl_plackett_luce_sample_f32(int64_t *rankings, float *logp, const float *logits,
                                      const float *uniforms, void *work, ptrdiff_t B, ptrdiff_t K,
                                      ptrdiff_t R, int nth);
gl_result gl_plackett_luce_sample_f64(int64_t *rankings, double *logp, const double *logits,
                                      const double *uniforms, void *work, ptrdiff_t B, ptrdiff_t K,
                                      ptrdiff_t R, int nth);

// logp_b = sum_r x_r - log(sum of exp(x) over what is left), x_r the logit at place r, which then
// still counts as left.
//
//   logp      (B,)    out, overwritten. -inf where a masked choice is ranked
//   logits    (B, K)
//   rankings  (B, R)  in [0, K), no choice twice in a row
gl_result gl_plackett_luce_forward_f32(float *logp, const float *logits, const int64_t *rankings,
                                       void *work, ptrdiff_t B, ptrdiff_t K, ptrdiff_t R, int nth);
gl_result gl_plackett_luce_forward_f64(double *logp, const double *logits, const int64_t *rankings,
                                       void *work, ptrdiff_t B, ptrdiff_t K, ptrdiff_t R, int nth);

// Gradient of sum_b dlogp_b logp_b.
//
//   dlogits   (B, K)  out, overwritten; may be logits
//   dlogp     (B,)
//   logits, rankings  as in forward
gl_result gl_plackett_luce_backward_f32(float *dlogits, const float *dlogp, const float *logits,
                                        const int64_t *rankings, void *work, ptrdiff_t B,
                                        ptrdiff_t K, ptrdiff_t R, int nth);
gl_result gl_plackett_luce_backward_f64(double *dlogits, const double *dlogp, const double *logits,
                                        const int64_t *rankings, void *work, ptrdiff_t B,
                                        ptrdiff_t K, ptrdiff_t R, int nth);

#endif
