// A run of at most RUN positions goes through a layer in passes, each cut into tasks. All products
// are those of product_kernels, whose sums run in one order however many rows there are.

typedef struct {
    const FN(gl_decode_heads_args) *a;
    ptrdiff_t i0, n;    // the run: first position, count
    ptrdiff_t blocks;   // of the longest sample's keys
    REAL *stat;         // (2, n) mean and rstd of the sample at hand
    REAL *norm;         // (B, n + 1, C) from the row before the run on
    REAL *m;            // (3, B, n + 1, C) what queries, keys and values are projected from; norm
                        // itself without shift
    REAL *qkv;          // (3, P, n, D); the mean of the values takes the place of the query
    REAL *part;         // (P, n, blocks, D + 2) what decode_block leaves
    char *work;         // scratch of the workers
    ptrdiff_t scratch;  // bytes a worker
} FN(decode_job);

// C (M, N) = A (M, K) B (K, N) with weights B that may be far away: those of the next block are
// fetched while a block is multiplied.
static void FN(far_product)(REAL *C, ptrdiff_t ldc, const REAL *A, ptrdiff_t lda, const REAL *B,
                            ptrdiff_t ldb, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K) {
    for (ptrdiff_t k0 = 0; k0 == 0 || k0 < K; k0 += DEPTH) {
        for (ptrdiff_t k = k0 + DEPTH; k < GL_MIN(k0 + 2*DEPTH, K); k++)
            for (ptrdiff_t i = 0; i < N; i += GL_ALIGN / (ptrdiff_t)sizeof(REAL))
                __builtin_prefetch(B + k*ldb + i);
        GL_K(product)(C, ldc, A + k0, lda, 1, B + k0*ldb, ldb, M, N, GL_MIN(DEPTH, K - k0), k0 > 0);
    }
}

// to += factor * from
static void FN(add_row)(REAL *restrict to, const REAL *restrict from, REAL factor, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) to[i] += factor * from[i];
}

static void FN(decode_inputs)(const FN(decode_job) *j) {
    const FN(gl_decode_heads_args) *a = j->a;
    const ptrdiff_t n = j->n, C = a->C, rows = (n + 1)*C;
    for (ptrdiff_t b = 0; b < a->B; b++) {
        // the row before the run comes first; its own mixture is of no use
        REAL *norm = j->norm + b*rows, *last = a->last + b*C;
        memcpy(norm, last, (size_t)C * sizeof(REAL));
        GL_K(layer_norm_rows)(norm + C, j->stat, j->stat + n, a->x + (b*a->N + j->i0)*C,
                              a->norm_weight, a->norm_bias, a->eps, n, C);
        memcpy(last, norm + n*C, (size_t)C * sizeof(REAL));
        if (a->shift) GL_K(token_shift)(j->m + b*rows, norm, a->shift, a->B*(n + 1), n + 1, C);
    }
}

// One past the pairs of head h.
static ptrdiff_t FN(decode_end)(const FN(gl_decode_heads_args) *a, ptrdiff_t h) {
    return h + 1 < a->H ? (ptrdiff_t)a->first[h + 1] : a->P;
}

// Queries, keys or values of one head, for the samples that have it open.
static void FN(decode_project)(void *arg, ptrdiff_t task, int worker) {
    const FN(decode_job) *j = arg;
    const FN(gl_decode_heads_args) *a = j->a;
    const ptrdiff_t n = j->n, C = a->C, D = a->D, HD = a->H*D, part = task % 3, h = task / 3;
    const ptrdiff_t p0 = a->first[h], p1 = FN(decode_end)(a, h), rows = (p1 - p0)*n;
    const REAL *m = j->m + (a->shift ? part*a->B*(n + 1)*C : 0);
    REAL *to = j->qkv + (part*a->P + p0)*n*D;

    char *cursor = j->work + worker*j->scratch;
    REAL *gathered = gl_carve(&cursor, ROWS*C, sizeof(REAL));
    for (ptrdiff_t r0 = 0; r0 < rows; r0 += ROWS) {
        const ptrdiff_t some = GL_MIN(ROWS, rows - r0);
        for (ptrdiff_t r = r0; r < r0 + some; r++)
            memcpy(gathered + (r - r0)*C, m + (a->sample[p0 + r/n]*(n + 1) + 1 + r%n)*C,
                   (size_t)C * sizeof(REAL));
        FN(far_product)(to + r0*D, D, gathered, C, a->wqkv + part*C*HD + h*D, HD, some, D, C);
    }

    REAL *cache = part == 1 ? a->keys : a->values;
    for (ptrdiff_t p = p0; p < p1; p++, to += n*D) {
        const ptrdiff_t at = (ptrdiff_t)a->lengths[a->sample[p]] + j->i0;
        if (a->cosine && part < 2)
            GL_K(rotate)(to, D, a->cosine + at*(D/2), a->sine + at*(D/2), 0, n, D);
        if (part > 0) memcpy(cache + (p*a->S + at)*D, to, (size_t)(n*D) * sizeof(REAL));
    }
}

// Number of keys that new position i of a pair sees.
static ptrdiff_t FN(decode_keys)(const FN(decode_job) *j, ptrdiff_t p, ptrdiff_t i) {
    return (ptrdiff_t)j->a->lengths[j->a->sample[p]] + j->i0 + i + 1;
}

// One block of keys of one pair, for each new position while the block is in cache.
static void FN(decode_attend)(void *arg, ptrdiff_t task, int worker) {
    const FN(decode_job) *j = arg;
    const FN(gl_decode_heads_args) *a = j->a;
    const ptrdiff_t D = a->D, p = task / j->blocks, block = task % j->blocks;
    const ptrdiff_t s0 = block*KEYS, at = (p*a->S + s0)*D;
    char *cursor = j->work + worker*j->scratch;
    REAL *score = gl_carve(&cursor, KEYS, sizeof(REAL));
    for (ptrdiff_t i = 0; i < j->n; i++) {
        const ptrdiff_t keys = GL_MIN(KEYS, FN(decode_keys)(j, p, i) - s0);
        if (keys > 0)
            GL_K(decode_block)(j->part + ((p*j->n + i)*j->blocks + block)*(D + 2), score,
                               j->qkv + (p*j->n + i)*D, a->keys + at, a->values + at, a->scale,
                               keys, D);
    }
}

static void FN(decode_join)(void *arg, ptrdiff_t p, int worker) {
    (void)worker;
    const FN(decode_job) *j = arg;
    const ptrdiff_t D = j->a->D;
    for (ptrdiff_t i = 0; i < j->n; i++) {
        const ptrdiff_t row = p*j->n + i;
        GL_K(decode_combine)(j->qkv + row*D, j->part + row*j->blocks*(D + 2), D + 2,
                             j->a->factor[p], GL_CEIL_DIV(FN(decode_keys)(j, p, i), KEYS), D);
    }
}

// Columns of the output, head after head.
static void FN(decode_output)(void *arg, ptrdiff_t task, int worker) {
    const FN(decode_job) *j = arg;
    const FN(gl_decode_heads_args) *a = j->a;
    const ptrdiff_t n = j->n, C = a->C, D = a->D, c0 = task*COLS, wide = GL_MIN(COLS, C - c0);
    char *cursor = j->work + worker*j->scratch;
    REAL *y = gl_carve(&cursor, ROWS*COLS, sizeof(REAL));
    for (ptrdiff_t h = 0; h < a->H; h++) {
        const ptrdiff_t end = FN(decode_end)(a, h)*n;
        for (ptrdiff_t r0 = a->first[h]*n; r0 < end; r0 += ROWS) {
            const ptrdiff_t some = GL_MIN(ROWS, end - r0);
            FN(far_product)(y, COLS, j->qkv + r0*D, D, a->wo + h*D*C + c0, C, some, wide, D);
            for (ptrdiff_t r = r0; r < r0 + some; r++)
                FN(add_row)(a->x + (a->sample[r/n]*a->N + j->i0 + r%n)*C + c0, y + (r - r0)*COLS, 1,
                            wide);
        }
    }
}

// Blocks of keys at the end of the run that starts at position i0.
static ptrdiff_t FN(decode_blocks)(const FN(gl_decode_heads_args) *a, ptrdiff_t i0, ptrdiff_t n) {
    ptrdiff_t longest = 0;
    for (ptrdiff_t b = 0; b < a->B; b++) longest = GL_MAX(longest, (ptrdiff_t)a->lengths[b]);
    return GL_CEIL_DIV(longest + i0 + n, KEYS);
}

static ptrdiff_t FN(decode_heads_scratch)(const FN(gl_decode_heads_args) *a) {
    return gl_carve_size(gl_size_mul(ROWS, GL_MAX(a->C, COLS)), sizeof(REAL));  // KEYS are fewer
}

ptrdiff_t FN(gl_decode_heads_workspace)(const FN(gl_decode_heads_args) *a, int nth) {
    const ptrdiff_t item = sizeof(REAL), n = GL_MIN(RUN, a->N);
    const ptrdiff_t rows = gl_size_mul(gl_size_mul(a->B, n + 1), a->C);
    const ptrdiff_t pairs = gl_size_mul(a->P, n);
    const ptrdiff_t blocks = FN(decode_blocks)(a, 0, a->N);
    ptrdiff_t bytes = gl_size_mul(FN(decode_heads_scratch)(a), nth);
    bytes = gl_size_add(bytes, gl_carve_size(2*n, item));
    bytes = gl_size_add(bytes, gl_carve_size(rows, item));
    if (a->shift) bytes = gl_size_add(bytes, gl_carve_size(gl_size_mul(3, rows), item));
    bytes = gl_size_add(bytes, gl_carve_size(gl_size_mul(gl_size_mul(3, pairs), a->D), item));
    return gl_size_add(bytes, gl_carve_size(
        gl_size_mul(gl_size_mul(pairs, blocks), gl_size_add(a->D, 2)), item));
}

void FN(gl_decode_heads)(const FN(gl_decode_heads_args) *a, void *work, int nth) {
    memcpy(a->last, a->previous, (size_t)(a->B * a->C) * sizeof(REAL));
    for (ptrdiff_t i0 = 0; a->P > 0 && i0 < a->N; i0 += RUN) {
        const ptrdiff_t n = GL_MIN(RUN, a->N - i0);
        FN(decode_job) job = {.a = a, .i0 = i0, .n = n, .blocks = FN(decode_blocks)(a, i0, n),
                              .scratch = FN(decode_heads_scratch)(a)};
        char *cursor = work;
        job.stat = gl_carve(&cursor, 2*n, sizeof(REAL));
        job.norm = job.m = gl_carve(&cursor, a->B*(n + 1)*a->C, sizeof(REAL));
        if (a->shift) job.m = gl_carve(&cursor, 3*a->B*(n + 1)*a->C, sizeof(REAL));
        job.qkv = gl_carve(&cursor, 3*a->P*n*a->D, sizeof(REAL));
        job.part = gl_carve(&cursor, a->P*n*job.blocks*(a->D + 2), sizeof(REAL));
        job.work = cursor;

        FN(decode_inputs)(&job);
        gl_pool_run(FN(decode_project), &job, 3*a->H, nth);
        gl_pool_run(FN(decode_attend), &job, a->P * job.blocks, nth);
        gl_pool_run(FN(decode_join), &job, a->P, nth);
        gl_pool_run(FN(decode_output), &job, GL_CEIL_DIV(a->C, COLS), nth);
    }
}

typedef struct {
    const FN(gl_decode_mlp_args) *a;
    ptrdiff_t i0, n;    // the run: first position, count
    ptrdiff_t rows;     // of the samples that are open
    ptrdiff_t *open;    // those samples
    REAL *stat;         // (2, n) mean and rstd of the sample at hand
    REAL *norm;         // (rows, C)
    REAL *u;            // (rows, F) gelu(norm w1)
    char *work;         // scratch of the workers
    ptrdiff_t scratch;  // bytes a worker
} FN(decode_mlp_job);

static void FN(decode_hidden)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(decode_mlp_job) *j = arg;
    const ptrdiff_t C = j->a->C, F = j->a->F, f0 = task*COLS, wide = GL_MIN(COLS, F - f0);
    REAL *u = j->u + f0;
    FN(far_product)(u, F, j->norm, C, j->a->w1 + f0, F, j->rows, wide, C);
    for (ptrdiff_t r = 0; r < j->rows; r++) GL_K(gelu)(u + r*F, u + r*F, wide);
}

static void FN(decode_mlp_output)(void *arg, ptrdiff_t task, int worker) {
    const FN(decode_mlp_job) *j = arg;
    const FN(gl_decode_mlp_args) *a = j->a;
    const ptrdiff_t n = j->n, C = a->C, F = a->F, c0 = task*COLS, wide = GL_MIN(COLS, C - c0);
    char *cursor = j->work + worker*j->scratch;
    REAL *y = gl_carve(&cursor, ROWS*COLS, sizeof(REAL));
    for (ptrdiff_t r0 = 0; r0 < j->rows; r0 += ROWS) {
        const ptrdiff_t some = GL_MIN(ROWS, j->rows - r0);
        FN(far_product)(y, COLS, j->u + r0*F, F, a->w2 + c0, C, some, wide, F);
        for (ptrdiff_t r = r0; r < r0 + some; r++) {
            const ptrdiff_t b = j->open[r/n];
            FN(add_row)(a->x + (b*a->N + j->i0 + r%n)*C + c0, y + (r - r0)*COLS, a->gate[b], wide);
        }
    }
}

ptrdiff_t FN(gl_decode_mlp_workspace)(const FN(gl_decode_mlp_args) *a, int nth) {
    const ptrdiff_t item = sizeof(REAL), n = GL_MIN(RUN, a->N), rows = gl_size_mul(a->B, n);
    ptrdiff_t bytes = gl_size_mul(gl_carve_size(ROWS*COLS, item), nth);
    bytes = gl_size_add(bytes, gl_carve_size(a->B, sizeof(ptrdiff_t)));
    bytes = gl_size_add(bytes, gl_carve_size(2*n, item));
    bytes = gl_size_add(bytes, gl_carve_size(gl_size_mul(rows, a->C), item));
    return gl_size_add(bytes, gl_carve_size(gl_size_mul(rows, a->F), item));
}

void FN(gl_decode_mlp)(const FN(gl_decode_mlp_args) *a, void *work, int nth) {
    const ptrdiff_t C = a->C;
    // without channels N is bounded by no memory
    for (ptrdiff_t i0 = 0; C > 0 && i0 < a->N; i0 += RUN) {
        const ptrdiff_t n = GL_MIN(RUN, a->N - i0);
        FN(decode_mlp_job) job = {.a = a, .i0 = i0, .n = n,
                                  .scratch = gl_carve_size(ROWS*COLS, sizeof(REAL))};
        char *cursor = work;
        job.open = gl_carve(&cursor, a->B, sizeof(ptrdiff_t));
        job.stat = gl_carve(&cursor, 2*n, sizeof(REAL));
        job.norm = gl_carve(&cursor, a->B*n*C, sizeof(REAL));
        job.u = gl_carve(&cursor, a->B*n*a->F, sizeof(REAL));
        job.work = cursor;

        for (ptrdiff_t b = 0; b < a->B; b++) {
            if (a->gate[b] == 0) continue;
            job.open[job.rows/n] = b;
            GL_K(layer_norm_rows)(job.norm + job.rows*C, job.stat, job.stat + n,
                                  a->x + (b*a->N + i0)*C, a->norm_weight, a->norm_bias, a->eps, n,
                                  C);
            job.rows += n;
        }
        if (job.rows == 0) return;
        gl_pool_run(FN(decode_hidden), &job, GL_CEIL_DIV(a->F, COLS), nth);
        gl_pool_run(FN(decode_mlp_output), &job, GL_CEIL_DIV(C, COLS), nth);
    }
}

typedef struct {
    const FN(gl_decode_logits_args) *a;
    REAL *norm;         // (B, C)
} FN(decode_logits_job);

// Some words of the vocabulary: each is read once for all rows.
static void FN(decode_words)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(decode_logits_job) *j = arg;
    const FN(gl_decode_logits_args) *a = j->a;
    const ptrdiff_t end = GL_MIN((task + 1)*WORDS, a->V);
    for (ptrdiff_t v = task*WORDS; v < end; v++)
        for (ptrdiff_t b = 0; b < a->B; b++)
            a->logits[b*a->V + v] = GL_K(dot)(j->norm + b*a->C, a->table + v*a->C, a->C);
}

ptrdiff_t FN(gl_decode_logits_workspace)(const FN(gl_decode_logits_args) *a, int nth) {
    (void)nth;
    const ptrdiff_t item = sizeof(REAL);
    const ptrdiff_t bytes = gl_carve_size(gl_size_mul(a->B, a->C), item);
    return gl_size_add(bytes, gl_carve_size(gl_size_mul(2, a->B), item));
}

void FN(gl_decode_logits)(const FN(gl_decode_logits_args) *a, void *work, int nth) {
    if (a->B == 0) return;
    char *cursor = work;
    FN(decode_logits_job) job = {a, gl_carve(&cursor, a->B*a->C, sizeof(REAL))};
    REAL *stat = gl_carve(&cursor, 2*a->B, sizeof(REAL));
    GL_K(layer_norm_rows)(job.norm, stat, stat + a->B, a->x, a->norm_weight, a->norm_bias, a->eps,
                          a->B, a->C);
    gl_pool_run(FN(decode_words), &job, GL_CEIL_DIV(a->V, WORDS), nth);
}
