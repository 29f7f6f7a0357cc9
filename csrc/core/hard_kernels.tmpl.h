// Hard attention: scores of some queries, a draw from each row of them, and the gradient of its
// log-probability and entropy. Scores are natural, not in base 2: a draw is that of a categorical.

#ifndef HARD_FEW
// So few queries do not repay the packing of keys: a dot product a score.
#define HARD_FEW 3
#endif

typedef struct {
    REAL *q;        // (GL_HARD_ROWS, D) queries times scale
    REAL *panels;   // (KEY_BLOCK, D) packed keys; NULL for few queries
    REAL *p;        // (GL_HARD_ROWS, KEY_BLOCK) backward: scores, then their gradient
} FN(hard_tile);

static ptrdiff_t FN(hard_scratch)(ptrdiff_t D) {
    const ptrdiff_t item = sizeof(REAL);
    ptrdiff_t n = gl_carve_size(gl_size_mul(GL_HARD_ROWS, D), item);
    n = gl_size_add(n, gl_carve_size(gl_size_mul(KEY_BLOCK, D), item));
    return gl_size_add(n, gl_carve_size(GL_HARD_ROWS*KEY_BLOCK, item));
}

static FN(hard_tile) FN(carve_hard)(void *scratch, const FN(gl_attention) *f) {
    char *cursor = scratch;
    FN(hard_tile) w;
    w.q = gl_carve(&cursor, GL_HARD_ROWS*f->D, sizeof(REAL));
    w.panels = gl_carve(&cursor, KEY_BLOCK*f->D, sizeof(REAL));
    w.p = gl_carve(&cursor, GL_HARD_ROWS*KEY_BLOCK, sizeof(REAL));
    if (f->Tq <= HARD_FEW) w.panels = NULL;
    return w;
}

// p (m, ldp) = scores of the m queries in w and n keys, which are packed unless queries are few.
// Columns up to a multiple of LANES may be written.
static void FN(hard_scores)(REAL *p, ptrdiff_t ldp, const FN(hard_tile) *w, ptrdiff_t m,
                            const REAL *keys, ptrdiff_t stride, ptrdiff_t n, ptrdiff_t D) {
    for (ptrdiff_t s = 0; w->panels && s < n; s += PANEL) {
        const ptrdiff_t wide = GL_MIN(PANEL, GL_CEIL_DIV(n - s, LANES) * LANES);
        FN(product)(p + s, ldp, w->q, D, 1, w->panels + s*D, PANEL, m, wide, D, 0);
    }
    for (ptrdiff_t s = 0; !w->panels && s < n; s++)
        for (ptrdiff_t r = 0; r < m; r++)
            p[r*ldp + s] = FN(dot_)(w->q + r*D, keys + s*stride, D);
}

// scores (m, ld) of queries t .. t + m of a head, in the columns of the keys k0 .. k1 that some of
// them see.
static void FN(hard_score_rows)(REAL *scores, ptrdiff_t ld, const FN(gl_hard) *a, ptrdiff_t head,
                                ptrdiff_t t, ptrdiff_t m, ptrdiff_t k0, ptrdiff_t k1,
                                void *scratch) {
    const FN(gl_attention) *f = &a->heads;
    const ptrdiff_t b = head / f->H, h = head % f->H, D = f->D;
    const ptrdiff_t end = GL_MIN(k1, FN(end_key)(f, b, t + m - 1));
    const FN(hard_tile) w = FN(carve_hard)(scratch, f);
    FN(scale_rows)(w.q, FN(rows_of)(&f->q, b, h, t), f->q.t, m, D, f->scale);
    for (ptrdiff_t k = k0; k < end; k += KEY_BLOCK) {
        const ptrdiff_t n = GL_MIN(KEY_BLOCK, end - k);
        const REAL *keys = FN(rows_of)(&f->k, b, h, k);
        if (w.panels) FN(pack_panels)(w.panels, keys, f->k.t, n, D);
        FN(hard_scores)(scores + k, ld, &w, m, keys, f->k.t, n, D);
    }
}

// The mask's row of a query, or NULL.
static const uint8_t *FN(hard_mask)(const FN(gl_attention) *f, ptrdiff_t b, ptrdiff_t h,
                                    ptrdiff_t t) {
    return f->mask.data ? FN(mask_row)(f, b, h, t) : NULL;
}

// Hides n scores where the mask does; 0 where one that it shows is not finite.
static int FN(hard_hide)(REAL *x, const uint8_t *mask, ptrdiff_t n) {
    int bad = 0;
    for (ptrdiff_t s = 0; s < n; s++) {
        const int seen = mask == NULL || mask[s];
        bad |= seen & !(x[s] * 0 == 0);
        x[s] = seen ? x[s] : -(REAL)INFINITY;
    }
    return !bad;
}

// Queries t .. t + m of a head, from their scores.
static gl_result FN(hard_draw_rows)(REAL *scores, ptrdiff_t ld, const FN(gl_hard) *a,
                                    ptrdiff_t head, ptrdiff_t t, ptrdiff_t m) {
    const FN(gl_attention) *f = &a->heads;
    const ptrdiff_t b = head / f->H, h = head % f->H;
    for (ptrdiff_t r = 0; r < m; r++) {
        const ptrdiff_t i = head*f->Tq + t + r, n = FN(end_key)(f, b, t + r);
        REAL *x = scores + r*ld;
        if (!FN(hard_hide)(x, FN(hard_mask)(f, b, h, t + r), n))
            return (gl_result){GL_ENONFINITE, r};

        // also where actions are given: the sums then have the same bits
        FN(choices) s;
        int64_t drawn;
        const gl_status status = FN(categorical_draw)(&drawn, &s, x,
                                                      a->uniforms ? a->uniforms[i] : 0, n);
        if (status != GL_OK) return (gl_result){status, r};
        if (a->uniforms) a->actions[i] = drawn;
        const ptrdiff_t z = (ptrdiff_t)a->actions[i];
        if (z < 0 || z >= f->Tk) return (gl_result){GL_EINDEX, r};
        const REAL log_sum = FN(log_)(s.sum);
        a->logp[i] = z < n ? x[z] - s.max - log_sum : -(REAL)INFINITY;
        a->entropy[i] = log_sum - s.dot / s.sum;
        f->lse[i] = s.max + log_sum;
        if (f->out.data)
            memcpy(FN(rows_out)(&f->out, b, h, t + r), FN(rows_of)(&f->v, b, h, z),
                   (size_t)f->E * sizeof(REAL));
    }
    return gl_ok();
}

// Turns the scores x of query t and n keys from k0 on into their gradient, times scale.
static void FN(hard_gradient)(REAL *x, const FN(gl_hard) *a, ptrdiff_t head, ptrdiff_t t,
                              ptrdiff_t k0, ptrdiff_t n) {
    const FN(gl_attention) *f = &a->heads;
    const ptrdiff_t b = head / f->H, h = head % f->H, i = head*f->Tq + t;
    const ptrdiff_t own = GL_MAX(0, GL_MIN(n, FN(end_key)(f, b, t) - k0));
    const ptrdiff_t wide = GL_CEIL_DIV(n, LANES) * LANES, z = (ptrdiff_t)a->actions[i] - k0;
    const REAL dlogp = f->scale * (a->dlogp ? a->dlogp[i] : 0);
    const REAL dentropy = f->scale * (a->dentropy ? a->dentropy[i] : 0);
    const REAL lse = f->lse[i], entropy = a->entropy[i];
    const uint8_t *mask = FN(hard_mask)(f, b, h, t);
    FN(hard_hide)(x, mask ? mask + k0 : NULL, own);
    for (ptrdiff_t s = own; s < wide; s++) x[s] = -(REAL)INFINITY;

    // forward: logp = score_z - lse, entropy = -sum p log p, log p = score - lse
    // so dscore = dlogp (onehot - p) - dentropy p (log p + entropy)
    for (ptrdiff_t s = 0; s < wide; s += LANES)
        EACH_LANE(k) {
            const REAL y = FN(choice_depth)(x[s + k] - lse), p = FN(exp_)(y);
            x[s + k] = -p * (dlogp + dentropy * (y + entropy));
        }
    if (z >= 0 && z < own && (mask == NULL || mask[k0 + z])) x[z] += dlogp;
}

// Keys k0 .. k1 of a head: dk overwritten, dv accumulated, and dq (Tq, ldq) overwritten with what
// these keys give to it.
static void FN(hard_backward_keys)(REAL *dq, ptrdiff_t ldq, const FN(gl_hard) *a, ptrdiff_t head,
                                   ptrdiff_t k0, ptrdiff_t k1, void *scratch) {
    const FN(gl_attention) *f = &a->heads;
    const ptrdiff_t b = head / f->H, h = head % f->H, Tq = f->Tq, D = f->D, stride = f->k.t;
    const FN(hard_tile) w = FN(carve_hard)(scratch, f);

    // forward: out = v_z
    for (ptrdiff_t t = 0; f->dout.data && t < Tq; t++) {
        const ptrdiff_t z = (ptrdiff_t)a->actions[head*Tq + t];
        if (z < k0 || z >= k1) continue;
        const REAL *dout = FN(rows_of)(&f->dout, b, h, t);
        REAL *dv = FN(rows_out)(&f->dv, b, h, z);
        for (ptrdiff_t e = 0; e < f->E; e++) dv[e] += dout[e];
    }

    if (D == 0) return;
    const int any = a->dlogp || a->dentropy;
    const ptrdiff_t end = any ? GL_MAX(k0, GL_MIN(k1, FN(key_length)(f, b))) : k0;
    FN(zero_rows)(dq, ldq, 0, Tq, D);
    FN(zero_rows)(FN(rows_out)(&f->dk, b, h, 0), f->dk.t, end, k1, D);
    for (ptrdiff_t k = k0; k < end; k += KEY_BLOCK) {
        const ptrdiff_t n = GL_MIN(KEY_BLOCK, end - k);
        const REAL *keys = FN(rows_of)(&f->k, b, h, k);
        REAL *dk = FN(rows_out)(&f->dk, b, h, k);
        FN(zero_rows)(dk, f->dk.t, 0, n, D);
        if (w.panels) FN(pack_panels)(w.panels, keys, stride, n, D);
        const int finite = f->mask.data == NULL || FN(rows_finite)(keys, stride, n, D);

        for (ptrdiff_t t = FN(first_query)(f, k); t < Tq; t += GL_HARD_ROWS) {
            const ptrdiff_t m = GL_MIN(GL_HARD_ROWS, Tq - t);
            const ptrdiff_t seen = GL_MIN(n, FN(end_key)(f, b, t + m - 1) - k);
            const REAL *q = FN(rows_of)(&f->q, b, h, t);
            FN(scale_rows)(w.q, q, f->q.t, m, D, f->scale);
            FN(hard_scores)(w.p, KEY_BLOCK, &w, m, keys, stride, seen, D);
            for (ptrdiff_t r = 0; r < m; r++)
                FN(hard_gradient)(w.p + r*KEY_BLOCK, a, head, t + r, k, seen);

            // forward: score = scale * <q, k>
            FN(product)(dk, f->dk.t, w.p, 1, KEY_BLOCK, q, f->q.t, seen, D, m, 1);
            // a key that is not finite is one that no query sees: not even 0 times it
            const ptrdiff_t step = finite ? seen : 1;
            for (ptrdiff_t s = 0; s < seen; s += step)
                if (finite || FN(rows_finite)(keys + s*stride, stride, 1, D))
                    FN(product)(dq + t*ldq, ldq, w.p + s, KEY_BLOCK, 1, keys + s*stride, stride, m,
                                D, step, 1);
        }
    }
}
