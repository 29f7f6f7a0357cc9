// Additive attention, query by query. Time goes into tanh, which runs along a run of LANES keys:
// they come packed as (A, LANES), the last run of a sample filled up with zeros.

// The keys that query t of sample b may see end here.
static ptrdiff_t FN(additive_end)(const FN(gl_additive) *a, ptrdiff_t b, ptrdiff_t t) {
    if (a->query_lengths && t >= a->query_lengths[b]) return 0;
    const ptrdiff_t end = a->key_lengths ? (ptrdiff_t)a->key_lengths[b] : a->Tk;
    return a->causal ? GL_MIN(end, t + 1) : end;
}

// Which of the keys s, s + 1, ... of a run are seen; returns whether one is.
static int FN(additive_seen)(UINT *seen, const uint8_t *mask, ptrdiff_t s, ptrdiff_t end) {
    UINT any = 0;
    for (ptrdiff_t k = 0; k < LANES; k++)
        any |= seen[k] = s + k < end && (mask == NULL || mask[s + k]);
    return any != 0;
}

// score (LANES) = <weight, tanh(query + key)> of one run; with `keep`, th (A, LANES) keeps the tanh.
static inline __attribute__((always_inline)) void FN(additive_scores)(
    int keep, REAL *restrict score, REAL *restrict th, const REAL *query, const REAL *run,
    const REAL *weight, ptrdiff_t A) {
    REAL lane[LANES] = {0};
    for (ptrdiff_t i = 0; i < A; i++)
        EACH_LANE(k) {
            const REAL y = FN(tanh_)(query[i] + run[i*LANES + k]);
            lane[k] += weight[i] * y;
            if (keep) th[i*LANES + k] = y;
        }
    EACH_LANE(k) score[k] = lane[k];
}

// Query t of sample b, whose packed keys are given. Scratch: p (Tk), where a->p is NULL.
static void FN(additive_forward_row)(const FN(gl_additive) *a, const REAL *packed, ptrdiff_t b,
                                     ptrdiff_t t, REAL *p) {
    const ptrdiff_t A = a->A, E = a->E, Tk = a->Tk, row = b*a->Tq + t;
    const ptrdiff_t end = FN(additive_end)(a, b, t);
    const uint8_t *mask = a->mask ? a->mask + row*Tk : NULL;
    if (a->p) {
        p = a->p + row*Tk;
        memset(p + end, 0, (size_t)(Tk - end) * sizeof(REAL));
    }
    for (ptrdiff_t s = 0; s < end; s += LANES) {
        REAL score[LANES] = {0};
        UINT seen[LANES];
        if (FN(additive_seen)(seen, mask, s, end))
            FN(additive_scores)(0, score, NULL, a->query + row*A, packed + s*A, a->weight, A);
        const ptrdiff_t n = GL_MIN(LANES, end - s);
        for (ptrdiff_t k = 0; k < n; k++) p[s + k] = seen[k] ? score[k] : -(REAL)INFINITY;
    }

    const REAL high = FN(row_max)(p, end), top = high == -(REAL)INFINITY ? 0 : high;
    const REAL sum = FN(row_exp)(1, p, p, top, end), norm = sum == 0 ? 0 : 1 / sum;
    if (a->lse) a->lse[row] = sum == 0 ? -(REAL)INFINITY : top + MATH(log)(sum);

    REAL *restrict out = a->out + row*E;
    memset(out, 0, (size_t)E * sizeof(REAL));
    for (ptrdiff_t s = 0; s < end; s++) {
        p[s] *= norm;
        if (mask && !mask[s]) continue;
        const REAL *value = a->value + (b*Tk + s)*E;
        for (ptrdiff_t e = 0; e < E; e++) out[e] += p[s] * value[e];
    }
}

// Queries t0 .. t1 of sample b: dquery overwritten; dpacked, which is to the keys what `packed` is,
// dvalue (Tk, E) and dweight (A) accumulated. Scratch: (3, A, LANES).
static void FN(additive_backward_rows)(const FN(gl_additive) *a, const REAL *packed, ptrdiff_t b,
                                       ptrdiff_t t0, ptrdiff_t t1, REAL *dpacked, REAL *dvalue,
                                       REAL *dweight, REAL *scratch) {
    const ptrdiff_t A = a->A, E = a->E, Tk = a->Tk;
    const REAL *weight = a->weight;
    REAL *restrict th = scratch, *restrict dq = th + A*LANES, *restrict dw = dq + A*LANES;
    memset(dw, 0, (size_t)(A*LANES) * sizeof(REAL));

    for (ptrdiff_t t = t0; t < t1; t++) {
        const ptrdiff_t row = b*a->Tq + t, end = FN(additive_end)(a, b, t);
        const REAL *dout = a->dout + row*E, lse = a->lse[row];
        const REAL delta = FN(dot_)(dout, a->out + row*E, E);
        const uint8_t *mask = a->mask ? a->mask + row*Tk : NULL;
        memset(dq, 0, (size_t)(A*LANES) * sizeof(REAL));

        for (ptrdiff_t s = 0; s < end && lse != -(REAL)INFINITY; s += LANES) {
            REAL p[LANES], ds[LANES] = {0};
            UINT seen[LANES];
            if (!FN(additive_seen)(seen, mask, s, end)) continue;
            FN(additive_scores)(1, p, th, a->query + row*A, packed + s*A, weight, A);

            // forward: out = sum of p value, p = softmax(score), so ds = p * (dp - <dout, out>)
            for (ptrdiff_t k = 0; k < LANES; k++)
                if (seen[k]) ds[k] = FN(dot_)(dout, a->value + (b*Tk + s + k)*E, E);
            EACH_LANE(k) {
                p[k] = FN(exp_)(p[k] - lse);
                ds[k] = seen[k] ? p[k] * (ds[k] - delta) : 0;
            }
            for (ptrdiff_t k = 0; k < LANES; k++) {
                if (!seen[k]) continue;
                REAL *restrict dvalue_s = dvalue + (s + k)*E;
                for (ptrdiff_t e = 0; e < E; e++) dvalue_s[e] += p[k] * dout[e];
            }

            // forward: score = <weight, th>, th = tanh(query + key)
            REAL *restrict dkey = dpacked + s*A;
            for (ptrdiff_t i = 0; i < A; i++)
                EACH_LANE(k) {
                    const ptrdiff_t at = i*LANES + k;
                    const REAL y = seen[k] ? th[at] : 0, d = ds[k] * weight[i] * (1 - y*y);
                    dq[at] += d;
                    dkey[at] += d;
                    dw[at] += ds[k] * y;
                }
        }
        for (ptrdiff_t i = 0; i < A; i++) a->dquery[row*A + i] = FN(fold_add)(dq + i*LANES);
    }
    for (ptrdiff_t i = 0; i < A; i++) dweight[i] += FN(fold_add)(dw + i*LANES);
}
