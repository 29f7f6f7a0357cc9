// Scratch of one worker.
typedef struct {
    REAL *rest;            // (K,) the row, -inf where ranked
    uint8_t *ranked;       // (K,)
    double *score;         // (K,) of sampling
    choices_left *before;  // (R,) what was left before each place
} FN(ranking_scratch);

typedef struct FN(ranking_job) {
    gl_status (*row)(const struct FN(ranking_job) *j, FN(ranking_scratch) s, ptrdiff_t i);
    int64_t *drawn;
    REAL *logp, *dlogits;
    const REAL *logits, *uniforms, *dlogp;
    const int64_t *rankings;
    ptrdiff_t B, K, R, rows, scratch;
    char *work;
    gl_refused refused;
} FN(ranking_job);

static ptrdiff_t FN(scratch_size)(ptrdiff_t K, ptrdiff_t R) {
    ptrdiff_t n = gl_carve_size(K, sizeof(REAL));
    n = gl_size_add(n, gl_carve_size(K, 1));
    n = gl_size_add(n, gl_carve_size(K, sizeof(double)));
    return gl_size_add(n, gl_carve_size(R, sizeof(choices_left)));
}

ptrdiff_t FN(gl_plackett_luce_workspace)(ptrdiff_t K, ptrdiff_t R, int nth) {
    return gl_size_mul(nth, FN(scratch_size)(K, R));
}

static void FN(ranking_task)(void *arg, ptrdiff_t task, int worker) {
    FN(ranking_job) *j = arg;
    char *cursor = j->work + worker * j->scratch;
    FN(ranking_scratch) s;
    s.rest = gl_carve(&cursor, j->K, sizeof(REAL));
    s.ranked = gl_carve(&cursor, j->K, 1);
    s.score = gl_carve(&cursor, j->K, sizeof(double));
    s.before = gl_carve(&cursor, j->R, sizeof(choices_left));
    const ptrdiff_t end = GL_MIN((task + 1)*j->rows, j->B);
    for (ptrdiff_t i = task*j->rows; i < end; i++)
        gl_refuse(&j->refused, i, (gl_result){j->row(j, s, i), 0});
}

static gl_result FN(run)(FN(ranking_job) *job, int nth) {
    job->rows = gl_task_rows(ELEMENTS, job->K);
    job->scratch = FN(scratch_size)(job->K, job->R);
    gl_pool_run(FN(ranking_task), job, GL_CEIL_DIV(job->B, job->rows), nth);
    return gl_refused_result(&job->refused);
}

// Fill s.rest, unless the ranking is none.
static gl_status FN(take_out)(FN(ranking_scratch) s, const REAL *x, const int64_t *ranking,
                              ptrdiff_t K, ptrdiff_t R) {
    memcpy(s.rest, x, (size_t)K * sizeof(REAL));
    memset(s.ranked, 0, (size_t)K);
    for (ptrdiff_t r = 0; r < R; r++) {
        const int64_t k = ranking[r];
        if (!(k >= 0 && k < K)) return GL_EINDEX;
        if (s.ranked[k]) return GL_EVALUE;
        s.ranked[k] = 1;
        s.rest[k] = -(REAL)INFINITY;
    }
    return GL_OK;
}

// The log-probability, after take_out; fills s.before. From the last place to the first what is
// left only grows, so nothing cancels.
static double FN(ranking_logp)(FN(ranking_scratch) s, const REAL *x, const int64_t *ranking,
                               ptrdiff_t K, ptrdiff_t R) {
    REAL max;
    const double sum = GL_K(exp_sum)(&max, s.rest, K);
    choices_left left = {(double)max, sum};
    double logp = 0;
    for (ptrdiff_t r = R - 1; r >= 0; r--) {
        const double x_r = (double)x[ranking[r]];
        left = s.before[r] = put_back(left, x_r);
        logp += x_r > -(double)INFINITY ? x_r - left.max - log(left.sum) : x_r;
    }
    return left.sum > 0 ? logp : (double)NAN;
}

static gl_status FN(sample_row)(const FN(ranking_job) *j, FN(ranking_scratch) s, ptrdiff_t i) {
    const ptrdiff_t K = j->K, R = j->R;
    const REAL *x = j->logits + i*K, *u = j->uniforms + i*K;
    int64_t *ranking = j->drawn + i*R;
    for (ptrdiff_t k = 0; k < K; k++)
        if (!(u[k] >= 0 && u[k] < 1)) return GL_EVALUE;
    GL_K(gumbel_scores)(s.score, x, u, K);
    rank_highest(ranking, s.score, K, R);
    FN(take_out)(s, x, ranking, K, R);
    const double logp = FN(ranking_logp)(s, x, ranking, K, R);

    // -inf: a masked choice had to fill a place
    if (!(logp > -(double)INFINITY)) return GL_ENONFINITE;
    j->logp[i] = (REAL)logp;
    return GL_OK;
}

static gl_status FN(forward_row)(const FN(ranking_job) *j, FN(ranking_scratch) s, ptrdiff_t i) {
    const REAL *x = j->logits + i*j->K;
    const int64_t *ranking = j->rankings + i*j->R;
    const gl_status status = FN(take_out)(s, x, ranking, j->K, j->R);
    if (status == GL_OK) j->logp[i] = (REAL)FN(ranking_logp)(s, x, ranking, j->K, j->R);
    return status;
}

static gl_status FN(backward_row)(const FN(ranking_job) *j, FN(ranking_scratch) s, ptrdiff_t i) {
    const ptrdiff_t K = j->K, R = j->R;
    const REAL *x = j->logits + i*K;
    REAL *d = j->dlogits + i*K;
    const int64_t *ranking = j->rankings + i*R;
    const gl_status status = FN(take_out)(s, x, ranking, K, R);
    if (status != GL_OK) return status;
    if (isnan(FN(ranking_logp)(s, x, ranking, K, R))) {
        for (ptrdiff_t k = 0; k < K; k++) d[k] = (REAL)NAN;
        return GL_OK;
    }

    // forward: logp = sum_r x_r - log(S_r), S_r = exp(max_r) sum_r over what is left at place r
    // so dlogits_k = g ([k is ranked] - sum_q exp(x_k) / S_q), q up to the place r of k, or R,
    // which is exp(x_k - max_r) odds with odds = sum_q exp(max_r - max_q) / sum_q. max_q only
    // falls, so nothing overflows
    const double g = (double)j->dlogp[i];
    double max = s.before[0].max, odds = 0;
    for (ptrdiff_t r = 0; r < R; r++) {
        const choices_left left = s.before[r];
        if (left.sum > 0) {  // else only masked choices follow
            odds = odds * exp(left.max - max) + 1 / left.sum;
            max = left.max;
        }
        // kept until d, which may be x, is filled
        s.before[r].sum = g * (1 - exp((double)x[ranking[r]] - max) * odds);
    }
    GL_K(exp_scaled)(d, s.rest, (REAL)max, (REAL)(-g * odds), K);
    for (ptrdiff_t r = 0; r < R; r++) d[ranking[r]] = (REAL)s.before[r].sum;
    return GL_OK;
}

gl_result FN(gl_plackett_luce_sample)(int64_t *rankings, REAL *logp, const REAL *logits,
                                      const REAL *uniforms, void *work, ptrdiff_t B, ptrdiff_t K,
                                      ptrdiff_t R, int nth) {
    return FN(run)(&(FN(ranking_job)){.row = FN(sample_row), .drawn = rankings, .logp = logp,
                                      .logits = logits, .uniforms = uniforms, .work = work, .B = B,
                                      .K = K, .R = R, .refused = GL_NONE_REFUSED}, nth);
}

gl_result FN(gl_plackett_luce_forward)(REAL *logp, const REAL *logits, const int64_t *rankings,
                                       void *work, ptrdiff_t B, ptrdiff_t K, ptrdiff_t R,
                                       int nth) {
    return FN(run)(&(FN(ranking_job)){.row = FN(forward_row), .logp = logp, .logits = logits,
                                      .rankings = rankings, .work = work, .B = B, .K = K, .R = R,
                                      .refused = GL_NONE_REFUSED}, nth);
}

gl_result FN(gl_plackett_luce_backward)(REAL *dlogits, const REAL *dlogp, const REAL *logits,
                                        const int64_t *rankings, void *work, ptrdiff_t B,
                                        ptrdiff_t K, ptrdiff_t R, int nth) {
    return FN(run)(&(FN(ranking_job)){.row = FN(backward_row), .dlogits = dlogits, .dlogp = dlogp,
                                      .logits = logits, .rankings = rankings, .work = work, .B = B,
                                      .K = K, .R = R, .refused = GL_NONE_REFUSED}, nth);
}
