typedef struct {
    REAL *out;
    const REAL *in;
    const int64_t *idx;
    ptrdiff_t N, C;
} FN(embedding_job);

static void FN(embedding_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(embedding_job) *j = arg;
    const ptrdiff_t C = j->C, end = GL_MIN((task + 1)*ROWS, j->N);
    for (ptrdiff_t n = task*ROWS; n < end; n++)
        memcpy(j->out + n*C, j->in + j->idx[n]*C, (size_t)C * sizeof(REAL));
}

gl_result FN(gl_embedding_forward)(REAL *out, const REAL *table, const int64_t *idx, ptrdiff_t N,
                                   ptrdiff_t V, ptrdiff_t C, int nth) {
    const gl_result checked = check_indices(idx, N, V);
    if (checked.status != GL_OK) return checked;
    FN(embedding_job) job = {.out = out, .in = table, .idx = idx, .N = N, .C = C};
    gl_pool_run(FN(embedding_task), &job, GL_CEIL_DIV(N, ROWS), nth);
    return gl_ok();
}

static void FN(embedding_backward_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(embedding_job) *j = arg;
    const ptrdiff_t C = j->C, c = task*COLS, m = GL_MIN(COLS, C - c);
    for (ptrdiff_t n = 0; n < j->N; n++) {
        REAL *restrict to = j->out + j->idx[n]*C + c;
        const REAL *from = j->in + n*C + c;
        for (ptrdiff_t k = 0; k < m; k++) to[k] += from[k];
    }
}

gl_result FN(gl_embedding_backward)(REAL *dtable, const REAL *dout, const int64_t *idx, ptrdiff_t N,
                                    ptrdiff_t V, ptrdiff_t C, int nth) {
    const gl_result checked = check_indices(idx, N, V);
    if (checked.status != GL_OK) return checked;
    FN(embedding_job) job = {.out = dtable, .in = dout, .idx = idx, .N = N, .C = C};
    gl_pool_run(FN(embedding_backward_task), &job, GL_CEIL_DIV(C, COLS), nth);
    return gl_ok();
}
