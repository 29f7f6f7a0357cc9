// Hard attention: each query draws one position and takes its value, forward and backward.
//
// For sample b, head h and query t, over the keys s that t may see,
//
//   score_s = scale * <q_t, k_s>
//   log p_s = score_s - lse
//   z_t     = the first s at which the cumulative probability exceeds the uniform
//   out_t   = v_z
//   logp_t  = log p_z
//   entropy = -sum_s p_s log p_s
//
// A value that was not drawn is never read, and its gradient never written. Keys that no query sees
// may hold anything. Scores are held for one block of queries a worker, at most.
#ifndef GL_HARD_H
#define GL_HARD_H

#include "attention.h"

#define REAL float
#define SUFFIX f32
#include "hard_args.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "hard_args.tmpl.h"
#undef REAL
#undef SUFFIX

// Fills logp, entropy and lse; with uniforms, actions before, and out where it is wanted.
//   work  gl_hard_forward_workspace_*() bytes, aligned to GL_ALIGN
//
// GL_ENONFINITE where a query sees no key or a score that is not finite, GL_EVALUE where a uniform
// is outside [0, 1), GL_EINDEX where a given action is out of range; the outputs are then
// unspecified. Row (b H + h) Tq + t is query t of head h of sample b.
gl_result gl_hard_forward_f32(const gl_hard_f32 *a, void *work, int nth);
gl_result gl_hard_forward_f64(const gl_hard_f64 *a, void *work, int nth);

// Gradients of sum <dout, out> + dlogp logp + dentropy entropy, the actions being constants: fills
// dq and dk, and adds dout to the rows of dv that were drawn. A hidden action has gradient 0.
//   work  gl_hard_backward_workspace_*() bytes, aligned to GL_ALIGN
//
// GL_EINDEX where an action is out of range; the gradients are then unspecified.
gl_result gl_hard_backward_f32(const gl_hard_f32 *a, void *work, int nth);
gl_result gl_hard_backward_f64(const gl_hard_f64 *a, void *work, int nth);

// Workspaces in bytes; -1 where they do not fit. Forward's grows like the keys of one head,
// backward's like the queries where heads are few.
ptrdiff_t gl_hard_forward_workspace_f32(const gl_hard_f32 *a, int nth);
ptrdiff_t gl_hard_forward_workspace_f64(const gl_hard_f64 *a, int nth);
ptrdiff_t gl_hard_backward_workspace_f32(const gl_hard_f32 *a, int nth);
ptrdiff_t gl_hard_backward_workspace_f64(const gl_hard_f64 *a, int nth);

// Queries that one call of the kernels handles, at most.
enum { GL_HARD_ROWS = 64 };

#endif
