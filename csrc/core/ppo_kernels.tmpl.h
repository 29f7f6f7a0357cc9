// Terms are computed PPO_ROWS at a time and summed over lanes.
#ifndef PPO_ROWS
#define PPO_ROWS 256
#endif

// exp(x) - 1 - x; by its series where that would cancel.
static inline REAL FN(exp_rest)(REAL x, REAL e) {
    REAL s = (REAL)(1.0 / 6227020800.0);
    s = s * x + (REAL)(1.0 / 479001600.0);
    s = s * x + (REAL)(1.0 / 39916800.0);
    s = s * x + (REAL)(1.0 / 3628800.0);
    s = s * x + (REAL)(1.0 / 362880.0);
    s = s * x + (REAL)(1.0 / 40320.0);
    s = s * x + (REAL)(1.0 / 5040.0);
    s = s * x + (REAL)(1.0 / 720.0);
    s = s * x + (REAL)(1.0 / 120.0);
    s = s * x + (REAL)(1.0 / 24.0);
    s = s * x + (REAL)(1.0 / 6.0);
    s = s * x + (REAL)0.5;
    return x > (REAL)-0.25 && x < (REAL)0.25 ? x * x * s : e - 1 - x;
}

// Adds to the sums of the policy loss, the divergence and the clipped rows.
static void FN(ppo_rows)(double *sums, REAL *dlogp, const REAL *logp, const REAL *logp_old,
                         const REAL *advantage, REAL clip, REAL scale, ptrdiff_t N) {
    REAL loss[PPO_ROWS], kl[PPO_ROWS], clipped[PPO_ROWS];
    for (ptrdiff_t at = 0; at < N; at += PPO_ROWS) {
        const ptrdiff_t n = GL_MIN(PPO_ROWS, N - at);
        for (ptrdiff_t i = 0; i < n; i++) {
            const REAL x = logp[at + i] - logp_old[at + i], a = advantage[at + i];
            const REAL r = FN(exp_)(x);
            const REAL near = r < 1 - clip ? 1 - clip : r > 1 + clip ? 1 + clip : r;
            const REAL free = r * a, held = near * a;

            // the smaller is taken: where that is the clamped one, the gradient is 0
            loss[i] = held < free ? -held : -free;
            dlogp[at + i] = held < free ? 0 : -free * scale;
            kl[i] = FN(exp_rest)(x, r);
            clipped[i] = r < 1 - clip || r > 1 + clip ? 1 : 0;
        }
        sums[GL_PPO_POLICY] += (double)FN(sum_)(loss, n);
        sums[GL_PPO_KL] += (double)FN(sum_)(kl, n);
        sums[GL_PPO_CLIPPED] += (double)FN(sum_)(clipped, n);
    }
}

// Adds to the sum of squared errors; value_old may be NULL.
static void FN(ppo_value_rows)(double *sum, REAL *dvalue, const REAL *value, const REAL *value_old,
                               const REAL *returns, REAL clip, REAL scale, ptrdiff_t N) {
    REAL loss[PPO_ROWS];
    for (ptrdiff_t at = 0; at < N; at += PPO_ROWS) {
        const ptrdiff_t n = GL_MIN(PPO_ROWS, N - at);
        for (ptrdiff_t i = 0; i < n; i++) {
            const REAL v = value[at + i], old = value_old ? value_old[at + i] : v, move = v - old;
            const REAL inside = move == move ? v : move;
            const REAL near = move < -clip ? old - clip : move > clip ? old + clip : inside;
            const REAL free = v - returns[at + i], held = near - returns[at + i];

            // the larger is taken: where that is the clamped one, the gradient is 0
            const int clamped = !(held * held <= free * free);
            loss[i] = clamped ? held * held : free * free;
            dvalue[at + i] = !clamped ? free * scale : held == held ? 0 : held;
        }
        *sum += (double)FN(sum_)(loss, n);
    }
}
