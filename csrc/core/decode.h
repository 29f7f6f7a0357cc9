// Steps of the gated layers: n new positions of each sample against keys and values that are kept.
//
// Only pairs of a sample and a head whose gate is open have a row of the cache: a closed head costs
// neither memory nor work, and its weights are not touched. Pairs are numbered head by head and
// within a head by sample, so that the samples that have it open share one product and each weight
// is read once for all of them.
//
// Every sum has one order, which depends neither on the threads nor on the other samples: a sample
// gets the same bits alone and in a batch.
#ifndef GL_DECODE_H
#define GL_DECODE_H

#include "gl_common.h"

#define REAL float
#define SUFFIX f32
#include "decode_args.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "decode_args.tmpl.h"
#undef REAL
#undef SUFFIX

// The multi-head layer of gated_heads.h, causal, for positions lengths[b] .. lengths[b] + N - 1.
// Writes their keys and values into the cache, adds to x, fills last.
//   work  gl_decode_heads_workspace_*() bytes, aligned to GL_ALIGN
void gl_decode_heads_f32(const gl_decode_heads_args_f32 *a, void *work, int nth);
void gl_decode_heads_f64(const gl_decode_heads_args_f64 *a, void *work, int nth);

// The MLP of gated_mlp.h. Adds to x.
//   work  gl_decode_mlp_workspace_*() bytes, aligned to GL_ALIGN
void gl_decode_mlp_f32(const gl_decode_mlp_args_f32 *a, void *work, int nth);
void gl_decode_mlp_f64(const gl_decode_mlp_args_f64 *a, void *work, int nth);

// logits = layer_norm(x) table^T
//   work  gl_decode_logits_workspace_*() bytes, aligned to GL_ALIGN
void gl_decode_logits_f32(const gl_decode_logits_args_f32 *a, void *work, int nth);
void gl_decode_logits_f64(const gl_decode_logits_args_f64 *a, void *work, int nth);

// Workspaces in bytes; -1 where they do not fit.
ptrdiff_t gl_decode_heads_workspace_f32(const gl_decode_heads_args_f32 *a, int nth);
ptrdiff_t gl_decode_heads_workspace_f64(const gl_decode_heads_args_f64 *a, int nth);
ptrdiff_t gl_decode_mlp_workspace_f32(const gl_decode_mlp_args_f32 *a, int nth);
ptrdiff_t gl_decode_mlp_workspace_f64(const gl_decode_mlp_args_f64 *a, int nth);
ptrdiff_t gl_decode_logits_workspace_f32(const gl_decode_logits_args_f32 *a, int nth);
ptrdiff_t gl_decode_logits_workspace_f64(const gl_decode_logits_args_f64 *a, int nth);

// GL_EVALUE with the lowest row of `first` (H,) that does not ascend from 0 to at most P.
gl_result gl_decode_first_check(const int64_t *first, ptrdiff_t H, ptrdiff_t P);

// GL_EINDEX with the first entry of `sample` (P,) outside 0 <= sample < B.
gl_result gl_decode_sample_check(const int64_t *sample, ptrdiff_t P, ptrdiff_t B);

#endif
