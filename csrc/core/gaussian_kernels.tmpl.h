// out_b = factor sum_k ((x_bk - y_bk) / std)^2 + offset
static void FN(gaussian_rows)(REAL *out, const REAL *x, const REAL *y, REAL std, REAL factor,
                              REAL offset, ptrdiff_t N, ptrdiff_t K) {
    REAL point[POINTS];
    for (ptrdiff_t b = 0; b < N && K == 0; b++) out[b] = 0;
    for (ptrdiff_t at = 0, n; at < N * K; at += n) {
        n = FN(points_step)(at, N * K, K);
        for (ptrdiff_t i = 0; i < n; i++) {
            const REAL z = (x[at + i] - y[at + i]) / std;
            point[i] = z * z;
        }
        FN(points_sum)(out, point, at, n, K);
    }
    for (ptrdiff_t b = 0; b < N; b++) out[b] = factor * out[b] + offset;
}

static gl_result FN(gaussian_sample_rows)(REAL *restrict actions, const REAL *mean,
                                          const REAL *normals, REAL std, ptrdiff_t N,
                                          ptrdiff_t K) {
    unsigned bad = 0;
    for (ptrdiff_t i = 0; i < N * K; i++) {
        actions[i] = mean[i] + std * normals[i];
        bad |= !(actions[i] - actions[i] == 0);
    }
    for (ptrdiff_t i = 0; bad; i++) {
        if (!(mean[i] - mean[i] == 0)) return (gl_result){GL_ENONFINITE, i / K};
        if (!(actions[i] - actions[i] == 0)) return (gl_result){GL_EVALUE, i / K};
    }
    return gl_ok();
}

// forward: logp = -sum_k ((actions - mean) / std)^2 / 2 + a constant
static void FN(gaussian_rows_backward)(REAL *dmean, const REAL *dlogp, const REAL *mean,
                                       const REAL *actions, REAL std, ptrdiff_t N, ptrdiff_t K) {
    for (ptrdiff_t b = 0; b < N; b++)
        for (ptrdiff_t i = b*K; i < (b + 1)*K; i++)
            dmean[i] = dlogp[b] * ((actions[i] - mean[i]) / std) / std;
}
