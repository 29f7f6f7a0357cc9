typedef struct {
    REAL *dlogp, *dvalue, *dentropy;
    const REAL *logp, *logp_old, *advantage, *value, *value_old, *returns, *entropy;
    gl_ppo_opts opts;
    ptrdiff_t B, rows;
    double sums[TASKS][GL_PPO_STATS];
} FN(ppo_job);

#define FROM(p, offset) ((p) ? (p) + (offset) : NULL)

static void FN(ppo_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    FN(ppo_job) *j = arg;
    const ptrdiff_t i = task * j->rows, n = GL_MIN(j->rows, j->B - i);
    double *sums = j->sums[task];
    for (int k = 0; k < GL_PPO_STATS; k++) sums[k] = 0;
    GL_K(ppo_rows)(sums, j->dlogp + i, j->logp + i, j->logp_old + i, j->advantage + i,
                   (REAL)j->opts.clip, 1 / (REAL)j->B, n);
    if (j->value)
        GL_K(ppo_value_rows)(&sums[GL_PPO_VALUE], j->dvalue + i, j->value + i,
                             FROM(j->value_old, i), j->returns + i, (REAL)j->opts.value_clip,
                             (REAL)(j->opts.value_coefficient / (double)j->B), n);
    for (ptrdiff_t k = i; k < i + n; k++) {
        sums[GL_PPO_ENTROPY] += (double)j->entropy[k];
        j->dentropy[k] = (REAL)(-j->opts.entropy_coefficient / (double)j->B);
    }
}

void FN(gl_ppo)(REAL *stats, REAL *dlogp, REAL *dvalue, REAL *dentropy, const REAL *logp,
                const REAL *logp_old, const REAL *advantage, const REAL *value,
                const REAL *value_old, const REAL *returns, const REAL *entropy, gl_ppo_opts opts,
                ptrdiff_t B, int nth) {
    FN(ppo_job) job = {.dlogp = dlogp, .dvalue = dvalue, .dentropy = dentropy, .logp = logp,
                       .logp_old = logp_old, .advantage = advantage, .value = value,
                       .value_old = value_old, .returns = returns, .entropy = entropy,
                       .opts = opts, .B = B, .rows = task_rows(B)};
    const ptrdiff_t ntasks = GL_CEIL_DIV(B, job.rows);
    gl_pool_run(FN(ppo_task), &job, ntasks, nth);

    double mean[GL_PPO_STATS] = {0};
    for (ptrdiff_t t = 0; t < ntasks; t++)
        for (int k = 0; k < GL_PPO_STATS; k++) mean[k] += job.sums[t][k];
    for (int k = 0; k < GL_PPO_STATS; k++) mean[k] /= (double)B;
    mean[GL_PPO_VALUE] /= 2;
    mean[GL_PPO_LOSS] = mean[GL_PPO_POLICY] + opts.value_coefficient * mean[GL_PPO_VALUE] -
                        opts.entropy_coefficient * mean[GL_PPO_ENTROPY];
    for (int k = 0; k < GL_PPO_STATS; k++) stats[k] = (REAL)mean[k];
}

#undef FROM
