// Additive attention, forward and backward.
//
// For sample b and query t, over the keys s that t may see,
//
//   score_s = <weight, tanh(query_t + key_s)>
//   out_t   = sum_s softmax(score)_s value_s
//
// A query that sees no key gives 0 and has gradient 0. NaN propagates from keys that a query sees,
// never from those it does not. Keys go in runs of 16; a run of which a query sees none costs it
// nothing.
#ifndef GL_ADDITIVE_H
#define GL_ADDITIVE_H

#include "gl_common.h"

#define REAL float
#define SUFFIX f32
#include "additive_args.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "additive_args.tmpl.h"
#undef REAL
#undef SUFFIX

// Fills out, and those of lse and p that are not NULL.
//   work  gl_additive_forward_workspace_*() bytes, aligned to GL_ALIGN
void gl_additive_forward_f32(const gl_additive_f32 *a, void *work, int nth);
void gl_additive_forward_f64(const gl_additive_f64 *a, void *work, int nth);

// Fills dquery, dkey and dvalue, and adds to dweight, from dout, the inputs, out and lse.
//   work  gl_additive_backward_workspace_*() bytes, aligned to GL_ALIGN
void gl_additive_backward_f32(const gl_additive_f32 *a, void *work, int nth);
void gl_additive_backward_f64(const gl_additive_f64 *a, void *work, int nth);

// Workspaces in bytes; -1 where they do not fit. Both grow like the keys and values.
ptrdiff_t gl_additive_forward_workspace_f32(const gl_additive_f32 *a, int nth);
ptrdiff_t gl_additive_forward_workspace_f64(const gl_additive_f64 *a, int nth);
ptrdiff_t gl_additive_backward_workspace_f32(const gl_additive_f32 *a, int nth);
ptrdiff_t gl_additive_backward_workspace_f64(const gl_additive_f64 *a, int nth);

#endif
