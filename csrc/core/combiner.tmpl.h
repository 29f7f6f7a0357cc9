// Three kinds of task: a block of one model's rows, between features and adapted embedding; a block
// of samples, between adapted embeddings and state; a piece of one model's weights, whose gradient
// sums over all rows.

typedef struct {
    const FN(gl_combiner) *a;
    FN(gl_combiner_parts) parts;
    ptrdiff_t blocks;     // of a model's rows
    ptrdiff_t groups;     // of samples
    char *work;           // scratch of the workers
    ptrdiff_t scratch;    // bytes a worker
    ptrdiff_t pieces;     // of a model's weights
    ptrdiff_t piece;      // rows of one
    REAL *shares;         // (M, blocks, 3, C)   gradients of norm_weight, norm_bias and bias
    REAL *score_shares;   // (groups, V + 1)     of score_weight and score_bias
    REAL *dw;             // (B, M)
} FN(combiner_job);

static int FN(combiner_threads)(const FN(gl_combiner) *a, int nth) {
    return (double)a->B * (double)a->D * (double)a->C < SMALL ? 1 : nth;
}

static ptrdiff_t FN(combiner_widest)(const FN(gl_combiner) *a) {
    ptrdiff_t widest = 0;
    for (ptrdiff_t i = 0; i < a->M; i++) widest = GL_MAX(widest, (ptrdiff_t)a->widths[i]);
    return widest;
}

static int FN(combiner_is_weighed)(const FN(gl_combiner) *a, ptrdiff_t i) {
    return i != a->context || a->weigh_context;
}

static ptrdiff_t FN(combiner_score_width)(const FN(gl_combiner) *a) {
    return a->S ? a->S : gl_size_mul(2, a->C);
}

// Values of a model's embedding before the columns of model i.
static ptrdiff_t FN(combiner_column)(const FN(gl_combiner) *a, ptrdiff_t i) {
    ptrdiff_t column = 0;
    for (ptrdiff_t j = 0; j < i; j++) column += (ptrdiff_t)a->widths[j];
    return column;
}

// What both passes need of the workspace, in bytes.
static ptrdiff_t FN(combiner_common)(const FN(gl_combiner) *a) {
    const ptrdiff_t MB = gl_size_mul(a->M, a->B), item = sizeof(ptrdiff_t);
    ptrdiff_t n = gl_size_mul(2, gl_carve_size(MB, item));
    n = gl_size_add(n, gl_carve_size(a->M, item));
    return gl_size_add(n, gl_carve_size(gl_size_mul(a->B, a->S), sizeof(REAL)));
}

// Cut the parts out of `saved` and the workspace, and fill the lists of samples.
static FN(combiner_job) FN(combiner_begin)(const FN(gl_combiner) *a, char **cursor) {
    const ptrdiff_t B = a->B, M = a->M, MBC = M*B*a->C;
    FN(gl_combiner_parts) p = {
        .position = gl_carve(cursor, M*B, sizeof(ptrdiff_t)),
        .samples = gl_carve(cursor, M*B, sizeof(ptrdiff_t)),
        .count = gl_carve(cursor, M, sizeof(ptrdiff_t)),
        .q = gl_carve(cursor, B*a->S, sizeof(REAL)),
    };
    REAL *saved = a->saved;
    p.z = saved;
    if (a->norm_weight) {
        p.mean = saved += MBC;
        p.rstd = saved += M*B;
        saved += M*B;
    }
    p.e = saved;
    p.h = p.e + MBC;
    p.score = p.h + M*B*a->S;

    for (ptrdiff_t i = 0; i < M; i++) {
        ptrdiff_t count = 0;
        for (ptrdiff_t b = 0; b < B; b++) {
            const int has = a->present == NULL || a->present[b*M + i];
            p.position[i*B + b] = has ? count : -1;
            if (has) p.samples[i*B + count++] = b;
        }
        p.count[i] = count;
    }
    return (FN(combiner_job)){.a = a, .parts = p, .blocks = GL_CEIL_DIV(B, ROWS),
                              .groups = GL_CEIL_DIV(B, SAMPLES)};
}

// Columns column, column + 1, ... of the features, `width` of them, of the n rows k0, k0 + 1, ...
// of model i: *ld apart where they stand, or copied.
static const REAL *FN(combiner_gather)(REAL *copy, ptrdiff_t *ld, const FN(combiner_job) *j,
                                       ptrdiff_t i, ptrdiff_t column, ptrdiff_t width,
                                       ptrdiff_t k0, ptrdiff_t n) {
    const FN(gl_combiner) *a = j->a;
    const REAL *features = a->features + column;
    if (j->parts.count[i] == a->B) {
        *ld = a->D;
        return features + k0*a->D;
    }
    const ptrdiff_t *samples = j->parts.samples + i*a->B + k0;
    for (ptrdiff_t k = 0; k < n; k++)
        memcpy(copy + k*width, features + samples[k]*a->D, (size_t)width * sizeof(REAL));
    *ld = width;
    return copy;
}

// Adapt a block of rows of one model, and take it through its half of the hidden layer.
static void FN(combiner_adapt)(void *arg, ptrdiff_t task, int worker) {
    const FN(combiner_job) *j = arg;
    const FN(gl_combiner) *a = j->a;
    const FN(gl_combiner_parts) *p = &j->parts;
    const ptrdiff_t i = task / j->blocks, k0 = task % j->blocks * ROWS, C = a->C, S = a->S;
    const ptrdiff_t n = GL_MIN(ROWS, p->count[i] - k0), at = i*a->B + k0;
    if (n <= 0) return;
    const ptrdiff_t width = (ptrdiff_t)a->widths[i], column = FN(combiner_column)(a, i);
    REAL *z = p->z + at*C, *e = p->e + at*C;

    ptrdiff_t ld;
    const REAL *f = FN(combiner_gather)((REAL *)(j->work + worker*j->scratch), &ld, j, i, column,
                                        width, k0, n);
    for (ptrdiff_t k = 0; k < n; k++) memcpy(z + k*C, a->bias + i*C, (size_t)C * sizeof(REAL));
    FN(gl_gemm)(0, 0, n, C, width, f, ld, a->weight + column*C, C, 1, z, C);
    if (a->norm_weight) {
        GL_K(layer_norm_rows)(e, p->mean + at, p->rstd + at, z, a->norm_weight + i*C,
                              a->norm_bias + i*C, a->eps, n, C);
        GL_K(relu)(e, e, n*C);
    }
    if (S == 0) return;
    if (FN(combiner_is_weighed)(a, i))
        FN(gl_gemm)(0, 0, n, S, C, e, C, a->hidden_weight + C*S, S, 0, p->h + at*S, S);
    if (i != a->context) return;
    // every sample has the context: its row k is sample k
    REAL *q = p->q + k0*S;
    for (ptrdiff_t k = 0; k < n; k++) memcpy(q + k*S, a->hidden_bias, (size_t)S * sizeof(REAL));
    FN(gl_gemm)(0, 0, n, S, C, e, C, a->hidden_weight, S, 1, q, S);
}

static void FN(combiner_samples)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(combiner_job) *j = arg;
    const ptrdiff_t end = GL_MIN((task + 1)*SAMPLES, j->a->B);
    for (ptrdiff_t b = task*SAMPLES; b < end; b++) GL_K(combiner_row)(j->a, &j->parts, b);
}

static ptrdiff_t FN(combiner_scratch)(const FN(gl_combiner) *a) {
    const ptrdiff_t rows = GL_MIN(ROWS, a->B);
    return a->present ? gl_carve_size(gl_size_mul(rows, FN(combiner_widest)(a)), sizeof(REAL)) : 0;
}

ptrdiff_t FN(gl_combiner_forward_workspace)(const FN(gl_combiner) *a, int nth) {
    return gl_size_add(FN(combiner_common)(a), gl_size_mul(FN(combiner_scratch)(a), nth));
}

void FN(gl_combiner_forward)(const FN(gl_combiner) *a, void *work, int nth) {
    char *cursor = work;
    FN(combiner_job) job = FN(combiner_begin)(a, &cursor);
    job.scratch = FN(combiner_scratch)(a);
    job.work = cursor;
    nth = FN(combiner_threads)(a, nth);
    gl_pool_run(FN(combiner_adapt), &job, a->M*job.blocks, nth);
    gl_pool_run(FN(combiner_samples), &job, job.groups, nth);
}

static void FN(combiner_samples_backward)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(combiner_job) *j = arg;
    const FN(gl_combiner) *a = j->a;
    const ptrdiff_t V = FN(combiner_score_width)(a), end = GL_MIN((task + 1)*SAMPLES, a->B);
    REAL *share = j->score_shares + task*(V + 1);
    memset(share, 0, (size_t)(V + 1) * sizeof(REAL));
    for (ptrdiff_t b = task*SAMPLES; b < end; b++)
        GL_K(combiner_row_backward)(a, &j->parts, b, share, share + V, j->dw + b*a->M);
}

// From e back to z, and to the features where asked, a block of rows of one model.
static void FN(combiner_adapt_backward)(void *arg, ptrdiff_t task, int worker) {
    const FN(combiner_job) *j = arg;
    const FN(gl_combiner) *a = j->a;
    const FN(gl_combiner_parts) *p = &j->parts;
    const ptrdiff_t i = task / j->blocks, k0 = task % j->blocks * ROWS, C = a->C, S = a->S;
    const ptrdiff_t n = GL_MIN(ROWS, p->count[i] - k0), at = i*a->B + k0;
    if (n <= 0) return;
    const int weighed = FN(combiner_is_weighed)(a, i);
    REAL *de = p->de + at*C;

    // forward: h = relu(q + e B), q = s A + a
    if (S && weighed)
        FN(gl_gemm)(0, 1, n, C, S, p->dh + at*S, S, a->hidden_weight + C*S, S, 1, de, C);
    if (S && i == a->context)
        FN(gl_gemm)(0, 1, n, C, S, p->q + k0*S, S, a->hidden_weight, S, (REAL)weighed, de, C);
    REAL *share = j->shares + 3*task*C;
    memset(share, 0, (size_t)(3*C) * sizeof(REAL));
    if (a->norm_weight) {
        // forward: e = relu(layer_norm(z))
        GL_K(relu_backward)(de, de, p->e + at*C, n*C);
        GL_K(layer_norm_rows_backward)(de, share, share + C, de, p->z + at*C, p->mean + at,
                                       p->rstd + at, a->norm_weight + i*C, NULL, n, C);
    }
    // forward: z = f W + b
    REAL *dbias = share + 2*C;
    for (ptrdiff_t k = 0; k < n; k++)
        for (ptrdiff_t c = 0; c < C; c++) dbias[c] += de[k*C + c];
    if (a->dfeatures == NULL) return;
    const ptrdiff_t width = (ptrdiff_t)a->widths[i], column = FN(combiner_column)(a, i), D = a->D;
    const int all = p->count[i] == a->B;
    REAL *dx = all ? a->dfeatures + k0*D + column : (REAL *)(j->work + worker*j->scratch);
    FN(gl_gemm)(0, 1, n, width, C, de, C, a->weight + column*C, C, 0, dx, all ? D : width);
    const ptrdiff_t *samples = p->samples + at;
    for (ptrdiff_t k = 0; !all && k < n; k++)
        memcpy(a->dfeatures + samples[k]*D + column, dx + k*width, (size_t)width * sizeof(REAL));
}

// forward: z = f W + b
static void FN(combiner_weight_backward)(void *arg, ptrdiff_t task, int worker) {
    const FN(combiner_job) *j = arg;
    const FN(gl_combiner) *a = j->a;
    const ptrdiff_t i = task / j->pieces, r = task % j->pieces * j->piece, C = a->C;
    const ptrdiff_t rows = GL_MIN(j->piece, (ptrdiff_t)a->widths[i] - r), n = j->parts.count[i];
    if (rows <= 0) return;
    const ptrdiff_t column = FN(combiner_column)(a, i) + r;
    ptrdiff_t ld;
    const REAL *f = FN(combiner_gather)((REAL *)(j->work + worker*j->scratch), &ld, j, i, column,
                                        rows, 0, n);
    FN(gl_gemm)(1, 0, rows, C, n, f, ld, j->parts.de + i*a->B*C, C, 1, a->dweight + column*C, C);
}

// forward: h = relu(q + e B), q = s A + a
static void FN(combiner_hidden_backward)(const FN(gl_combiner) *a, const FN(gl_combiner_parts) *p,
                                         int nth) {
    const ptrdiff_t C = a->C, S = a->S, B = a->B;
    for (ptrdiff_t i = 0; i < a->M; i++) {
        const REAL *e = p->e + i*B*C;
        if (FN(combiner_is_weighed)(a, i))
            FN(gl_linear_backward)(NULL, 0, a->dhidden_weight + C*S, NULL, p->dh + i*B*S, S, e, C,
                                   NULL, 0, p->count[i], C, S, nth);
        if (i == a->context)
            FN(gl_linear_backward)(NULL, 0, a->dhidden_weight, a->dhidden_bias, p->q, S, e, C,
                                   NULL, 0, B, C, S, nth);
    }
}

// Rows of a piece of the adapters' weights.
static ptrdiff_t FN(combiner_piece)(const FN(gl_combiner) *a) {
    return GL_MAX(PIECE_ROWS, GL_CEIL_DIV(a->D, PIECES));
}

// Of a worker in backward: rows of one model, or all rows of a piece of its columns.
static ptrdiff_t FN(combiner_backward_scratch)(const FN(gl_combiner) *a) {
    if (a->present == NULL) return 0;
    const ptrdiff_t widest = FN(combiner_widest)(a);
    const ptrdiff_t piece = gl_size_mul(a->B, GL_MIN(widest, FN(combiner_piece)(a)));
    return gl_carve_size(GL_MAX(piece, gl_size_mul(GL_MIN(ROWS, a->B), widest)), sizeof(REAL));
}

ptrdiff_t FN(gl_combiner_backward_workspace)(const FN(gl_combiner) *a, int nth) {
    const ptrdiff_t MB = gl_size_mul(a->M, a->B), blocks = GL_CEIL_DIV(a->B, ROWS);
    const ptrdiff_t groups = GL_CEIL_DIV(a->B, SAMPLES), V = FN(combiner_score_width)(a);
    const ptrdiff_t item = sizeof(REAL);
    ptrdiff_t n = FN(combiner_common)(a);
    n = gl_size_add(n, gl_carve_size(gl_size_mul(MB, a->C), item));
    n = gl_size_add(n, gl_carve_size(gl_size_mul(MB, a->S), item));
    n = gl_size_add(n, gl_carve_size(MB, item));
    n = gl_size_add(n, gl_carve_size(gl_size_mul(groups, gl_size_add(V, 1)), item));
    n = gl_size_add(n, gl_carve_size(gl_size_mul(gl_size_mul(a->M, blocks), gl_size_mul(3, a->C)),
                                     item));
    return gl_size_add(n, gl_size_mul(FN(combiner_backward_scratch)(a), nth));
}

void FN(gl_combiner_backward)(const FN(gl_combiner) *a, void *work, int nth) {
    const ptrdiff_t B = a->B, M = a->M, C = a->C, V = FN(combiner_score_width)(a);
    char *cursor = work;
    FN(combiner_job) job = FN(combiner_begin)(a, &cursor);
    job.parts.de = gl_carve(&cursor, M*B*C, sizeof(REAL));
    job.parts.dh = gl_carve(&cursor, M*B*a->S, sizeof(REAL));
    job.dw = gl_carve(&cursor, M*B, sizeof(REAL));
    job.score_shares = gl_carve(&cursor, job.groups*(V + 1), sizeof(REAL));
    job.shares = gl_carve(&cursor, M*job.blocks*3*C, sizeof(REAL));
    job.scratch = FN(combiner_backward_scratch)(a);
    job.work = cursor;
    job.piece = FN(combiner_piece)(a);
    job.pieces = GL_CEIL_DIV(FN(combiner_widest)(a), job.piece);

    // what a sample lacks has no gradient
    if (a->present && a->dfeatures) memset(a->dfeatures, 0, (size_t)(B*a->D) * sizeof(REAL));
    nth = FN(combiner_threads)(a, nth);
    gl_pool_run(FN(combiner_samples_backward), &job, job.groups, nth);
    gl_pool_run(FN(combiner_adapt_backward), &job, M*job.blocks, nth);
    gl_pool_run(FN(combiner_weight_backward), &job, M*job.pieces, nth);
    if (a->S) FN(combiner_hidden_backward)(a, &job.parts, nth);

    // the shares of groups and blocks, in order
    for (ptrdiff_t group = 0; group < job.groups; group++) {
        const REAL *share = job.score_shares + group*(V + 1);
        for (ptrdiff_t v = 0; v < V; v++) a->dscore_weight[v] += share[v];
        a->dscore_bias[0] += share[V];
    }
    for (ptrdiff_t i = 0; i < M; i++)
        for (ptrdiff_t block = 0; block*ROWS < job.parts.count[i]; block++) {
            const REAL *share = job.shares + 3*(i*job.blocks + block)*C;
            for (ptrdiff_t c = 0; a->norm_weight && c < C; c++) {
                a->dnorm_weight[i*C + c] += share[c];
                a->dnorm_bias[i*C + c] += share[C + c];
            }
            for (ptrdiff_t c = 0; c < C; c++) a->dbias[i*C + c] += share[2*C + c];
        }
}
