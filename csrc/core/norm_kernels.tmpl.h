// A few rows at a time, one step for all of them before the next, so that the long chain of each row
// (a sum, a sum, a root) runs beside those of the others.
#define NORM_ROWS 8

static inline REAL FN(sum_of_squares)(const REAL *x, REAL mean, ptrdiff_t C) {
    REAL lane[LANES] = {0};
    ptrdiff_t c = 0;
    for (; c + LANES <= C; c += LANES)
        EACH_LANE(k) lane[k] += (x[c + k] - mean) * (x[c + k] - mean);
    for (; c < C; c++) lane[c % LANES] += (x[c] - mean) * (x[c] - mean);
    return FN(fold_add)(lane);
}

static void FN(layer_norm_rows)(REAL *out, REAL *mean, REAL *rstd, const REAL *x,
                                const REAL *weight, const REAL *bias, REAL eps, ptrdiff_t N,
                                ptrdiff_t C) {
    for (ptrdiff_t i0 = 0; i0 < N; i0 += NORM_ROWS) {
        const ptrdiff_t i1 = GL_MIN(i0 + NORM_ROWS, N);
        for (ptrdiff_t i = i0; i < i1; i++) mean[i] = FN(sum_)(x + i*C, C) / (REAL)C;
        for (ptrdiff_t i = i0; i < i1; i++)
            rstd[i] = 1 / MATH(sqrt)(FN(sum_of_squares)(x + i*C, mean[i], C) / (REAL)C + eps);
        for (ptrdiff_t i = i0; i < i1; i++) {
            const REAL *x_i = x + i*C, m = mean[i], r = rstd[i];
            REAL *out_i = out + i*C;
            GL_IVDEP
            for (ptrdiff_t c = 0; c < C; c++) out_i[c] = (x_i[c] - m) * r * weight[c] + bias[c];
        }
    }
}

// The sums over a row of dn = dout * weight and of dn * n, n = (x - mean) * rstd.
static inline void FN(norm_sums)(REAL *sum_dn, REAL *sum_dn_n, const REAL *dout, const REAL *x,
                                 const REAL *weight, REAL mean, REAL rstd, ptrdiff_t C) {
    REAL a[LANES] = {0}, b[LANES] = {0};
    ptrdiff_t c = 0;
    for (; c + LANES <= C; c += LANES)
        EACH_LANE(k) {
            const REAL dn = dout[c + k] * weight[c + k];
            a[k] += dn;
            b[k] += dn * ((x[c + k] - mean) * rstd);
        }
    for (; c < C; c++) {
        const REAL dn = dout[c] * weight[c];
        a[c % LANES] += dn;
        b[c % LANES] += dn * ((x[c] - mean) * rstd);
    }
    *sum_dn = FN(fold_add)(a);
    *sum_dn_n = FN(fold_add)(b);
}

// dx is overwritten, by residual + it where residual is not NULL, which may be dx; dweight and dbias
// are added to.
static void FN(layer_norm_rows_backward)(REAL *dx, REAL *dweight, REAL *dbias, const REAL *dout,
                                         const REAL *x, const REAL *mean, const REAL *rstd,
                                         const REAL *weight, const REAL *residual, ptrdiff_t N,
                                         ptrdiff_t C) {
    for (ptrdiff_t i0 = 0; i0 < N; i0 += NORM_ROWS) {
        const ptrdiff_t rows = GL_MIN(NORM_ROWS, N - i0);
        REAL sum_dn[NORM_ROWS], sum_dn_n[NORM_ROWS];
        for (ptrdiff_t r = 0; r < rows; r++) {
            const ptrdiff_t i = i0 + r;
            FN(norm_sums)(sum_dn + r, sum_dn_n + r, dout + i*C, x + i*C, weight, mean[i], rstd[i], C);
        }
        for (ptrdiff_t r = 0; r < rows; r++) {
            const ptrdiff_t at = (i0 + r)*C;
            const REAL *x_i = x + at, *dout_i = dout + at, m = mean[i0 + r], s = rstd[i0 + r];
            const REAL *residual_i = residual ? residual + at : NULL;
            const REAL mean_dn = sum_dn[r] / (REAL)C, mean_dn_n = sum_dn_n[r] / (REAL)C;
            REAL *dx_i = dx + at;
            // forward: out = n * weight + bias, n = (x - mean) * rstd
            // so dx = rstd * (dn - mean(dn) - n * mean(dn * n))
            GL_IVDEP
            for (ptrdiff_t c = 0; c < C; c++) {
                const REAL n = (x_i[c] - m) * s, g = dout_i[c];
                const REAL d = s * (g * weight[c] - mean_dn - n * mean_dn_n);
                dweight[c] += g * n;
                dbias[c] += g;
                dx_i[c] = residual ? residual_i[c] + d : d;
            }
        }
    }
}
