// Rows of a table by index.
#ifndef GL_EMBEDDING_H
#define GL_EMBEDDING_H

#include "gl_common.h"

// out[n] = table[idx[n]].
//
//   out    (N, C)  out, overwritten
//   table  (V, C)
//   idx    (N,)    in [0, V)
//
// GL_EINDEX names the lowest row out of range; nothing is then written.
gl_result gl_embedding_forward_f32(float *out, const float *table, const int64_t *idx, ptrdiff_t N,
                                   ptrdiff_t V, ptrdiff_t C, int nth);
gl_result gl_embedding_forward_f64(double *out, const double *table, const int64_t *idx,
                                   ptrdiff_t N, ptrdiff_t V, ptrdiff_t C, int nth);

// dtable[idx[n]] += dout[n], n ascending whatever the number of threads.
//
//   dtable  (V, C)  out, accumulated
//   dout    (N, C)
//   idx     (N,)    in [0, V)
//
// GL_EINDEX as in forward.
gl_result gl_embedding_backward_f32(float *dtable, const float *dout, const int64_t *idx,
                                    ptrdiff_t N, ptrdiff_t V, ptrdiff_t C, int nth);
gl_result gl_embedding_backward_f64(double *dtable, const double *dout, const int64_t *idx,
                                    ptrdiff_t N, ptrdiff_t V, ptrdiff_t C, int nth);

#endif
