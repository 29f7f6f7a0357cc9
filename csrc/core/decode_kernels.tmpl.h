// Attention of one query over a cache: block by block, then the blocks together.
//
// Of a block remain D + 2 values: the largest score, the sum of exp(score - largest), and the values
// weighted with those terms.

// n keys and values side by side; p is scratch for n scores.
static void FN(decode_block)(REAL *part, REAL *p, const REAL *q, const REAL *k, const REAL *v,
                             REAL scale, ptrdiff_t n, ptrdiff_t D) {
    for (ptrdiff_t s = 0; s < n; s++) p[s] = scale * FN(dot_)(q, k + s*D, D);
    const REAL top = FN(row_max)(p, n);
    const REAL shift = top == -(REAL)INFINITY ? 0 : top;
    for (ptrdiff_t s = 0; s < n; s++) p[s] = FN(exp_)(p[s] - shift);
    part[0] = top;
    part[1] = FN(sum_)(p, n);

    REAL *restrict out = part + 2;
    memset(out, 0, (size_t)D * sizeof(REAL));
    ptrdiff_t s = 0;
    for (; s + 4 <= n; s += 4) {
        const REAL *v_s = v + s*D, p0 = p[s], p1 = p[s + 1], p2 = p[s + 2], p3 = p[s + 3];
        for (ptrdiff_t d = 0; d < D; d++) {
            const REAL sum = FN(fma_)(p1, v_s[D + d], FN(fma_)(p0, v_s[d], out[d]));
            out[d] = FN(fma_)(p3, v_s[3*D + d], FN(fma_)(p2, v_s[2*D + d], sum));
        }
    }
    for (; s < n; s++)
        for (ptrdiff_t d = 0; d < D; d++) out[d] = FN(fma_)(p[s], v[s*D + d], out[d]);
}

// out (D,) = factor * the weighted mean of n > 0 blocks, `stride` values apart.
static void FN(decode_combine)(REAL *restrict out, const REAL *part, ptrdiff_t stride, REAL factor,
                               ptrdiff_t n, ptrdiff_t D) {
    REAL top = -(REAL)INFINITY, sum = 0;
    for (ptrdiff_t i = 0; i < n; i++) top = part[i*stride] > top ? part[i*stride] : top;
    const REAL shift = top == -(REAL)INFINITY ? 0 : top;
    memset(out, 0, (size_t)D * sizeof(REAL));
    for (ptrdiff_t i = 0; i < n; i++) {
        const REAL *part_i = part + i*stride, *values = part_i + 2;
        const REAL weight = FN(exp_)(part_i[0] - shift);
        sum += weight * part_i[1];
        for (ptrdiff_t d = 0; d < D; d++) out[d] += weight * values[d];
    }
    const REAL norm = sum == 0 ? 0 : factor / sum;
    for (ptrdiff_t d = 0; d < D; d++) out[d] *= norm;
}
