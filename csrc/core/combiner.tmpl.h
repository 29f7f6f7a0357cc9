// The rows of a model are the samples that have it: products and norms know nothing of the others.
// Products run over all rows of a model by `linear`, one model after the other; what is done to
// each sample by itself is a task of some samples. Nothing is cut by the number of threads.

typedef struct {
    const FN(gl_combine) *a;
    int64_t *place;   // (M, B)  row of each sample in the arrays of each model, or -1
    int64_t *count;   // (M,)    rows of each model
    REAL *context;    // (B, S)  the context's share of h, or its gradient

    // backward
    REAL *du;         // (B, M)
    REAL *dh;         // (M, B, S)
    REAL *de, *more;  // (B, C)
    ptrdiff_t model;  // at hand
} FN(combine_job);

static int FN(has)(const FN(gl_combine) *a, ptrdiff_t b, ptrdiff_t i) {
    return a->present == NULL || a->present[b*a->M + i];
}

static int FN(weighed)(const FN(gl_combine) *a, ptrdiff_t i) {
    return i != a->context || a->weigh_context;
}

static void FN(find_places)(FN(combine_job) *j) {
    const FN(gl_combine) *a = j->a;
    for (ptrdiff_t i = 0; i < a->M; i++) {
        int64_t n = 0;
        for (ptrdiff_t b = 0; b < a->B; b++) j->place[i*a->B + b] = FN(has)(a, b, i) ? n++ : -1;
        j->count[i] = n;
    }
}

static ptrdiff_t FN(widest)(const FN(gl_combine) *a) {
    ptrdiff_t most = 0;
    for (ptrdiff_t i = 0; i < a->M; i++)
        most = GL_MAX(most, (ptrdiff_t)(a->columns[i + 1] - a->columns[i]));
    return most;
}

// Rows of n numbers, `apart` in memory, of the samples that have model i: copied into `rows`, or
// with `back` out of it, where the other samples get 0.
static void FN(move_rows)(const FN(combine_job) *j, ptrdiff_t i, REAL *rows, REAL *samples,
                          ptrdiff_t apart, ptrdiff_t n, int back) {
    const int64_t *place = j->place + i*j->a->B;
    for (ptrdiff_t b = 0; b < j->a->B; b++) {
        REAL *sample = samples + b*apart;
        if (place[b] < 0) {
            if (back) memset(sample, 0, (size_t)n * sizeof(REAL));
            continue;
        }
        REAL *row = rows + place[b]*n;
        memcpy(back ? sample : row, back ? row : sample, (size_t)n * sizeof(REAL));
    }
}

// The inputs of model i, rows *ld apart: in `scratch`, or where they are if no sample lacks it.
static const REAL *FN(inputs_of)(const FN(combine_job) *j, ptrdiff_t i, REAL *scratch,
                                 ptrdiff_t *ld) {
    const FN(gl_combine) *a = j->a;
    const REAL *x = a->x + a->columns[i];
    *ld = a->D;
    if (j->count[i] == a->B) return x;
    *ld = a->columns[i + 1] - a->columns[i];
    // only read, as `back` is 0
    FN(move_rows)(j, i, scratch, (REAL *)(uintptr_t)x, a->D, *ld, 0);
    return scratch;
}

static int FN(combine_threads)(const FN(gl_combine) *a, int nth) {
    return a->B*a->M*GL_MAX(a->C, a->S) <= FEW ? 1 : nth;
}

static void FN(rectify_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(combine_job) *j = arg;
    const ptrdiff_t C = j->a->C, from = task*ROWS, n = GL_MIN(ROWS, j->count[j->model] - from);
    REAL *e = j->a->e + (j->model*j->a->B + from)*C;
    GL_K(relu)(e, e, n*C);
}

static void FN(combine_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(combine_job) *j = arg;
    GL_K(combine_rows)(j->a, j->context, j->place, task*ROWS, GL_MIN((task + 1)*ROWS, j->a->B));
}

gl_result FN(gl_combine_forward)(const FN(gl_combine) *a, void *work, int nth) {
    for (ptrdiff_t b = 0; b < a->B; b++) {
        int any = 0;
        for (ptrdiff_t i = 0; i < a->M; i++) any |= FN(weighed)(a, i) && FN(has)(a, b, i);
        if (!any) return (gl_result){GL_EVALUE, b};
    }
    const ptrdiff_t B = a->B, C = a->C, S = a->S;
    const int few = FN(combine_threads)(a, nth);
    FN(combine_job) job = {.a = a};
    char *cursor = work;
    job.place = gl_carve(&cursor, a->M*B, sizeof(int64_t));
    job.count = gl_carve(&cursor, a->M, sizeof(int64_t));
    job.context = gl_carve(&cursor, B*S, sizeof(REAL));
    REAL *scratch = gl_carve(&cursor, B*FN(widest)(a), sizeof(REAL));
    REAL *hidden = gl_carve(&cursor, B*S, sizeof(REAL));
    FN(find_places)(&job);

    for (ptrdiff_t i = 0; i < a->M; i++) {
        const ptrdiff_t n = job.count[i], d = a->columns[i + 1] - a->columns[i];
        REAL *e = a->e + i*B*C, *z = a->norm_weight ? a->z + i*B*C : e;
        ptrdiff_t ld;
        const REAL *x = FN(inputs_of)(&job, i, scratch, &ld);
        FN(gl_linear_forward)(z, C, x, ld, a->weight + a->columns[i]*C, a->bias + i*C, 0, n, d, C,
                              nth);
        if (a->norm_weight) {
            FN(gl_layer_norm_forward)(e, a->mean + i*B, a->rstd + i*B, z, a->norm_weight + i*C,
                                      a->norm_bias + i*C, a->eps, n, C, few);
            job.model = i;
            gl_pool_run(FN(rectify_task), &job, GL_CEIL_DIV(n, ROWS), few);
        }
        if (FN(weighed)(a, i))
            FN(gl_linear_forward)(a->hidden + i*B*S, S, e, C, a->model_weight, NULL, 0, n, C, S,
                                  nth);
    }

    // once a sample, whatever the number of models
    const ptrdiff_t n = job.count[a->context];
    const int whole = n == B;
    FN(gl_linear_forward)(whole ? job.context : hidden, S, a->e + a->context*B*C, C,
                          a->context_weight, NULL, 0, n, C, S, nth);
    if (!whole) FN(move_rows)(&job, a->context, hidden, job.context, S, S, 1);
    gl_pool_run(FN(combine_task), &job, GL_CEIL_DIV(B, ROWS), few);
    return gl_ok();
}

ptrdiff_t FN(gl_combine_forward_workspace)(const FN(gl_combine) *a, int nth) {
    (void)nth;
    const ptrdiff_t item = sizeof(REAL), place = gl_size_mul(a->M, a->B);
    ptrdiff_t n = gl_carve_size(place, sizeof(int64_t));
    n = gl_size_add(n, gl_carve_size(a->M, sizeof(int64_t)));
    n = gl_size_add(n, gl_size_mul(2, gl_carve_size(gl_size_mul(a->B, a->S), item)));
    return gl_size_add(n, gl_carve_size(gl_size_mul(a->B, FN(widest)(a)), item));
}

static void FN(scores_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(combine_job) *j = arg;
    GL_K(combine_rows_backward)(j->du, j->dh, j->context, j->a, j->place, task*ROWS,
                                GL_MIN((task + 1)*ROWS, j->a->B));
}

// forward: u = <h, score_weight> + score_bias
// A task is some of the columns of h; the samples are summed in their order.
static void FN(score_weight_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(combine_job) *j = arg;
    const FN(gl_combine) *a = j->a;
    const ptrdiff_t from = task*COLS, n = GL_MIN(COLS, a->S - from);
    REAL sum[COLS] = {0};
    for (ptrdiff_t i = 0; i < a->M; i++)
        for (ptrdiff_t b = 0; b < a->B; b++) {
            const ptrdiff_t row = j->place[i*a->B + b];
            if (row < 0 || !FN(weighed)(a, i)) continue;
            const REAL *h = a->hidden + (i*a->B + row)*a->S + from, du = j->du[b*a->M + i];
            for (ptrdiff_t s = 0; s < n; s++) sum[s] += du * h[s];
        }
    for (ptrdiff_t s = 0; s < n; s++) a->dscore_weight[from + s] += sum[s];
}

// forward: state = sum w e, and with a norm e = max(z', 0)
// de holds what comes through the scorer: what comes from the state is added.
static void FN(embedding_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(combine_job) *j = arg;
    const FN(gl_combine) *a = j->a;
    const ptrdiff_t i = j->model, C = a->C;
    const int context = i == a->context, weighed = FN(weighed)(a, i);
    for (ptrdiff_t b = task*ROWS; b < GL_MIN((task + 1)*ROWS, a->B); b++) {
        const ptrdiff_t row = j->place[i*a->B + b];
        if (row < 0) continue;
        const REAL *dstate = a->dstate + b*C, *more = j->more + row*C, w = a->weights[b*a->M + i];
        REAL *de = j->de + row*C;
        if (weighed)
            for (ptrdiff_t c = 0; c < C; c++) de[c] += w * dstate[c];
        if (context && weighed)
            for (ptrdiff_t c = 0; c < C; c++) de[c] += more[c];
        if (a->norm_weight) GL_K(relu_backward)(de, de, a->e + (i*a->B + row)*C, C);
    }
}

void FN(gl_combine_backward)(const FN(gl_combine) *a, void *work, int nth) {
    const ptrdiff_t B = a->B, M = a->M, C = a->C, S = a->S, widest = FN(widest)(a);
    const ptrdiff_t blocks = GL_CEIL_DIV(B, ROWS);
    const int few = FN(combine_threads)(a, nth);
    FN(combine_job) job = {.a = a};
    char *cursor = work;
    job.place = gl_carve(&cursor, M*B, sizeof(int64_t));
    job.count = gl_carve(&cursor, M, sizeof(int64_t));
    job.context = gl_carve(&cursor, B*S, sizeof(REAL));
    REAL *scratch = gl_carve(&cursor, B*widest, sizeof(REAL));
    REAL *dcontext = gl_carve(&cursor, B*S, sizeof(REAL));
    job.du = gl_carve(&cursor, B*M, sizeof(REAL));
    job.dh = gl_carve(&cursor, M*B*S, sizeof(REAL));
    job.de = gl_carve(&cursor, B*C, sizeof(REAL));
    job.more = gl_carve(&cursor, B*C, sizeof(REAL));
    REAL *dx = a->dx ? gl_carve(&cursor, B*widest, sizeof(REAL)) : NULL;
    REAL *norm = a->norm_weight
                     ? gl_carve(&cursor, gl_layer_norm_backward_workspace(B, C), sizeof(REAL))
                     : NULL;
    FN(find_places)(&job);
    gl_pool_run(FN(scores_task), &job, blocks, few);

    for (ptrdiff_t b = 0; b < B; b++)
        for (ptrdiff_t i = 0; i < M; i++) *a->dscore_bias += job.du[b*M + i];
    if (a->score_weight) gl_pool_run(FN(score_weight_task), &job, GL_CEIL_DIV(S, COLS), few);
    if (a->dhidden_bias)
        FN(gl_linear_backward)(NULL, 0, NULL, a->dhidden_bias, job.context, S, NULL, 0, NULL, 0, B,
                               0, S, few);

    for (ptrdiff_t i = 0; i < M; i++) {
        const ptrdiff_t n = job.count[i], d = a->columns[i + 1] - a->columns[i];
        const int whole = n == B, weighed = FN(weighed)(a, i);
        const REAL *e = a->e + i*B*C;
        job.model = i;

        // forward: h = e_s context_weight + e_i model_weight
        if (weighed)
            FN(gl_linear_backward)(job.de, C, a->dmodel_weight, NULL, job.dh + i*B*S, S, e, C,
                                   a->model_weight, 0, n, C, S, nth);
        if (i == a->context) {
            if (!whole) FN(move_rows)(&job, i, dcontext, job.context, S, S, 0);
            FN(gl_linear_backward)(weighed ? job.more : job.de, C, a->dcontext_weight, NULL,
                                   whole ? job.context : dcontext, S, e, C, a->context_weight, 0,
                                   n, C, S, nth);
        }
        gl_pool_run(FN(embedding_task), &job, blocks, few);

        // forward: z = x_i weight_i + bias_i, e = max(layer_norm(z), 0)
        if (a->norm_weight)
            FN(gl_layer_norm_backward)(job.de, a->dnorm_weight + i*C, a->dnorm_bias + i*C, job.de,
                                       a->z + i*B*C, a->mean + i*B, a->rstd + i*B,
                                       a->norm_weight + i*C, norm, n, C, few);
        ptrdiff_t ld;
        const REAL *x = FN(inputs_of)(&job, i, scratch, &ld);
        REAL *to = a->dx && whole ? a->dx + a->columns[i] : dx;
        FN(gl_linear_backward)(to, whole ? a->D : d, a->dweight + a->columns[i]*C, a->dbias + i*C,
                               job.de, C, x, ld, a->weight + a->columns[i]*C, 0, n, d, C, nth);
        if (a->dx && !whole) FN(move_rows)(&job, i, dx, a->dx + a->columns[i], a->D, d, 1);
    }
}

ptrdiff_t FN(gl_combine_backward_workspace)(const FN(gl_combine) *a, int nth) {
    const ptrdiff_t B = a->B, C = a->C, S = a->S, item = sizeof(REAL);
    const ptrdiff_t inputs = gl_carve_size(gl_size_mul(B, FN(widest)(a)), item);
    ptrdiff_t n = FN(gl_combine_forward_workspace)(a, nth);
    n = gl_size_add(n, gl_carve_size(gl_size_mul(B, a->M), item));
    n = gl_size_add(n, gl_carve_size(gl_size_mul(gl_size_mul(a->M, B), S), item));
    n = gl_size_add(n, gl_size_mul(2, gl_carve_size(gl_size_mul(B, C), item)));
    if (a->dx) n = gl_size_add(n, inputs);
    if (a->norm_weight)
        n = gl_size_add(n, gl_carve_size(gl_layer_norm_backward_workspace(B, C), item));
    return n;
}
