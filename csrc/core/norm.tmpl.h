typedef struct {
    REAL *out, *mean, *rstd, *dweight, *dbias;
    const REAL *in, *x, *weight, *bias, *cmean, *crstd;
    REAL eps;
    ptrdiff_t N, C;
} FN(norm_job);

static void FN(forward_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(norm_job) *j = arg;
    const ptrdiff_t i = task*ROWS, n = GL_MIN(ROWS, j->N - i), at = i * j->C;
    GL_K(layer_norm_rows)(j->out + at, j->mean + i, j->rstd + i, j->x + at, j->weight, j->bias,
                          j->eps, n, j->C);
}

void FN(gl_layer_norm_forward)(REAL *out, REAL *mean, REAL *rstd, const REAL *x, const REAL *weight,
                               const REAL *bias, REAL eps, ptrdiff_t N, ptrdiff_t C, int nth) {
    FN(norm_job) job = {.out = out, .mean = mean, .rstd = rstd, .x = x, .weight = weight,
                        .bias = bias, .eps = eps, .N = N, .C = C};
    gl_pool_run(FN(forward_task), &job, GL_CEIL_DIV(N, ROWS), nth);
}

static void FN(backward_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(norm_job) *j = arg;
    const ptrdiff_t i = task*ROWS, n = GL_MIN(ROWS, j->N - i), at = i * j->C;
    REAL *part = j->dweight + 2*task*j->C;
    memset(part, 0, (size_t)(2*j->C) * sizeof(REAL));
    GL_K(layer_norm_rows_backward)(j->out + at, part, part + j->C, j->in + at, j->x + at,
                                   j->cmean + i, j->crstd + i, j->weight, NULL, n, j->C);
}

void FN(gl_layer_norm_backward)(REAL *dx, REAL *dweight, REAL *dbias, const REAL *dout,
                                const REAL *x, const REAL *mean, const REAL *rstd,
                                const REAL *weight, REAL *work, ptrdiff_t N, ptrdiff_t C, int nth) {
    // each task sums its rows into its own part of work; the parts are added in order
    const ptrdiff_t ntasks = GL_CEIL_DIV(N, ROWS);
    FN(norm_job) job = {.out = dx, .dweight = work, .in = dout, .x = x, .cmean = mean,
                        .crstd = rstd, .weight = weight, .N = N, .C = C};
    gl_pool_run(FN(backward_task), &job, ntasks, nth);
    for (ptrdiff_t t = 0; t < ntasks; t++)
        for (ptrdiff_t c = 0; c < C; c++) {
            dweight[c] += work[2*t*C + c];
            dbias[c] += work[(2*t + 1)*C + c];
        }
}
