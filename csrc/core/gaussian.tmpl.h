typedef struct {
    REAL *out, *drawn;
    const REAL *x, *y, *dlogp;
    REAL std, factor, offset;
    ptrdiff_t B, K, rows;
    gl_refused refused;
} FN(gaussian_job);

static void FN(rows_task)(void *arg, ptrdiff_t task, int worker) {
    GL_TASK_ROWS(FN(gaussian_job));
    GL_K(gaussian_rows)(j->out + i, j->x + at, j->y + at, j->std, j->factor, j->offset, n, j->K);
}

void FN(gl_gaussian_log_prob)(REAL *logp, const REAL *mean, const REAL *actions, REAL std,
                              ptrdiff_t B, ptrdiff_t K, int nth) {
    FN(gaussian_job) job = {.out = logp, .x = actions, .y = mean, .std = std,
                            .factor = (REAL)-0.5, .offset = (REAL)log_scale((double)std, K),
                            .B = B, .K = K, .rows = gl_task_rows(ELEMENTS, K)};
    gl_pool_run(FN(rows_task), &job, GL_CEIL_DIV(B, job.rows), nth);
}

void FN(gl_gaussian_kl)(REAL *kl, const REAL *mean_p, const REAL *mean_q, REAL std, ptrdiff_t B,
                        ptrdiff_t K, int nth) {
    FN(gaussian_job) job = {.out = kl, .x = mean_p, .y = mean_q, .std = std, .factor = (REAL)0.5,
                            .B = B, .K = K, .rows = gl_task_rows(ELEMENTS, K)};
    gl_pool_run(FN(rows_task), &job, GL_CEIL_DIV(B, job.rows), nth);
}

static void FN(sample_task)(void *arg, ptrdiff_t task, int worker) {
    GL_TASK_ROWS(FN(gaussian_job));
    gl_refuse(&j->refused, i, GL_K(gaussian_sample_rows)(j->drawn + at, j->x + at, j->y + at,
                                                         j->std, n, j->K));
}

gl_result FN(gl_gaussian_sample)(REAL *actions, REAL *logp, const REAL *mean, const REAL *normals,
                                 REAL std, ptrdiff_t B, ptrdiff_t K, int nth) {
    FN(gaussian_job) job = {.drawn = actions, .x = mean, .y = normals, .std = std, .B = B, .K = K,
                            .rows = gl_task_rows(ELEMENTS, K), .refused = GL_NONE_REFUSED};
    gl_pool_run(FN(sample_task), &job, GL_CEIL_DIV(B, job.rows), nth);
    if (logp) FN(gl_gaussian_log_prob)(logp, mean, actions, std, B, K, nth);
    return gl_refused_result(&job.refused);
}

static void FN(backward_task)(void *arg, ptrdiff_t task, int worker) {
    GL_TASK_ROWS(FN(gaussian_job));
    GL_K(gaussian_rows_backward)(j->out + at, j->dlogp + i, j->y + at, j->x + at, j->std, n, j->K);
}

void FN(gl_gaussian_backward)(REAL *dmean, const REAL *dlogp, const REAL *mean,
                              const REAL *actions, REAL std, ptrdiff_t B, ptrdiff_t K, int nth) {
    FN(gaussian_job) job = {.out = dmean, .dlogp = dlogp, .x = actions, .y = mean, .std = std,
                            .B = B, .K = K, .rows = gl_task_rows(ELEMENTS, K)};
    gl_pool_run(FN(backward_task), &job, GL_CEIL_DIV(B, job.rows), nth);
}
