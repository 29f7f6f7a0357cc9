// Scores of a tile, some query rows by some keys of a packed block: what forward, backward, the
// gradient of the bias and the weights have in common.
//
// Scores are in base 2: the factor log2(e) is folded into the queries with the scale.

#ifndef KEY_BLOCK
#define LOG2E 1.44269504088896340736
#define LN2 0.69314718055994530942

// Keys that are packed at a time: a tile of their scores stays in the first cache.
#define KEY_BLOCK (1024 / (ptrdiff_t)sizeof(REAL))
#endif

typedef struct {
    ptrdiff_t b, h;      // sample, head
    ptrdiff_t t, m;      // rows t .. t + m
    ptrdiff_t k0;        // first key of the packed block
    ptrdiff_t from, to;  // keys that some row sees
    int exact;           // one row, and every key between `from` and `to` is seen
} FN(tile);

static ptrdiff_t FN(query_length)(const FN(gl_attention) *a, ptrdiff_t b) {
    return a->query_lengths ? (ptrdiff_t)a->query_lengths[b] : a->Tq;
}

static ptrdiff_t FN(key_length)(const FN(gl_attention) *a, ptrdiff_t b) {
    return a->key_lengths ? (ptrdiff_t)a->key_lengths[b] : a->Tk;
}

static REAL FN(head_gate)(const FN(gl_attention) *a, ptrdiff_t b, ptrdiff_t h) {
    return a->gate ? a->gate[b*a->H + h] : 1;
}

// The keys that query t may see by its place: first and end.
static ptrdiff_t FN(first_key)(const FN(gl_attention) *a, ptrdiff_t t) {
    return a->left < 0 ? 0 : GL_MAX(0, t - a->left);
}

static ptrdiff_t FN(end_key)(const FN(gl_attention) *a, ptrdiff_t b, ptrdiff_t t) {
    const ptrdiff_t n = FN(key_length)(a, b);
    return a->right < 0 || a->right >= n - t ? n : GL_MAX(0, t + a->right + 1);
}

static const uint8_t *FN(mask_row)(const FN(gl_attention) *a, ptrdiff_t b, ptrdiff_t h,
                                   ptrdiff_t t) {
    return a->mask.data + b*a->mask.b + h*a->mask.h + t*a->mask.t;
}

// 0 where the mask hides keys from .. to from all rows of the tile.
static int FN(mask_shows)(const FN(gl_attention) *a, const FN(tile) *tile) {
    for (ptrdiff_t r = 0; r < tile->m; r++) {
        const uint8_t *row = FN(mask_row)(a, tile->b, tile->h, tile->t + r);
        for (ptrdiff_t s = tile->from; s < tile->to; s++)
            if (row[s]) return 1;
    }
    return 0;
}

// Rows from t on that fit one tile: at most `most`, within one row of the pattern of blocks.
static ptrdiff_t FN(tile_rows)(const FN(gl_attention) *a, ptrdiff_t t, ptrdiff_t end,
                               ptrdiff_t most) {
    if (a->blocks) most = GL_MIN(most, (t / a->block + 1) * a->block - t);
    return GL_MIN(most, end - t);
}

// May the rows of the tile see key s? A `step` later the answer may change.
static int FN(shows)(const FN(gl_attention) *a, const FN(tile) *tile, ptrdiff_t s,
                     ptrdiff_t *step) {
    *step = tile->exact ? 1 : a->Tk;
    if (a->blocks) {
        const ptrdiff_t across = GL_CEIL_DIV(a->Tk, a->block);
        const uint8_t *row = a->blocks + tile->h*a->blocks_h + tile->t / a->block * across;
        if (!row[s / a->block]) {
            *step = a->block - s % a->block;
            return 0;
        }
        *step = GL_MIN(*step, a->block - s % a->block);
    }
    return !(tile->exact && a->mask.data) || FN(mask_row)(a, tile->b, tile->h, tile->t)[s];
}

// Sets from .. to to the next run of keys, at or behind `from` and before `end`, that some row of
// the tile sees; 0 where there is none.
static int FN(next_keys)(const FN(gl_attention) *a, FN(tile) *tile, ptrdiff_t end) {
    const ptrdiff_t last = FN(end_key)(a, tile->b, tile->t + tile->m - 1);
    ptrdiff_t s = GL_MAX(tile->from, FN(first_key)(a, tile->t)), step;
    end = GL_MIN(end, last);
    while (s < end && !FN(shows)(a, tile, s, &step)) s += step;
    if (s >= end) return 0;
    tile->from = s;
    while (s < end && FN(shows)(a, tile, s, &step)) s += step;
    tile->to = GL_MIN(s, end);
    return 1;
}

// for each run of keys of k0 .. end that the tile sees, and that its mask does not hide altogether
#define FOR_KEYS(a, tile, end)                                                          \
    for ((tile)->from = (tile)->k0; FN(next_keys)(a, tile, end); (tile)->from = (tile)->to) \
        if (!(a)->mask.data || FN(mask_shows)(a, tile))

// 0 where a value of n rows is NaN or infinite.
static int FN(rows_finite)(const REAL *x, ptrdiff_t stride, ptrdiff_t n, ptrdiff_t D) {
    REAL lane[LANES] = {0};
    for (ptrdiff_t s = 0; s < n; s++) {
        const REAL *x_s = x + s*stride;
        ptrdiff_t d = 0;
        for (; d + LANES <= D; d += LANES)
            EACH_LANE(k) lane[k] += x_s[d + k] * 0;
        for (; d < D; d++) lane[0] += x_s[d] * 0;
    }
    return FN(fold_add)(lane) == 0;
}

// Is some key of a range hidden from some of the rows t .. t + m that see the others?
static int FN(hides)(const FN(gl_attention) *a, ptrdiff_t b, ptrdiff_t t, ptrdiff_t m, ptrdiff_t k0,
                     ptrdiff_t end) {
    return a->mask.data || FN(first_key)(a, t + m - 1) > k0 || FN(end_key)(a, b, t) < end;
}

static void FN(zero_rows)(REAL *x, ptrdiff_t stride, ptrdiff_t from, ptrdiff_t to, ptrdiff_t D) {
    for (ptrdiff_t t = from; t < to; t++) memset(x + t*stride, 0, (size_t)D * sizeof(REAL));
}

// to (n, D) = factor * x.
static void FN(scale_rows)(REAL *restrict to, const REAL *restrict x, ptrdiff_t stride, ptrdiff_t n,
                           ptrdiff_t D, REAL factor) {
    for (ptrdiff_t t = 0; t < n; t++)
        for (ptrdiff_t d = 0; d < D; d++) to[t*D + d] = factor * x[t*stride + d];
}

// What the queries are multiplied by.
static REAL FN(query_factor)(const FN(gl_attention) *a) { return a->scale * (REAL)LOG2E; }

// Where column 0 of the tile's scores lies: keys start with a whole panel.
static ptrdiff_t FN(tile_base)(const FN(tile) *tile) {
    return tile->k0 + (tile->from - tile->k0) / PANEL * PANEL;
}

// Columns of the tile's scores, a multiple of LANES.
static ptrdiff_t FN(tile_wide)(const FN(tile) *tile) {
    return GL_CEIL_DIV(tile->to - FN(tile_base)(tile), LANES) * LANES;
}

// c (m, KEY_BLOCK) = x (m, D) times the packed keys, in the columns of the tile.
static void FN(tile_product)(REAL *c, const FN(tile) *tile, const REAL *x, const REAL *panels,
                             ptrdiff_t D) {
    const ptrdiff_t skip = FN(tile_base)(tile) - tile->k0, wide = FN(tile_wide)(tile);
    for (ptrdiff_t s = 0; s < wide; s += PANEL)
        FN(product)(c + s, KEY_BLOCK, x, D, 1, panels + (skip + s)*D, PANEL, tile->m,
                    GL_MIN(PANEL, wide - s), D, 0);
}

// Of LANES scores, those before `from` and from `to` on become -inf.
static inline void FN(hide_lanes)(REAL *p, ptrdiff_t from, ptrdiff_t to) {
    const int first = (int)GL_MIN(from, LANES), end = (int)GL_MIN(to, LANES);
    EACH_LANE(k) p[k] = (k >= first) & (k < end) ? p[k] : -(REAL)INFINITY;
}

// Row r of the tile: what is added to its scores, then -inf where a key is hidden and in columns
// that only fill a vector.
static void FN(finish_row)(REAL *p, const FN(gl_attention) *a, const FN(tile) *tile, ptrdiff_t r) {
    const ptrdiff_t t = tile->t + r, base = FN(tile_base)(tile), wide = FN(tile_wide)(tile);
    const ptrdiff_t from = GL_MAX(tile->from, FN(first_key)(a, t));
    const ptrdiff_t to = GL_MAX(from, GL_MIN(tile->to, FN(end_key)(a, tile->b, t)));
    if (a->bias.data) {
        const REAL *bias = a->bias.data + tile->b*a->bias.b + tile->h*a->bias.h + t*a->bias.t;
        for (ptrdiff_t s = from; s < to; s++) p[s - base] += bias[s] * (REAL)LOG2E;
    }
    if (a->slopes) {
        const REAL slope = a->slopes[tile->h] * (REAL)LOG2E;
        for (ptrdiff_t s = from; s < to; s++)
            p[s - base] -= slope * (REAL)(s < t ? t - s : s - t);
    }
    if (a->mask.data) {
        const uint8_t *mask = FN(mask_row)(a, tile->b, tile->h, t);
        for (ptrdiff_t s = from; s < to; s++) p[s - base] = mask[s] ? p[s - base] : -(REAL)INFINITY;
    }
    for (ptrdiff_t i = 0; i < from - base; i += LANES)
        FN(hide_lanes)(p + i, from - base - i, LANES);
    for (ptrdiff_t i = (to - base) / LANES * LANES; i < wide; i += LANES)
        FN(hide_lanes)(p + i, 0, to - base - i);
}

// Are the scores done as the product leaves them?
static int FN(tile_done)(const FN(gl_attention) *a, const FN(tile) *tile) {
    const ptrdiff_t base = FN(tile_base)(tile);
    return !a->bias.data && !a->slopes && tile->from == base &&
           tile->to == base + FN(tile_wide)(tile) &&
           !FN(hides)(a, tile->b, tile->t, tile->m, tile->from, tile->to);
}

// p (m, KEY_BLOCK) = scores of the tile, q (m, D) being its queries times query_factor.
static void FN(tile_scores)(REAL *p, const FN(gl_attention) *a, const FN(tile) *tile, const REAL *q,
                            const REAL *panels) {
    FN(tile_product)(p, tile, q, panels, a->D);
    if (FN(tile_done)(a, tile)) return;
    for (ptrdiff_t r = 0; r < tile->m; r++) FN(finish_row)(p + r*KEY_BLOCK, a, tile, r);
}
