typedef struct {
    REAL *advantages, *returns;
    const REAL *rewards, *values, *last, *final;
    const uint8_t *terminated, *truncated;
    REAL gamma, lambda;
    ptrdiff_t T, N;
} FN(advantage_job);

#define FROM(p, offset) ((p) ? (p) + (offset) : NULL)

static void FN(gae_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(advantage_job) *j = arg;
    const ptrdiff_t i = task*COLUMNS, n = GL_MIN(COLUMNS, j->N - i);
    GL_K(gae_columns)(j->advantages + i, FROM(j->returns, i), j->rewards + i, j->values + i,
                      j->last + i, FROM(j->final, i), FROM(j->terminated, i), FROM(j->truncated, i),
                      j->gamma, j->lambda, j->T, j->N, n);
}

void FN(gl_gae)(REAL *advantages, REAL *returns, const REAL *rewards, const REAL *values,
                const REAL *last, const REAL *final, const uint8_t *terminated,
                const uint8_t *truncated, REAL gamma, REAL lambda, ptrdiff_t T, ptrdiff_t N,
                int nth) {
    FN(advantage_job) job = {.advantages = advantages, .returns = returns, .rewards = rewards,
                             .values = values, .last = last, .final = final,
                             .terminated = terminated, .truncated = truncated, .gamma = gamma,
                             .lambda = lambda, .T = T, .N = N};
    gl_pool_run(FN(gae_task), &job, GL_CEIL_DIV(N, COLUMNS), nth);
}

static void FN(leave_one_out_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(advantage_job) *j = arg;
    const ptrdiff_t i = task*COLUMNS, n = GL_MIN(COLUMNS, j->N - i);
    REAL scratch[2*COLUMNS];
    GL_K(leave_one_out_columns)(j->advantages + i, j->rewards + i, scratch, j->T, j->N, n);
}

void FN(gl_leave_one_out)(REAL *advantages, const REAL *rewards, ptrdiff_t S, ptrdiff_t B,
                          int nth) {
    FN(advantage_job) job = {.advantages = advantages, .rewards = rewards, .T = S, .N = B};
    gl_pool_run(FN(leave_one_out_task), &job, GL_CEIL_DIV(B, COLUMNS), nth);
}

#undef FROM
