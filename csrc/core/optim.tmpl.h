typedef struct {
    REAL *param, *m, *v;
    const REAL *grad, *decay;
    double *work;
    FN(gl_adamw_coef) coef;
    ptrdiff_t P;
} FN(optim_job);

static void FN(adamw_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(optim_job) *j = arg;
    const ptrdiff_t i = task*CHUNK, n = GL_MIN(CHUNK, j->P - i);
    GL_K(adamw)(j->param + i, j->m + i, j->v + i, j->grad + i, j->decay ? j->decay + i : NULL,
                &j->coef, n);
}

void FN(gl_adamw_step)(REAL *param, REAL *m, REAL *v, const REAL *grad, const REAL *decay,
                       const gl_adamw_opts *opts, ptrdiff_t P, int nth) {
    // both corrections in double: at step 1 they are differences of numbers close to 1
    const double correct1 = 1 - pow(opts->beta1, (double)opts->step);
    const double correct2 = 1 - pow(opts->beta2, (double)opts->step);
    FN(optim_job) job = {
        .param = param, .m = m, .v = v, .grad = grad, .decay = decay, .P = P,
        .coef = {
            .beta1 = (REAL)opts->beta1, .beta2 = (REAL)opts->beta2,
            .rest1 = (REAL)(1 - opts->beta1), .rest2 = (REAL)(1 - opts->beta2),
            .rate = (REAL)(opts->lr / correct1), .root_scale = (REAL)(1 / sqrt(correct2)),
            .eps = (REAL)opts->eps, .shrink = (REAL)(opts->lr * opts->weight_decay),
            .grad_scale = (REAL)opts->grad_scale,
        },
    };
    gl_pool_run(FN(adamw_task), &job, GL_CEIL_DIV(P, CHUNK), nth);
}

static void FN(norm_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(optim_job) *j = arg;
    const ptrdiff_t i = task*CHUNK;
    j->work[task] = GL_K(sum_squares)(j->grad + i, GL_MIN(CHUNK, j->P - i));
}

double FN(gl_grad_norm)(const REAL *grad, double *work, ptrdiff_t P, int nth) {
    const ptrdiff_t ntasks = GL_CEIL_DIV(P, CHUNK);
    FN(optim_job) job = {.grad = grad, .work = work, .P = P};
    gl_pool_run(FN(norm_task), &job, ntasks, nth);
    double sum = 0;
    for (ptrdiff_t t = 0; t < ntasks; t++) sum += work[t];
    return sqrt(sum);
}
