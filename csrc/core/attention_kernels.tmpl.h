// One block of queries forward, one head backward.
//
// Keys are taken KEY_BLOCK at a time. They are transposed once a block, so that a tile of scores
// is a product whose inner loop runs along memory; then the tile of a few query rows stays in the
// first cache through softmax and the product with the values.

#ifndef KEY_BLOCK
#define KEY_BLOCK 128
#define BACKWARD_ROWS 48
#endif

// Number of queries and keys of a sample.
static ptrdiff_t FN(query_length)(const FN(gl_attention) *a, ptrdiff_t b) {
    return a->query_lengths ? (ptrdiff_t)a->query_lengths[b] : a->Tq;
}

static ptrdiff_t FN(key_length)(const FN(gl_attention) *a, ptrdiff_t b) {
    return a->key_lengths ? (ptrdiff_t)a->key_lengths[b] : a->Tk;
}

// to (D, KEY_BLOCK) = transpose of n rows of x; columns n .. KEY_BLOCK become 0.
static void FN(transpose_block)(REAL *restrict to, const REAL *restrict x, ptrdiff_t stride,
                                ptrdiff_t n, ptrdiff_t D) {
    for (ptrdiff_t d = 0; d < D; d++) {
        for (ptrdiff_t s = 0; s < n; s++) to[d*KEY_BLOCK + s] = x[s*stride + d];
        for (ptrdiff_t s = n; s < KEY_BLOCK; s++) to[d*KEY_BLOCK + s] = 0;
    }
}

// 0 where a value of n rows is NaN or infinite.
static int FN(rows_finite)(const REAL *x, ptrdiff_t stride, ptrdiff_t n, ptrdiff_t D) {
    REAL lane[LANES] = {0};
    for (ptrdiff_t s = 0; s < n; s++) {
        const REAL *x_s = x + s*stride;
        ptrdiff_t d = 0;
        for (; d + LANES <= D; d += LANES)
            for (int k = 0; k < LANES; k++) lane[k] += x_s[d + k] * 0;
        for (; d < D; d++) lane[0] += x_s[d] * 0;
    }
    return FN(fold_lanes)(lane) == 0;
}

// x = exp(scale * x - shift) for n scores; returns their sum.
static REAL FN(exp_row)(REAL *x, REAL scale, REAL shift, ptrdiff_t n) {
    for (ptrdiff_t s = 0; s < n; s++) x[s] = FN(exp_)(scale * x[s] - shift);
    return FN(sum_)(x, n);
}

static void FN(zero_rows)(REAL *x, ptrdiff_t stride, ptrdiff_t from, ptrdiff_t to, ptrdiff_t D) {
    for (ptrdiff_t t = from; t < to; t++) memset(x + t*stride, 0, (size_t)D * sizeof(REAL));
}

// Rows q0 .. q0 + GL_ATTENTION_QUERY_BLOCK of sample b, head h.
static void FN(attention_forward_block)(const FN(gl_attention) *a, ptrdiff_t b, ptrdiff_t h,
                                        ptrdiff_t q0, void *scratch) {
    const ptrdiff_t D = a->D, E = a->E;
    const ptrdiff_t q_end = GL_MIN(q0 + GL_ATTENTION_QUERY_BLOCK, a->Tq);
    const ptrdiff_t rows = GL_MAX(0, GL_MIN(q_end, FN(query_length)(a, b)) - q0);
    const ptrdiff_t Tk = FN(key_length)(a, b);
    const REAL gate = a->gate ? a->gate[b*a->H + h] : 1;
    REAL *out = a->out.data + b*a->out.b + h*a->out.h;
    REAL *lse = a->lse ? a->lse + (b*a->H + h)*a->Tq : NULL;
    const ptrdiff_t live = gate == 0 ? 0 : rows;
    FN(zero_rows)(out, a->out.t, q0 + live, q_end, E);
    for (ptrdiff_t t = q0 + live; lse && t < q_end; t++) lse[t] = -(REAL)INFINITY;
    if (live == 0) return;

    const REAL *q = a->q.data + b*a->q.b + h*a->q.h + q0*a->q.t;
    const REAL *k = a->k.data + b*a->k.b + h*a->k.h;
    const REAL *v = a->v.data + b*a->v.b + h*a->v.h;
    char *cursor = scratch;
    REAL *kt = gl_carve(&cursor, D*KEY_BLOCK, sizeof(REAL));
    REAL *p = gl_carve(&cursor, PRODUCT_ROWS*KEY_BLOCK, sizeof(REAL));
    REAL *acc = gl_carve(&cursor, GL_ATTENTION_QUERY_BLOCK*E, sizeof(REAL));
    REAL *top = gl_carve(&cursor, GL_ATTENTION_QUERY_BLOCK, sizeof(REAL));
    REAL *sum = gl_carve(&cursor, GL_ATTENTION_QUERY_BLOCK, sizeof(REAL));

    for (ptrdiff_t i = 0; i < rows; i++) {
        top[i] = -(REAL)INFINITY;
        sum[i] = 0;
    }
    memset(acc, 0, (size_t)(rows*E) * sizeof(REAL));

    const ptrdiff_t k_end = a->causal ? GL_MIN(Tk, q0 + rows) : Tk;
    for (ptrdiff_t k0 = 0; k0 < k_end; k0 += KEY_BLOCK) {
        const ptrdiff_t n = GL_MIN(KEY_BLOCK, k_end - k0);
        const REAL *v_blk = v + k0*a->v.t;
        FN(transpose_block)(kt, k + k0*a->k.t, a->k.t, n, D);

        // where a tile holds keys that some of its rows may not see, a value that is not finite
        // must not reach those rows through 0 * NaN: then go row by row
        const int diagonal = a->causal && k0 + n > q0 + 1;
        const int tile =
            diagonal && !FN(rows_finite)(v_blk, a->v.t, n, E) ? 1 : PRODUCT_ROWS;

        const ptrdiff_t first = a->causal ? GL_MAX(0, k0 - q0) : 0;
        for (ptrdiff_t i = first; i < rows; i += tile) {
            const ptrdiff_t m = GL_MIN(tile, rows - i);
            const ptrdiff_t seen = a->causal ? GL_MIN(n, q0 + i + m - k0) : n;
            const ptrdiff_t wide = GL_CEIL_DIV(seen, LANES) * LANES;
            FN(product)(p, KEY_BLOCK, q + i*a->q.t, a->q.t, 1, kt, KEY_BLOCK, m, wide, D, 0);

            for (ptrdiff_t r = 0; r < m; r++) {
                REAL *p_r = p + r*KEY_BLOCK;
                const ptrdiff_t n_r = a->causal ? GL_MIN(seen, q0 + i + r + 1 - k0) : seen;

                // the largest scaled score so far: all earlier terms shrink by exp(old - new)
                const REAL old = top[i + r], scale = a->scale;
                const REAL flip = scale < 0 ? -1 : 1;
                if (flip < 0)
                    for (ptrdiff_t s = 0; s < n_r; s++) p_r[s] = -p_r[s];
                const REAL far = FN(row_max)(p_r, n_r);
                const REAL high = far == -(REAL)INFINITY ? far : far * (scale * flip);
                const REAL new = high > old ? high : old;
                const REAL shift = new == -(REAL)INFINITY ? 0 : new;
                const REAL shrink = FN(exp_)(old - shift);
                sum[i + r] = sum[i + r] * shrink + FN(exp_row)(p_r, scale * flip, shift, n_r);
                top[i + r] = new;
                if (shrink != 1)
                    for (ptrdiff_t e = 0; e < E; e++) acc[(i + r)*E + e] *= shrink;
                for (ptrdiff_t s = n_r; s < seen; s++) p_r[s] = 0;
            }
            FN(product)(acc + i*E, E, p, KEY_BLOCK, 1, v_blk, a->v.t, m, E, seen, 1);
        }
    }

    for (ptrdiff_t i = 0; i < rows; i++) {
        REAL *out_t = out + (q0 + i)*a->out.t;
        const REAL norm = sum[i] == 0 ? 0 : gate / sum[i];
        for (ptrdiff_t e = 0; e < E; e++) out_t[e] = acc[i*E + e] * norm;
        if (lse) lse[q0 + i] = sum[i] == 0 ? -(REAL)INFINITY : top[i] + MATH(log)(sum[i]);
    }
}

static ptrdiff_t FN(attention_forward_scratch)(ptrdiff_t D, ptrdiff_t E) {
    const ptrdiff_t item = sizeof(REAL);
    ptrdiff_t n = gl_carve_size(gl_size_mul(D, KEY_BLOCK), item);
    n = gl_size_add(n, gl_carve_size(PRODUCT_ROWS*KEY_BLOCK, item));
    n = gl_size_add(n, gl_carve_size(gl_size_mul(GL_ATTENTION_QUERY_BLOCK, E), item));
    return gl_size_add(n, 2*gl_carve_size(GL_ATTENTION_QUERY_BLOCK, item));
}

// All of head h of sample b.
static void FN(attention_backward_head)(const FN(gl_attention) *a, ptrdiff_t b, ptrdiff_t h,
                                        void *scratch) {
    const ptrdiff_t D = a->D, E = a->E;
    const REAL gate = a->gate ? a->gate[b*a->H + h] : 1;
    const ptrdiff_t Tq = gate == 0 ? 0 : FN(query_length)(a, b);
    const ptrdiff_t Tk = gate == 0 ? 0 : FN(key_length)(a, b);
    const ptrdiff_t seen_keys = a->causal ? GL_MIN(Tk, Tq) : Tq == 0 ? 0 : Tk;
    REAL *dq = a->dq.data + b*a->dq.b + h*a->dq.h;
    REAL *dk = a->dk.data + b*a->dk.b + h*a->dk.h;
    REAL *dv = a->dv.data + b*a->dv.b + h*a->dv.h;
    FN(zero_rows)(dq, a->dq.t, seen_keys == 0 ? 0 : Tq, a->Tq, D);
    FN(zero_rows)(dk, a->dk.t, seen_keys, a->Tk, D);
    FN(zero_rows)(dv, a->dv.t, seen_keys, a->Tk, E);
    if (a->dgate) a->dgate[b*a->H + h] = 0;
    if (seen_keys == 0) return;

    const REAL *q = a->q.data + b*a->q.b + h*a->q.h;
    const REAL *k = a->k.data + b*a->k.b + h*a->k.h;
    const REAL *v = a->v.data + b*a->v.b + h*a->v.h;
    const REAL *out = a->out.data + b*a->out.b + h*a->out.h;
    const REAL *dout = a->dout.data + b*a->dout.b + h*a->dout.h;
    const REAL *lse = a->lse + (b*a->H + h)*a->Tq;
    char *cursor = scratch;
    REAL *kt = gl_carve(&cursor, D*KEY_BLOCK, sizeof(REAL));
    REAL *vt = gl_carve(&cursor, E*KEY_BLOCK, sizeof(REAL));
    REAL *p = gl_carve(&cursor, BACKWARD_ROWS*KEY_BLOCK, sizeof(REAL));
    REAL *dp = gl_carve(&cursor, BACKWARD_ROWS*KEY_BLOCK, sizeof(REAL));
    REAL *dk_blk = gl_carve(&cursor, D*KEY_BLOCK, sizeof(REAL));
    REAL *dv_blk = gl_carve(&cursor, E*KEY_BLOCK, sizeof(REAL));

    // forward: out = gate * o, so <dout, out> = <do, o>: one number serves softmax and gate
    if (a->dgate) {
        REAL d = 0;
        for (ptrdiff_t t = 0; t < Tq; t++) d += FN(dot_)(dout + t*a->dout.t, out + t*a->out.t, E);
        a->dgate[b*a->H + h] = d / gate;
    }

    // as in forward: no 0 * NaN into rows and keys that do not see each other
    const int tile =
        a->causal && !(FN(rows_finite)(q, a->q.t, Tq, D) && FN(rows_finite)(k, a->k.t, Tk, D) &&
                       FN(rows_finite)(v, a->v.t, Tk, E) && FN(rows_finite)(dout, a->dout.t, Tq, E))
            ? 1 : BACKWARD_ROWS;

    for (ptrdiff_t k0 = 0; k0 < seen_keys; k0 += KEY_BLOCK) {
        const ptrdiff_t n = GL_MIN(KEY_BLOCK, seen_keys - k0);
        FN(transpose_block)(kt, k + k0*a->k.t, a->k.t, n, D);
        FN(transpose_block)(vt, v + k0*a->v.t, a->v.t, n, E);
        memset(dk_blk, 0, (size_t)(n*D) * sizeof(REAL));
        memset(dv_blk, 0, (size_t)(n*E) * sizeof(REAL));

        for (ptrdiff_t t = a->causal ? k0 : 0; t < Tq; t += tile) {
            const ptrdiff_t m = GL_MIN(tile, Tq - t);
            const ptrdiff_t seen = a->causal ? GL_MIN(n, t + m - k0) : n;
            const ptrdiff_t wide = GL_CEIL_DIV(seen, LANES) * LANES;
            const REAL *q_t = q + t*a->q.t, *dout_t = dout + t*a->dout.t;

            // forward: p = exp(scale * q k^T - lse)
            FN(product)(p, KEY_BLOCK, q_t, a->q.t, 1, kt, KEY_BLOCK, m, wide, D, 0);
            // forward: o = p v, so dp = do v^T with do = gate * dout
            FN(product)(dp, KEY_BLOCK, dout_t, a->dout.t, 1, vt, KEY_BLOCK, m, wide, E, 0);
            for (ptrdiff_t r = 0; r < m; r++) {
                REAL *p_r = p + r*KEY_BLOCK, *ds_r = dp + r*KEY_BLOCK;
                const REAL l = lse[t + r];
                const ptrdiff_t n_r = l == -(REAL)INFINITY ? 0
                                      : a->causal          ? GL_MIN(seen, t + r + 1 - k0)
                                                           : seen;
                const REAL delta = FN(dot_)(dout_t + r*a->dout.t, out + (t + r)*a->out.t, E);
                // forward: p = softmax(scale * s), so ds = scale * p * (dp - <dp, p>)
                for (ptrdiff_t s = 0; s < n_r; s++) {
                    p_r[s] = FN(exp_)(a->scale * p_r[s] - l);
                    ds_r[s] = a->scale * p_r[s] * (gate * ds_r[s] - delta);
                }
                for (ptrdiff_t s = n_r; s < seen; s++) p_r[s] = ds_r[s] = 0;
            }
            // forward: s = q k^T and o = p v
            FN(product)(dv_blk, E, p, 1, KEY_BLOCK, dout_t, a->dout.t, seen, E, m, 1);
            FN(product)(dk_blk, D, dp, 1, KEY_BLOCK, q_t, a->q.t, seen, D, m, 1);
            FN(product)(dq + t*a->dq.t, a->dq.t, dp, KEY_BLOCK, 1, k + k0*a->k.t, a->k.t, m, D,
                        seen, k0 > 0);
        }

        for (ptrdiff_t s = 0; s < n; s++) {
            memcpy(dk + (k0 + s)*a->dk.t, dk_blk + s*D, (size_t)D * sizeof(REAL));
            REAL *dv_s = dv + (k0 + s)*a->dv.t;
            for (ptrdiff_t e = 0; e < E; e++) dv_s[e] = gate * dv_blk[s*E + e];
        }
    }
}

static ptrdiff_t FN(attention_backward_scratch)(ptrdiff_t D, ptrdiff_t E) {
    const ptrdiff_t item = sizeof(REAL);
    ptrdiff_t n = gl_size_mul(2, gl_carve_size(gl_size_mul(D, KEY_BLOCK), item));
    n = gl_size_add(n, gl_size_mul(2, gl_carve_size(gl_size_mul(E, KEY_BLOCK), item)));
    return gl_size_add(n, 2*gl_carve_size(BACKWARD_ROWS*KEY_BLOCK, item));
}
