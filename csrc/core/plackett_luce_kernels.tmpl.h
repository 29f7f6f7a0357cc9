// score_k = (x_k - max(x)) - log(-log(u_k)), or -inf where x_k is. Scores are double, so that noise
// is not rounded away where the logits of close rivals lie far below the largest.
static void FN(gumbel_scores)(double *restrict score, const REAL *restrict x,
                              const REAL *restrict u, ptrdiff_t K) {
    const double max = (double)FN(row_max)(x, K);
    const REAL smallest =
        sizeof(REAL) == 4 ? (REAL)1.17549435e-38 : (REAL)2.2250738585072014e-308;
    for (ptrdiff_t k = 0; k < K; k++) {
        const double y = (double)x[k] - max;
        const REAL noise = FN(log_)(-FN(log_)(u[k] < smallest ? smallest : u[k]));

        // a difference that overflows still lies above a masked choice
        const double allowed = (y < -1e308 ? -1e308 : y) - (double)noise;
        score[k] = x[k] > -(REAL)INFINITY ? allowed : -(double)INFINITY;
    }
}

// sum_k exp(x_k - max), max = max(x). Where all are masked it is 0, and max -inf.
static double FN(exp_sum)(REAL *max, const REAL *x, ptrdiff_t K) {
    *max = FN(row_max)(x, K);
    return (double)FN(row_exp)(0, NULL, x, *max > -(REAL)INFINITY ? *max : 0, K);
}

// y_k = scale exp(x_k - max).
static void FN(exp_scaled)(REAL *restrict y, const REAL *restrict x, REAL max, REAL scale,
                           ptrdiff_t K) {
    for (ptrdiff_t k = 0; k < K; k++) y[k] = scale * FN(exp_)(x[k] - max);
}
