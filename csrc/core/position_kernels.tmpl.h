// What tells a position from its neighbours: the token shift and the rotation of queries and keys.

// Three shifts of one n (T, C), `apart` rows from each other in m; shift (3, C).
static void FN(token_shift)(REAL *restrict m, const REAL *restrict n, const REAL *restrict shift,
                            ptrdiff_t apart, ptrdiff_t T, ptrdiff_t C) {
    const REAL *s0 = shift, *s1 = shift + C, *s2 = shift + 2*C;
    for (ptrdiff_t t = 0; t < T; t++) {
        REAL *restrict m0 = m + t*C, *restrict m1 = m0 + apart*C, *restrict m2 = m1 + apart*C;
        const REAL *n_t = n + t*C;
        // m_t = n_t + shift * (n_{t-1} - n_t), n_{-1} = 0
        if (t == 0)
            for (ptrdiff_t c = 0; c < C; c++) {
                m0[c] = n_t[c] - s0[c] * n_t[c];
                m1[c] = n_t[c] - s1[c] * n_t[c];
                m2[c] = n_t[c] - s2[c] * n_t[c];
            }
        else
            for (ptrdiff_t c = 0; c < C; c++) {
                const REAL step = n_t[c - C] - n_t[c];
                m0[c] = n_t[c] + s0[c] * step;
                m1[c] = n_t[c] + s1[c] * step;
                m2[c] = n_t[c] + s2[c] * step;
            }
    }
}

// Backward of a panel of columns, so that what every row adds to or reads stays in registers: a
// vector wide, or `part` columns where part > 0. part is 0 or C % VL at every call.
ALWAYS_INLINE void FN(token_shift_backward_panel)(ptrdiff_t part, REAL *dn, REAL *dshift,
                                                  const REAL *dm, const REAL *n, const REAL *shift,
                                                  ptrdiff_t apart, ptrdiff_t T, ptrdiff_t C) {
#define LOAD(p) (part ? FN(load_part)(p, part) : FN(load)(p))
#define STORE(p, v) (part ? FN(store_part)(p, v, part) : FN(store)(p, v))
    const VEC s0 = LOAD(shift), s1 = LOAD(shift + C), s2 = LOAD(shift + 2*C);
    VEC ds0 = LOAD(dshift), ds1 = LOAD(dshift + C), ds2 = LOAD(dshift + 2*C);
    const REAL *dm0 = dm, *dm1 = dm0 + apart*C, *dm2 = dm1 + apart*C;
    VEC d0 = LOAD(dm0), d1 = LOAD(dm1), d2 = LOAD(dm2), n_tm1 = {0};
    for (ptrdiff_t t = 0; t < T; t++) {
        // forward: m_t = n_t + shift * (n_{t-1} - n_t), so n_t reaches m_t and m_{t+1}
        const VEC n_t = LOAD(n + t*C), step = n_tm1 - n_t;
        ds0 += d0 * step;
        ds1 += d1 * step;
        ds2 += d2 * step;
        VEC d = (d0 - s0 * d0) + (d1 - s1 * d1) + (d2 - s2 * d2);
        if (t + 1 < T) {
            d0 = LOAD(dm0 + (t + 1)*C);
            d1 = LOAD(dm1 + (t + 1)*C);
            d2 = LOAD(dm2 + (t + 1)*C);
            d += s0 * d0 + s1 * d1 + s2 * d2;
        }
        STORE(dn + t*C, d);
        n_tm1 = n_t;
    }
    STORE(dshift, ds0);
    STORE(dshift + C, ds1);
    STORE(dshift + 2*C, ds2);
#undef LOAD
#undef STORE
}

// Backward of the three: dm is laid out like m; dn (T, C) overwritten, dshift (3, C) accumulated.
static void FN(token_shift_backward)(REAL *restrict dn, REAL *restrict dshift,
                                     const REAL *restrict dm, const REAL *restrict n,
                                     const REAL *restrict shift, ptrdiff_t apart, ptrdiff_t T,
                                     ptrdiff_t C) {
    ptrdiff_t c = 0;
    if (T == 0) return;
    for (; c + VL <= C; c += VL)
        FN(token_shift_backward_panel)(0, dn + c, dshift + c, dm + c, n + c, shift + c, apart, T, C);
    if (c < C)
        FN(token_shift_backward_panel)(C - c, dn + c, dshift + c, dm + c, n + c, shift + c, apart, T,
                                       C);
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
