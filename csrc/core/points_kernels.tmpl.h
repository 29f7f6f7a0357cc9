// Rows that may be short (a gate a head, two coordinates): elements are computed over the flat
// array, a buffer of POINTS at a time, and summed by row afterwards.
#ifndef POINTS
#define POINTS 512
#endif

// out_b = sum over the row of point[b, k]; a row longer than the buffer is summed in pieces.
static inline void FN(points_sum)(REAL *out, const REAL *point, ptrdiff_t at, ptrdiff_t n,
                                  ptrdiff_t K) {
    if (K > POINTS) {
        const REAL piece = FN(sum_)(point, n);
        out[at / K] = at % K ? out[at / K] + piece : piece;
        return;
    }
    for (ptrdiff_t i = 0; i < n; i += K) {
        REAL sum = 0;
        for (ptrdiff_t k = 0; k < K && K < LANES; k++) sum += point[i + k];
        out[(at + i) / K] = K < LANES ? sum : FN(sum_)(point + i, K);
    }
}

// Elements to do next: whole rows, or a piece of one long row.
static inline ptrdiff_t FN(points_step)(ptrdiff_t at, ptrdiff_t total, ptrdiff_t K) {
    return K > POINTS ? GL_MIN(POINTS, K - at % K) : GL_MIN(POINTS / K * K, total - at);
}
