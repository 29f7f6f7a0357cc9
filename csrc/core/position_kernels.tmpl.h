// What tells a position from its neighbours: the token shift and the rotation of queries and keys.

// m_t = n_t + shift * (n_{t-1} - n_t), n_{-1} = 0.
static void FN(token_shift)(REAL *restrict m, const REAL *restrict n, const REAL *restrict shift,
                            ptrdiff_t T, ptrdiff_t C) {
    for (ptrdiff_t c = 0; T > 0 && c < C; c++) m[c] = n[c] - shift[c] * n[c];
    for (ptrdiff_t t = 1; t < T; t++) {
        REAL *m_t = m + t*C;
        const REAL *n_t = n + t*C, *n_tm1 = n_t - C;
        for (ptrdiff_t c = 0; c < C; c++) m_t[c] = n_t[c] + shift[c] * (n_tm1[c] - n_t[c]);
    }
}

// Backward of three shifts of one n: dm (3, T, C), shift (3, C); dn (T, C) overwritten, dshift (3, C)
// accumulated.
static void FN(token_shift_backward)(REAL *restrict dn, REAL *restrict dshift,
                                     const REAL *restrict dm, const REAL *restrict n,
                                     const REAL *restrict shift, ptrdiff_t T, ptrdiff_t C) {
    const REAL *s0 = shift, *s1 = shift + C, *s2 = shift + 2*C;
    REAL *restrict ds0 = dshift, *restrict ds1 = dshift + C, *restrict ds2 = dshift + 2*C;
    for (ptrdiff_t t = 0; t < T; t++) {
        const REAL *d0 = dm + t*C, *d1 = d0 + T*C, *d2 = d1 + T*C, *n_t = n + t*C;
        REAL *dn_t = dn + t*C;
        const ptrdiff_t behind = t + 1 < T ? C : 0, before = t > 0 ? C : 0;

        // forward: m_t = n_t + shift * (n_{t-1} - n_t), so n_t reaches m_t and m_{t+1}
        for (ptrdiff_t c = 0; c < C; c++)
            dn_t[c] = (d0[c] - s0[c] * d0[c]) + (d1[c] - s1[c] * d1[c]) + (d2[c] - s2[c] * d2[c]);
        for (ptrdiff_t c = 0; c < behind; c++)
            dn_t[c] += s0[c] * d0[C + c] + s1[c] * d1[C + c] + s2[c] * d2[C + c];
        for (ptrdiff_t c = 0; c < C; c++) {
            ds0[c] -= d0[c] * n_t[c];
            ds1[c] -= d1[c] * n_t[c];
            ds2[c] -= d2[c] * n_t[c];
        }
        for (ptrdiff_t c = 0; c < before; c++) {
            ds0[c] += d0[c] * n_t[c - C];
            ds1[c] += d1[c] * n_t[c - C];
            ds2[c] += d2[c] * n_t[c - C];
        }
    }
}

// Rotate T rows of width D, `stride` apart, in place: the pair (d, d + D/2) of row t by the angle
// whose cosine and sine are given; back by it where `inverse`.
static void FN(rotate)(REAL *x, ptrdiff_t stride, const REAL *cosine, const REAL *sine, int inverse,
                       ptrdiff_t T, ptrdiff_t D) {
    const ptrdiff_t half = D / 2;
    const REAL sign = inverse ? -1 : 1;
    for (ptrdiff_t t = 0; t < T; t++) {
        REAL *restrict a = x + t*stride, *restrict b = a + half;
        const REAL *restrict cos_t = cosine + t*half, *restrict sin_t = sine + t*half;
        for (ptrdiff_t d = 0; d < half; d++) {
            const REAL u = a[d], w = b[d], s = sign * sin_t[d];
            a[d] = u * cos_t[d] - w * s;
            b[d] = w * cos_t[d] + u * s;
        }
    }
}
