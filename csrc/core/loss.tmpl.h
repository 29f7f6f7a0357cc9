typedef struct {
    REAL *out, *loss;
    const REAL *x, *dy, *dloss;
    const int64_t *targets;
    int64_t ignore_index;
    ptrdiff_t N, V, rows;
    void (*forward)(REAL *y, const REAL *x, ptrdiff_t N, ptrdiff_t V);
    void (*backward)(REAL *dx, const REAL *dy, const REAL *y, ptrdiff_t N, ptrdiff_t V);
} FN(loss_job);

static void FN(softmax_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(loss_job) *j = arg;
    const ptrdiff_t i = task*j->rows, n = GL_MIN(j->rows, j->N - i), at = i*j->V;
    if (j->forward)
        j->forward(j->out + at, j->x + at, n, j->V);
    else
        j->backward(j->out + at, j->dy + at, j->x + at, n, j->V);
}

static void FN(softmax_run)(FN(loss_job) job, int nth) {
    if (job.V == 0) return;
    job.rows = gl_task_rows(CHUNK, job.V);
    gl_pool_run(FN(softmax_task), &job, GL_CEIL_DIV(job.N, job.rows), nth);
}

void FN(gl_softmax_forward)(REAL *y, const REAL *x, ptrdiff_t N, ptrdiff_t V, int nth) {
    FN(softmax_run)((FN(loss_job)){.out = y, .x = x, .N = N, .V = V,
                                   .forward = GL_K(softmax_rows)}, nth);
}

void FN(gl_softmax_backward)(REAL *dx, const REAL *dy, const REAL *y, ptrdiff_t N, ptrdiff_t V,
                             int nth) {
    FN(softmax_run)((FN(loss_job)){.out = dx, .dy = dy, .x = y, .N = N, .V = V,
                                   .backward = GL_K(softmax_rows_backward)}, nth);
}

void FN(gl_log_softmax_forward)(REAL *y, const REAL *x, ptrdiff_t N, ptrdiff_t V, int nth) {
    FN(softmax_run)((FN(loss_job)){.out = y, .x = x, .N = N, .V = V,
                                   .forward = GL_K(log_softmax_rows)}, nth);
}

void FN(gl_log_softmax_backward)(REAL *dx, const REAL *dy, const REAL *y, ptrdiff_t N, ptrdiff_t V,
                                 int nth) {
    FN(softmax_run)((FN(loss_job)){.out = dx, .dy = dy, .x = y, .N = N, .V = V,
                                   .backward = GL_K(log_softmax_rows_backward)}, nth);
}

static void FN(cross_entropy_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(loss_job) *j = arg;
    const ptrdiff_t i = task*j->rows, n = GL_MIN(j->rows, j->N - i), at = i*j->V;
    GL_K(cross_entropy_rows)(j->loss + i, j->out ? j->out + at : NULL, j->x + at, j->targets + i,
                             j->dloss ? j->dloss + i : NULL, j->ignore_index, n, j->V);
}

gl_result FN(gl_cross_entropy)(REAL *loss, REAL *dlogits, const REAL *logits,
                               const int64_t *targets, const REAL *dloss, int64_t ignore_index,
                               ptrdiff_t N, ptrdiff_t V, int nth) {
    const gl_result checked = check_targets(targets, ignore_index, N, V);
    if (checked.status != GL_OK) return checked;
    FN(loss_job) job = {.loss = loss, .out = dlogits, .x = logits, .targets = targets,
                        .dloss = dloss, .ignore_index = ignore_index, .N = N, .V = V,
                        .rows = gl_task_rows(CHUNK, V)};
    gl_pool_run(FN(cross_entropy_task), &job, GL_CEIL_DIV(N, job.rows), nth);
    return gl_ok();
}
