typedef struct {
    int64_t *drawn;
    REAL *logp, *entropy, *kl, *dp, *dq;
    const REAL *logits, *logits_q, *uniforms, *dlogp, *dentropy, *dkl;
    const int64_t *actions;
    ptrdiff_t B, K, rows;
    gl_refused refused;
} FN(categorical_job);

// NULL stays NULL.
#define FROM(p, offset) ((p) ? (p) + (offset) : NULL)

static void FN(sample_task)(void *arg, ptrdiff_t task, int worker) {
    GL_TASK_ROWS(FN(categorical_job));
    gl_refuse(&j->refused, i, GL_K(categorical_sample_rows)(j->drawn + i, FROM(j->logp, i),
                                                            j->logits + at, j->uniforms + i, n,
                                                            j->K));
}

gl_result FN(gl_categorical_sample)(int64_t *actions, REAL *logp, const REAL *logits,
                                    const REAL *uniforms, ptrdiff_t B, ptrdiff_t K, int nth) {
    FN(categorical_job) job = {.drawn = actions, .logp = logp, .logits = logits,
                               .uniforms = uniforms, .B = B, .K = K, .rows = gl_task_rows(ELEMENTS, K),
                               .refused = GL_NONE_REFUSED};
    gl_pool_run(FN(sample_task), &job, GL_CEIL_DIV(B, job.rows), nth);
    return gl_refused_result(&job.refused);
}

static void FN(forward_task)(void *arg, ptrdiff_t task, int worker) {
    GL_TASK_ROWS(FN(categorical_job));
    gl_refuse(&j->refused, i, GL_K(categorical_rows)(FROM(j->logp, i), FROM(j->entropy, i),
                                                     j->logits + at, FROM(j->actions, i), n,
                                                     j->K));
}

gl_result FN(gl_categorical_forward)(REAL *logp, REAL *entropy, const REAL *logits,
                                     const int64_t *actions, ptrdiff_t B, ptrdiff_t K, int nth) {
    FN(categorical_job) job = {.logp = logp, .entropy = entropy, .logits = logits,
                               .actions = actions, .B = B, .K = K, .rows = gl_task_rows(ELEMENTS, K),
                               .refused = GL_NONE_REFUSED};
    gl_pool_run(FN(forward_task), &job, GL_CEIL_DIV(B, job.rows), nth);
    return gl_refused_result(&job.refused);
}

static void FN(backward_task)(void *arg, ptrdiff_t task, int worker) {
    GL_TASK_ROWS(FN(categorical_job));
    gl_refuse(&j->refused, i, GL_K(categorical_rows_backward)(j->dp + at, FROM(j->dlogp, i),
                                                              FROM(j->dentropy, i), j->logits + at,
                                                              FROM(j->actions, i), n, j->K));
}

gl_result FN(gl_categorical_backward)(REAL *dlogits, const REAL *dlogp, const REAL *dentropy,
                                      const REAL *logits, const int64_t *actions, ptrdiff_t B,
                                      ptrdiff_t K, int nth) {
    FN(categorical_job) job = {.dp = dlogits, .dlogp = dlogp, .dentropy = dentropy,
                               .logits = logits, .actions = actions, .B = B, .K = K,
                               .rows = gl_task_rows(ELEMENTS, K), .refused = GL_NONE_REFUSED};
    gl_pool_run(FN(backward_task), &job, GL_CEIL_DIV(B, job.rows), nth);
    return gl_refused_result(&job.refused);
}

static void FN(kl_task)(void *arg, ptrdiff_t task, int worker) {
    GL_TASK_ROWS(FN(categorical_job));
    GL_K(categorical_kl_rows)(FROM(j->kl, i), FROM(j->dp, at), FROM(j->dq, at), FROM(j->dkl, i),
                              j->logits + at, j->logits_q + at, n, j->K);
}

void FN(gl_categorical_kl)(REAL *kl, const REAL *logits_p, const REAL *logits_q, ptrdiff_t B,
                           ptrdiff_t K, int nth) {
    FN(categorical_job) job = {.kl = kl, .logits = logits_p, .logits_q = logits_q, .B = B, .K = K,
                               .rows = gl_task_rows(ELEMENTS, K)};
    gl_pool_run(FN(kl_task), &job, GL_CEIL_DIV(B, job.rows), nth);
}

void FN(gl_categorical_kl_backward)(REAL *dlogits_p, REAL *dlogits_q, const REAL *dkl,
                                    const REAL *logits_p, const REAL *logits_q, ptrdiff_t B,
                                    ptrdiff_t K, int nth) {
    FN(categorical_job) job = {.dp = dlogits_p, .dq = dlogits_q, .dkl = dkl, .logits = logits_p,
                               .logits_q = logits_q, .B = B, .K = K, .rows = gl_task_rows(ELEMENTS, K)};
    gl_pool_run(FN(kl_task), &job, GL_CEIL_DIV(B, job.rows), nth);
}

#undef FROM
