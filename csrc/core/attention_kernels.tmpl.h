// Forward: one block of queries, and the weights of named queries.

// What a block of queries keeps while keys pass by.
typedef struct {
    REAL *acc;   // (rows, E) sum of weights times values
    REAL *top;   // (rows,)   largest score so far
    REAL *sum;   // (rows,)   sum of 2^(score - top)
} FN(running);

// The largest of a row of scores and `top`; NaN is passed over.
static inline REAL FN(raise_top)(const REAL *p, ptrdiff_t wide, REAL top) {
    REAL lane[LANES];
    EACH_LANE(k) lane[k] = top;
    for (ptrdiff_t s = 0; s < wide; s += LANES)
        EACH_LANE(k) lane[k] = p[s + k] > lane[k] ? p[s + k] : lane[k];
    return FN(fold_max)(lane);
}

// Turn a row of scores into 2^(score - top); returns their sum.
static inline REAL FN(power_row)(REAL *p, ptrdiff_t wide, REAL top) {
    const REAL shift = top == -(REAL)INFINITY ? 0 : top;
    REAL lane[LANES] = {0};
    for (ptrdiff_t s = 0; s < wide; s += LANES)
        EACH_LANE(k) {
            const REAL y = FN(exp2_below_)(p[s + k] - shift);
            p[s + k] = y;
            lane[k] += y;
        }
    return FN(fold_add)(lane);
}

// Weights of the tile, and their product with the values, taken into the running sums of its rows.
static void FN(forward_tile)(FN(running) run, REAL *p, const FN(gl_attention) *a,
                             const FN(tile) *tile, const REAL *q, const REAL *panels,
                             const REAL *v) {
    const ptrdiff_t E = a->E, n = tile->to - tile->from, skip = tile->from - FN(tile_base)(tile);
    const ptrdiff_t wide = FN(tile_wide)(tile);
    FN(tile_scores)(p, a, tile, q, panels);

    // all maxima before all powers: then no row waits for the other
    REAL top[PRODUCT_ROWS];
    for (ptrdiff_t r = 0; r < tile->m; r++)
        top[r] = FN(raise_top)(p + r*KEY_BLOCK, wide, run.top[r]);
    for (ptrdiff_t r = 0; r < tile->m; r++) {
        const REAL sum = FN(power_row)(p + r*KEY_BLOCK, wide, top[r]);
        if (run.top[r] != top[r] && run.sum[r] != 0) {
            // what was summed so far shrinks
            const REAL shrink = FN(exp2_below_)(run.top[r] - top[r]);
            run.sum[r] *= shrink;
            for (ptrdiff_t e = 0; e < E; e++) run.acc[r*E + e] *= shrink;
        }
        run.sum[r] += sum;
        run.top[r] = top[r];
    }
    for (ptrdiff_t r = 0; a->dropout > 0 && r < tile->m; r++) {
        REAL factor[KEY_BLOCK], *p_r = p + r*KEY_BLOCK + skip;
        FN(dropout_row)(factor, a->dropout, a->seed, tile->b*a->H + tile->h, tile->t + r,
                        tile->from, tile->to);
        for (ptrdiff_t s = 0; s < n; s++) p_r[s] *= factor[s];
    }
    FN(product)(run.acc, E, p + skip, KEY_BLOCK, 1, v + tile->from*a->v.t, a->v.t, tile->m, E, n,
                1);
}

// Rows q0 .. q0 + GL_ATTENTION_QUERY_BLOCK of sample b, head h.
static void FN(attention_forward_block)(const FN(gl_attention) *a, ptrdiff_t b, ptrdiff_t h,
                                        ptrdiff_t q0, void *scratch) {
    const ptrdiff_t D = a->D, E = a->E;
    const ptrdiff_t q_end = GL_MIN(q0 + GL_ATTENTION_QUERY_BLOCK, a->Tq);
    const REAL gate = FN(head_gate)(a, b, h);
    const ptrdiff_t rows = gate == 0 ? 0 : GL_MAX(0, GL_MIN(q_end, FN(query_length)(a, b)) - q0);
    REAL *out = a->out.data + b*a->out.b + h*a->out.h;
    REAL *lse = a->lse ? a->lse + (b*a->H + h)*a->Tq : NULL;
    FN(zero_rows)(out, a->out.t, q0 + rows, q_end, E);
    for (ptrdiff_t t = q0 + rows; lse && t < q_end; t++) lse[t] = -(REAL)INFINITY;
    if (rows == 0) return;

    const ptrdiff_t g = h / (a->H / a->G);
    const REAL *k = a->k.data + b*a->k.b + g*a->k.h;
    const REAL *v = a->v.data + b*a->v.b + g*a->v.h;
    char *cursor = scratch;
    REAL *q = gl_carve(&cursor, GL_ATTENTION_QUERY_BLOCK*D, sizeof(REAL));
    REAL *panels = gl_carve(&cursor, KEY_BLOCK*D, sizeof(REAL));
    REAL *p = gl_carve(&cursor, PRODUCT_ROWS*KEY_BLOCK, sizeof(REAL));
    REAL *acc = gl_carve(&cursor, GL_ATTENTION_QUERY_BLOCK*E, sizeof(REAL));
    REAL *top = gl_carve(&cursor, GL_ATTENTION_QUERY_BLOCK, sizeof(REAL));
    REAL *sum = gl_carve(&cursor, GL_ATTENTION_QUERY_BLOCK, sizeof(REAL));

    FN(scale_rows)(q, a->q.data + b*a->q.b + h*a->q.h + q0*a->q.t, a->q.t, rows, D,
                   FN(query_factor)(a));
    memset(acc, 0, (size_t)(rows*E) * sizeof(REAL));
    for (ptrdiff_t i = 0; i < rows; i++) {
        top[i] = -(REAL)INFINITY;
        sum[i] = 0;
    }

    const ptrdiff_t k_end = FN(end_key)(a, b, q0 + rows - 1);
    for (ptrdiff_t k0 = FN(first_key)(a, q0); k0 < k_end; k0 += KEY_BLOCK) {
        const ptrdiff_t n = GL_MIN(KEY_BLOCK, k_end - k0);
        FN(tile) tile = {.b = b, .h = h, .k0 = k0};
        int packed = 0;

        // where a tile holds keys that some of its rows may not see, a value that is not finite
        // must not reach those rows through 0 * NaN: then go row by row, over what each sees
        tile.exact = FN(hides)(a, b, q0, rows, k0, k0 + n) &&
                     !FN(rows_finite)(v + k0*a->v.t, a->v.t, n, E);
        for (ptrdiff_t i = 0; i < rows; i += tile.m) {
            tile.t = q0 + i;
            tile.m = FN(tile_rows)(a, q0 + i, q0 + rows, tile.exact ? 1 : PRODUCT_ROWS);
            FOR_KEYS(a, &tile, k0 + n) {
                if (!packed) FN(pack_panels)(panels, k + k0*a->k.t, a->k.t, n, D);
                packed = 1;
                FN(forward_tile)((FN(running)){acc + i*E, top + i, sum + i}, p, a, &tile, q + i*D,
                                 panels, v);
            }
        }
    }

    for (ptrdiff_t i = 0; i < rows; i++) {
        REAL *out_t = out + (q0 + i)*a->out.t;
        const REAL norm = sum[i] == 0 ? 0 : gate / sum[i];
        for (ptrdiff_t e = 0; e < E; e++) out_t[e] = acc[i*E + e] * norm;
        if (lse) lse[q0 + i] = top[i] * (REAL)LN2 + MATH(log)(sum[i]);
    }
}

static ptrdiff_t FN(attention_forward_scratch)(ptrdiff_t D, ptrdiff_t E) {
    const ptrdiff_t item = sizeof(REAL);
    ptrdiff_t n = gl_carve_size(gl_size_mul(GL_ATTENTION_QUERY_BLOCK, D), item);
    n = gl_size_add(n, gl_carve_size(gl_size_mul(KEY_BLOCK, D), item));
    n = gl_size_add(n, gl_carve_size(PRODUCT_ROWS*KEY_BLOCK, item));
    n = gl_size_add(n, gl_carve_size(gl_size_mul(GL_ATTENTION_QUERY_BLOCK, E), item));
    return gl_size_add(n, 2*gl_carve_size(GL_ATTENTION_QUERY_BLOCK, item));
}

// Weights of the named queries r0 .. r0 + GL_ATTENTION_QUERY_BLOCK of sample b, head h.
static void FN(attention_weights_block)(const FN(gl_attention) *a, ptrdiff_t b, ptrdiff_t h,
                                        ptrdiff_t r0, void *scratch) {
    const ptrdiff_t D = a->D, Tk = a->Tk, r_end = GL_MIN(r0 + GL_ATTENTION_QUERY_BLOCK, a->R);
    REAL *weights = a->weights + (b*a->H + h)*a->R*Tk;
    FN(zero_rows)(weights, Tk, r0, r_end, Tk);
    if (FN(head_gate)(a, b, h) == 0) return;

    const REAL *k = a->k.data + b*a->k.b + h / (a->H / a->G) * a->k.h;
    char *cursor = scratch;
    REAL *q = gl_carve(&cursor, D, sizeof(REAL));
    REAL *panels = gl_carve(&cursor, KEY_BLOCK*D, sizeof(REAL));
    REAL *p = gl_carve(&cursor, KEY_BLOCK, sizeof(REAL));
    REAL *top = gl_carve(&cursor, GL_ATTENTION_QUERY_BLOCK, sizeof(REAL));

    // scores first, in the columns that a row sees; hidden ones stay 0 and are not looked at again
    for (ptrdiff_t i = 0; i < r_end - r0; i++) top[i] = -(REAL)INFINITY;
    for (int pass = 0; pass < 2; pass++) {
        for (ptrdiff_t k0 = 0; k0 < Tk; k0 += KEY_BLOCK) {
            const ptrdiff_t n = GL_MIN(KEY_BLOCK, Tk - k0);
            if (pass == 0) FN(pack_panels)(panels, k + k0*a->k.t, a->k.t, n, D);
            for (ptrdiff_t r = r0; r < r_end; r++) {
                FN(tile) tile = {.b = b, .h = h, .t = a->rows[r], .m = 1, .k0 = k0, .exact = 1};
                if (tile.t >= FN(query_length)(a, b)) continue;
                FOR_KEYS(a, &tile, k0 + n) {
                    REAL *to = weights + r*Tk + tile.from;
                    const ptrdiff_t seen = tile.to - tile.from;
                    if (pass == 1) {
                        const REAL shift = top[r - r0] == -(REAL)INFINITY ? 0 : top[r - r0];
                        for (ptrdiff_t s = 0; s < seen; s++)
                            to[s] = FN(exp2_below_)(to[s] - shift);
                        continue;
                    }
                    FN(scale_rows)(q, a->q.data + b*a->q.b + h*a->q.h + tile.t*a->q.t, 0, 1, D,
                                   FN(query_factor)(a));
                    FN(tile_scores)(p, a, &tile, q, panels);
                    memcpy(to, p + tile.from - FN(tile_base)(&tile), (size_t)seen * sizeof(REAL));
                    top[r - r0] = GL_MAX(top[r - r0], FN(row_max)(to, seen));
                }
            }
        }
    }
    for (ptrdiff_t r = r0; r < r_end; r++) {
        const REAL sum = FN(sum_)(weights + r*Tk, Tk);
        for (ptrdiff_t s = 0; sum != 0 && s < Tk; s++) weights[r*Tk + s] /= sum;
    }
}

static ptrdiff_t FN(attention_weights_scratch)(ptrdiff_t D) {
    const ptrdiff_t item = sizeof(REAL);
    ptrdiff_t n = gl_carve_size(D, item);
    n = gl_size_add(n, gl_carve_size(gl_size_mul(KEY_BLOCK, D), item));
    n = gl_size_add(n, gl_carve_size(KEY_BLOCK, item));
    return gl_size_add(n, gl_carve_size(GL_ATTENTION_QUERY_BLOCK, item));
}
