typedef struct {
    uint8_t *drawn;
    REAL *logp, *entropy, *kl, *dp, *dq;
    const REAL *logits, *logits_q, *uniforms, *dlogp, *dentropy, *dkl;
    const uint8_t *actions;
    REAL bound;
    ptrdiff_t B, K, rows;
    gl_refused refused;
} FN(bernoulli_job);

// NULL stays NULL.
#define FROM(p, offset) ((p) ? (p) + (offset) : NULL)

static void FN(sample_task)(void *arg, ptrdiff_t task, int worker) {
    GL_TASK_ROWS(FN(bernoulli_job));
    gl_refuse(&j->refused, i, GL_K(bernoulli_sample_rows)(j->drawn + at, FROM(j->logp, i),
                                                          j->logits + at, j->uniforms + at,
                                                          j->bound, n, j->K));
}

gl_result FN(gl_bernoulli_sample)(uint8_t *actions, REAL *logp, const REAL *logits,
                                  const REAL *uniforms, REAL bound, ptrdiff_t B, ptrdiff_t K,
                                  int nth) {
    FN(bernoulli_job) job = {.drawn = actions, .logp = logp, .logits = logits, .uniforms = uniforms,
                             .bound = bound, .B = B, .K = K, .rows = gl_task_rows(ELEMENTS, K),
                             .refused = GL_NONE_REFUSED};
    gl_pool_run(FN(sample_task), &job, GL_CEIL_DIV(B, job.rows), nth);
    return gl_refused_result(&job.refused);
}

static void FN(forward_task)(void *arg, ptrdiff_t task, int worker) {
    GL_TASK_ROWS(FN(bernoulli_job));
    gl_refuse(&j->refused, i, GL_K(bernoulli_rows)(FROM(j->logp, i), FROM(j->entropy, i),
                                                   j->logits + at, FROM(j->actions, at), j->bound,
                                                   n, j->K));
}

gl_result FN(gl_bernoulli_forward)(REAL *logp, REAL *entropy, const REAL *logits,
                                   const uint8_t *actions, REAL bound, ptrdiff_t B, ptrdiff_t K,
                                   int nth) {
    FN(bernoulli_job) job = {.logp = logp, .entropy = entropy, .logits = logits, .actions = actions,
                             .bound = bound, .B = B, .K = K, .rows = gl_task_rows(ELEMENTS, K),
                             .refused = GL_NONE_REFUSED};
    gl_pool_run(FN(forward_task), &job, GL_CEIL_DIV(B, job.rows), nth);
    return gl_refused_result(&job.refused);
}

static void FN(backward_task)(void *arg, ptrdiff_t task, int worker) {
    GL_TASK_ROWS(FN(bernoulli_job));
    gl_refuse(&j->refused, i, GL_K(bernoulli_rows_backward)(j->dp + at, FROM(j->dlogp, i),
                                                            FROM(j->dentropy, i), j->logits + at,
                                                            FROM(j->actions, at), j->bound, n,
                                                            j->K));
}

gl_result FN(gl_bernoulli_backward)(REAL *dlogits, const REAL *dlogp, const REAL *dentropy,
                                    const REAL *logits, const uint8_t *actions, REAL bound,
                                    ptrdiff_t B, ptrdiff_t K, int nth) {
    FN(bernoulli_job) job = {.dp = dlogits, .dlogp = dlogp, .dentropy = dentropy, .logits = logits,
                             .actions = actions, .bound = bound, .B = B, .K = K,
                             .rows = gl_task_rows(ELEMENTS, K), .refused = GL_NONE_REFUSED};
    gl_pool_run(FN(backward_task), &job, GL_CEIL_DIV(B, job.rows), nth);
    return gl_refused_result(&job.refused);
}

static void FN(kl_task)(void *arg, ptrdiff_t task, int worker) {
    GL_TASK_ROWS(FN(bernoulli_job));
    GL_K(bernoulli_kl_rows)(FROM(j->kl, i), FROM(j->dp, at), FROM(j->dq, at), FROM(j->dkl, i),
                            j->logits + at, j->logits_q + at, j->bound, n, j->K);
}

void FN(gl_bernoulli_kl)(REAL *kl, const REAL *logits_p, const REAL *logits_q, REAL bound,
                         ptrdiff_t B, ptrdiff_t K, int nth) {
    FN(bernoulli_job) job = {.kl = kl, .logits = logits_p, .logits_q = logits_q, .bound = bound,
                             .B = B, .K = K, .rows = gl_task_rows(ELEMENTS, K)};
    gl_pool_run(FN(kl_task), &job, GL_CEIL_DIV(B, job.rows), nth);
}

void FN(gl_bernoulli_kl_backward)(REAL *dlogits_p, REAL *dlogits_q, const REAL *dkl,
                                  const REAL *logits_p, const REAL *logits_q, REAL bound,
                                  ptrdiff_t B, ptrdiff_t K, int nth) {
    FN(bernoulli_job) job = {.dp = dlogits_p, .dq = dlogits_q, .dkl = dkl, .logits = logits_p,
                             .logits_q = logits_q, .bound = bound, .B = B, .K = K,
                             .rows = gl_task_rows(ELEMENTS, K)};
    gl_pool_run(FN(kl_task), &job, GL_CEIL_DIV(B, job.rows), nth);
}

#undef FROM
