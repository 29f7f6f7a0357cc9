// Backward: one head of keys and values with all query heads that share it, and one block of rows
// of the bias.

#ifndef GRADIENT_ROWS
#define GRADIENT_ROWS 96
#endif

// Scratch of a tile of GRADIENT_ROWS queries.
typedef struct {
    REAL *q, *dout;           // (rows, D) times query_factor, (rows, E) times gate
    REAL *p, *ds;             // (rows, KEY_BLOCK) weights, gradient of the scores
    REAL *k_panels, *v_panels;
} FN(gradient);

static ptrdiff_t FN(gradient_size)(ptrdiff_t D, ptrdiff_t E) {
    const ptrdiff_t item = sizeof(REAL);
    ptrdiff_t n = gl_carve_size(gl_size_mul(GRADIENT_ROWS, D), item);
    n = gl_size_add(n, gl_carve_size(gl_size_mul(GRADIENT_ROWS, E), item));
    n = gl_size_add(n, 2*gl_carve_size(GRADIENT_ROWS*KEY_BLOCK, item));
    n = gl_size_add(n, gl_carve_size(gl_size_mul(KEY_BLOCK, D), item));
    return gl_size_add(n, gl_carve_size(gl_size_mul(KEY_BLOCK, E), item));
}

static FN(gradient) FN(carve_gradient)(char **cursor, ptrdiff_t D, ptrdiff_t E) {
    FN(gradient) s;
    s.q = gl_carve(cursor, GRADIENT_ROWS*D, sizeof(REAL));
    s.dout = gl_carve(cursor, GRADIENT_ROWS*E, sizeof(REAL));
    s.p = gl_carve(cursor, GRADIENT_ROWS*KEY_BLOCK, sizeof(REAL));
    s.ds = gl_carve(cursor, GRADIENT_ROWS*KEY_BLOCK, sizeof(REAL));
    s.k_panels = gl_carve(cursor, KEY_BLOCK*D, sizeof(REAL));
    s.v_panels = gl_carve(cursor, KEY_BLOCK*E, sizeof(REAL));
    return s;
}

// Queries of a tile: on the border of what is seen shorter ones compute less that is hidden.
static ptrdiff_t FN(gradient_rows)(const FN(gl_attention) *a, int exact) {
    return exact ? 1 : a->left < 0 && a->right < 0 ? GRADIENT_ROWS : GRADIENT_ROWS / 2;
}

// Rows t .. t + m of sample b, head h.
static const REAL *FN(rows_of)(const FN(gl_heads_in) *x, ptrdiff_t b, ptrdiff_t h, ptrdiff_t t) {
    return x->data + b*x->b + h*x->h + t*x->t;
}

static REAL *FN(rows_out)(const FN(gl_heads_out) *x, ptrdiff_t b, ptrdiff_t h, ptrdiff_t t) {
    return x->data + b*x->b + h*x->h + t*x->t;
}

// Bring in the queries and output gradients of a tile.
static void FN(gather_rows)(FN(gradient) *s, const FN(gl_attention) *a, const FN(tile) *tile) {
    FN(scale_rows)(s->q, FN(rows_of)(&a->q, tile->b, tile->h, tile->t), a->q.t, tile->m, a->D,
                   FN(query_factor)(a));
    FN(scale_rows)(s->dout, FN(rows_of)(&a->dout, tile->b, tile->h, tile->t), a->dout.t, tile->m,
                   a->E, FN(head_gate)(a, tile->b, tile->h));
}

// Fill p with the weights of the tile, dropout included, and ds with the gradient of its scores.
static void FN(score_gradient)(FN(gradient) *s, const FN(gl_attention) *a, const FN(tile) *tile) {
    const ptrdiff_t base = FN(tile_base)(tile), wide = FN(tile_wide)(tile);
    FN(tile_scores)(s->p, a, tile, s->q, s->k_panels);
    FN(tile_product)(s->ds, tile, s->dout, s->v_panels, a->E);
    for (ptrdiff_t r = 0; r < tile->m; r++) {
        const ptrdiff_t t = tile->t + r;
        const REAL lse = a->lse[(tile->b*a->H + tile->h)*a->Tq + t];
        REAL *p = s->p + r*KEY_BLOCK, *ds = s->ds + r*KEY_BLOCK;
        if (lse == -(REAL)INFINITY) {
            memset(p, 0, (size_t)wide * sizeof(REAL));
            memset(ds, 0, (size_t)wide * sizeof(REAL));
            continue;
        }

        // forward: out = gate * sum p v, so sum p dp = <gate * dout, out / gate>
        const REAL *out = FN(rows_out)(&a->out, tile->b, tile->h, t);
        const REAL *dout = FN(rows_of)(&a->dout, tile->b, tile->h, t);
        const REAL mean = FN(dot_)(dout, out, a->E), shift = lse * (REAL)LOG2E;
        if (a->dropout > 0) {
            REAL factor[KEY_BLOCK] = {0};
            FN(dropout_row)(factor + tile->from - base, a->dropout, a->seed,
                            tile->b*a->H + tile->h, t, tile->from, tile->to);
            for (ptrdiff_t i = 0; i < wide; i++) {
                const int hidden = p[i] == -(REAL)INFINITY;
                const REAL y = FN(exp2_below_)(p[i] - shift);
                p[i] = hidden ? 0 : factor[i] * y;
                ds[i] = hidden ? 0 : y * (factor[i] * ds[i] - mean);
            }
            continue;
        }
        // forward: p = softmax(score); a hidden key stays 0 whatever stands there
        for (ptrdiff_t i = 0; i < wide; i += LANES)
            EACH_LANE(k) {
                const int hidden = p[i + k] == -(REAL)INFINITY;
                const REAL y = FN(exp2_below_)(p[i + k] - shift);
                p[i + k] = hidden ? 0 : y;
                ds[i + k] = hidden ? 0 : y * (ds[i + k] - mean);
            }
    }
}

// Queries that may see a key of k0 .. k0 + n by their place: first and end.
static ptrdiff_t FN(first_query)(const FN(gl_attention) *a, ptrdiff_t k0) {
    return a->right < 0 ? 0 : GL_MAX(0, k0 - a->right);
}

static ptrdiff_t FN(end_query)(const FN(gl_attention) *a, ptrdiff_t b, ptrdiff_t end) {
    const ptrdiff_t n = FN(query_length)(a, b);
    return a->left < 0 || a->left >= n - end ? n : end + a->left;
}

// Is a product of hidden pairs, 0 * NaN, to be feared between queries t .. t + m and keys
// k0 .. k0 + n?
static int FN(needs_exact)(const FN(gl_attention) *a, ptrdiff_t b, ptrdiff_t h, ptrdiff_t t,
                           ptrdiff_t m, ptrdiff_t k0, ptrdiff_t n) {
    const ptrdiff_t g = h / (a->H / a->G);
    return FN(hides)(a, b, t, m, k0, k0 + n) &&
           !(FN(rows_finite)(FN(rows_of)(&a->q, b, h, t), a->q.t, m, a->D) &&
             FN(rows_finite)(FN(rows_of)(&a->k, b, g, k0), a->k.t, n, a->D) &&
             FN(rows_finite)(FN(rows_of)(&a->v, b, g, k0), a->v.t, n, a->E) &&
             FN(rows_finite)(FN(rows_of)(&a->dout, b, h, t), a->dout.t, m, a->E));
}

// Bring in n keys and values.
static void FN(pack_keys)(FN(gradient) *s, const FN(gl_attention) *a, ptrdiff_t b, ptrdiff_t g,
                          ptrdiff_t k0, ptrdiff_t n) {
    FN(pack_panels)(s->k_panels, FN(rows_of)(&a->k, b, g, k0), a->k.t, n, a->D);
    FN(pack_panels)(s->v_panels, FN(rows_of)(&a->v, b, g, k0), a->v.t, n, a->E);
}

// What one head of queries adds to the gradients of keys k0 .. k0 + n and their values, which are
// packed; its own gradient grows by what these keys say.
static void FN(backward_keys)(FN(gradient) *s, REAL *dk, REAL *dv, const FN(gl_attention) *a,
                              ptrdiff_t b, ptrdiff_t h, ptrdiff_t k0, ptrdiff_t n) {
    const ptrdiff_t D = a->D, E = a->E, g = h / (a->H / a->G);
    const ptrdiff_t t0 = FN(first_query)(a, k0), t_end = FN(end_query)(a, b, k0 + n);
    if (t0 >= t_end) return;
    FN(tile) tile = {.b = b, .h = h, .k0 = k0,
                     .exact = FN(needs_exact)(a, b, h, t0, t_end - t0, k0, n)};
    for (ptrdiff_t t = t0; t < t_end; t += tile.m) {
        tile.t = t;
        tile.m = FN(tile_rows)(a, t, t_end, FN(gradient_rows)(a, tile.exact));
        FN(gather_rows)(s, a, &tile);
        FOR_KEYS(a, &tile, k0 + n) {
            const ptrdiff_t at = tile.from - k0, seen = tile.to - tile.from;
            const REAL *p = s->p + tile.from - FN(tile_base)(&tile);
            const REAL *ds = s->ds + tile.from - FN(tile_base)(&tile);
            FN(score_gradient)(s, a, &tile);
            // forward: out = p v and score = q k^T
            FN(product)(dv + at*E, E, p, 1, KEY_BLOCK, s->dout, E, seen, E, tile.m, 1);
            FN(product)(dk + at*D, D, ds, 1, KEY_BLOCK, s->q, D, seen, D, tile.m, 1);
            FN(product)(FN(rows_out)(&a->dq, b, h, t), a->dq.t, ds, KEY_BLOCK, 1,
                        FN(rows_of)(&a->k, b, g, tile.from), a->k.t, tile.m, D, seen, 1);
            for (ptrdiff_t r = 0; a->dkey_bias && r < tile.m; r++)
                for (ptrdiff_t c = 0; c < seen; c++)
                    a->dkey_bias[tile.from + c] += ds[r*KEY_BLOCK + c];
        }
    }
}

// All of head g of keys and values of sample b, and the H / G heads of queries that share it.
static void FN(attention_backward_head)(const FN(gl_attention) *a, ptrdiff_t b, ptrdiff_t g,
                                        void *scratch) {
    const ptrdiff_t D = a->D, E = a->E, group = a->H / a->G;
    const ptrdiff_t Tq = FN(query_length)(a, b), Tk = FN(key_length)(a, b);
    REAL *dk_g = FN(rows_out)(&a->dk, b, g, 0), *dv_g = FN(rows_out)(&a->dv, b, g, 0);
    char *cursor = scratch;
    FN(gradient) s = FN(carve_gradient)(&cursor, D, E);
    REAL *dk = gl_carve(&cursor, KEY_BLOCK*D, sizeof(REAL));
    REAL *dv = gl_carve(&cursor, KEY_BLOCK*E, sizeof(REAL));

    ptrdiff_t opened = 0;
    for (ptrdiff_t h = g*group; h < (g + 1)*group; h++) {
        const REAL gate = FN(head_gate)(a, b, h);
        opened += gate != 0;
        FN(zero_rows)(FN(rows_out)(&a->dq, b, h, 0), a->dq.t, 0, a->Tq, D);
        if (!a->dgate) continue;
        REAL d = 0;
        for (ptrdiff_t t = 0; gate != 0 && t < Tq; t++)
            d += FN(dot_)(FN(rows_of)(&a->dout, b, h, t),
                          FN(rows_out)(&a->out, b, h, t), E);
        // forward: out = gate * o, so <dout, o> = <dout, out> / gate
        a->dgate[b*a->H + h] = gate == 0 ? 0 : d / gate;
    }
    const ptrdiff_t keys = opened && Tq > 0 ? Tk : 0;
    FN(zero_rows)(dk_g, a->dk.t, keys, a->Tk, D);
    FN(zero_rows)(dv_g, a->dv.t, keys, a->Tk, E);

    for (ptrdiff_t k0 = 0; k0 < keys; k0 += KEY_BLOCK) {
        const ptrdiff_t n = GL_MIN(KEY_BLOCK, keys - k0);
        FN(pack_keys)(&s, a, b, g, k0, n);
        memset(dk, 0, (size_t)(n*D) * sizeof(REAL));
        memset(dv, 0, (size_t)(n*E) * sizeof(REAL));
        for (ptrdiff_t h = g*group; h < (g + 1)*group; h++)
            if (FN(head_gate)(a, b, h) != 0) FN(backward_keys)(&s, dk, dv, a, b, h, k0, n);
        for (ptrdiff_t i = 0; i < n; i++) {
            // the queries came with log2(e)
            REAL *dk_s = dk_g + (k0 + i)*a->dk.t;
            for (ptrdiff_t d = 0; d < D; d++) dk_s[d] = dk[i*D + d] * (REAL)LN2;
            memcpy(dv_g + (k0 + i)*a->dv.t, dv + i*E, (size_t)E * sizeof(REAL));
        }
    }

    // forward: score = scale * q k^T
    for (ptrdiff_t h = g*group; keys > 0 && h < (g + 1)*group; h++)
        for (ptrdiff_t t = 0; t < Tq; t++) {
            REAL *dq_t = FN(rows_out)(&a->dq, b, h, t);
            for (ptrdiff_t d = 0; d < D; d++) dq_t[d] *= a->scale;
        }
}

static ptrdiff_t FN(attention_backward_scratch)(ptrdiff_t D, ptrdiff_t E) {
    const ptrdiff_t item = sizeof(REAL);
    ptrdiff_t n = FN(gradient_size)(D, E);
    n = gl_size_add(n, gl_carve_size(gl_size_mul(KEY_BLOCK, D), item));
    return gl_size_add(n, gl_carve_size(gl_size_mul(KEY_BLOCK, E), item));
}

// Rows q0 .. q0 + GL_ATTENTION_QUERY_BLOCK of the gradient of bias i, j: the score gradients of all
// samples and heads that share it, computed once more and summed in their order.
static void FN(attention_bias_block)(const FN(gl_attention) *a, ptrdiff_t i, ptrdiff_t j,
                                     ptrdiff_t q0, void *scratch) {
    const ptrdiff_t q_end = GL_MIN(q0 + GL_ATTENTION_QUERY_BLOCK, a->Tq), Tk = a->Tk;
    REAL *dbias = a->dbias + (i*a->biases_h + j)*a->Tq*Tk;
    char *cursor = scratch;
    FN(gradient) s = FN(carve_gradient)(&cursor, a->D, a->E);
    FN(zero_rows)(dbias, Tk, q0, q_end, Tk);

    for (ptrdiff_t b = i; b < a->B; b += a->biases_b) {
        for (ptrdiff_t h = j; h < a->H; h += a->biases_h) {
            if (FN(head_gate)(a, b, h) == 0) continue;
            const ptrdiff_t g = h / (a->H / a->G), t_end = GL_MIN(q_end, FN(query_length)(a, b));
            const ptrdiff_t keys = q0 < t_end ? FN(end_key)(a, b, t_end - 1) : 0;
            FN(tile) tile = {.b = b, .h = h};
            for (tile.k0 = FN(first_key)(a, q0); tile.k0 < keys; tile.k0 += KEY_BLOCK) {
                const ptrdiff_t n = GL_MIN(KEY_BLOCK, keys - tile.k0);
                tile.exact = FN(needs_exact)(a, b, h, q0, t_end - q0, tile.k0, n);
                FN(pack_keys)(&s, a, b, g, tile.k0, n);
                for (tile.t = q0; tile.t < t_end; tile.t += tile.m) {
                    tile.m = FN(tile_rows)(a, tile.t, t_end, FN(gradient_rows)(a, tile.exact));
                    FN(gather_rows)(&s, a, &tile);
                    FOR_KEYS(a, &tile, tile.k0 + n) {
                        FN(score_gradient)(&s, a, &tile);
                        const ptrdiff_t base = FN(tile_base)(&tile);
                        for (ptrdiff_t r = 0; r < tile.m; r++)
                            for (ptrdiff_t c = tile.from; c < tile.to; c++)
                                dbias[(tile.t + r)*Tk + c] += s.ds[r*KEY_BLOCK + c - base];
                    }
                }
            }
        }
    }
}
