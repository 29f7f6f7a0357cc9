static void FN(layer_norm_rows)(REAL *out, REAL *mean, REAL *rstd, const REAL *x,
                                const REAL *weight, const REAL *bias, REAL eps, ptrdiff_t N,
                                ptrdiff_t C) {
    for (ptrdiff_t i = 0; i < N; i++) {
        const REAL *x_i = x + i*C;
        REAL *out_i = out + i*C;
        const REAL m = FN(sum_)(x_i, C) / (REAL)C;

        REAL lane[LANES] = {0};
        ptrdiff_t c = 0;
        for (; c + LANES <= C; c += LANES)
            EACH_LANE(k) lane[k] += (x_i[c + k] - m) * (x_i[c + k] - m);
        for (; c < C; c++) lane[c % LANES] += (x_i[c] - m) * (x_i[c] - m);
        const REAL r = 1 / MATH(sqrt)(FN(fold_add)(lane) / (REAL)C + eps);

        GL_IVDEP
        for (c = 0; c < C; c++) out_i[c] = (x_i[c] - m) * r * weight[c] + bias[c];
        mean[i] = m;
        rstd[i] = r;
    }
}

// With `accumulate`, dx is added to; dweight and dbias always are.
static void FN(layer_norm_rows_backward)(REAL *dx, REAL *dweight, REAL *dbias, const REAL *dout,
                                         const REAL *x, const REAL *mean, const REAL *rstd,
                                         const REAL *weight, int accumulate, ptrdiff_t N,
                                         ptrdiff_t C) {
    for (ptrdiff_t i = 0; i < N; i++) {
        const REAL *x_i = x + i*C;
        const REAL *dout_i = dout + i*C;
        REAL *dx_i = dx + i*C;
        const REAL m = mean[i], r = rstd[i];

        // forward: out = n * weight + bias, n = (x - m) * r
        // so dn = dout * weight and dx = r * (dn - mean(dn) - n * mean(dn * n))
        REAL a[LANES] = {0}, b[LANES] = {0};
        ptrdiff_t c = 0;
        for (; c + LANES <= C; c += LANES)
            EACH_LANE(k) {
                const REAL dn = dout_i[c + k] * weight[c + k];
                a[k] += dn;
                b[k] += dn * ((x_i[c + k] - m) * r);
            }
        for (; c < C; c++) {
            const REAL dn = dout_i[c] * weight[c];
            a[c % LANES] += dn;
            b[c % LANES] += dn * ((x_i[c] - m) * r);
        }
        const REAL mean_dn = FN(fold_add)(a) / (REAL)C;
        const REAL mean_dn_n = FN(fold_add)(b) / (REAL)C;

        GL_IVDEP
        for (c = 0; c < C; c++) {
            const REAL n = (x_i[c] - m) * r, g = dout_i[c];
            const REAL d = r * (g * weight[c] - mean_dn - n * mean_dn_n);
            dweight[c] += g * n;
            dbias[c] += g;
            dx_i[c] = accumulate ? dx_i[c] + d : d;
        }
    }
}
