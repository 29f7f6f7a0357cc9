static void FN(adamw)(REAL *restrict param, REAL *restrict m, REAL *restrict v,
                      const REAL *restrict grad, const REAL *restrict decay,
                      const FN(gl_adamw_coef) *coef, ptrdiff_t n) {
    const FN(gl_adamw_coef) c = *coef;
    if (decay)
        for (ptrdiff_t i = 0; i < n; i++) param[i] -= c.shrink * decay[i] * param[i];
    else if (c.shrink != 0)
        for (ptrdiff_t i = 0; i < n; i++) param[i] -= c.shrink * param[i];
    for (ptrdiff_t i = 0; i < n; i++) {
        const REAL g = c.grad_scale * grad[i];
        m[i] = c.beta1 * m[i] + c.rest1 * g;
        v[i] = c.beta2 * v[i] + c.rest2 * g * g;
        param[i] -= c.rate * m[i] / (MATH(sqrt)(v[i]) * c.root_scale + c.eps);
    }
}

static double FN(sum_squares)(const REAL *x, ptrdiff_t n) {
    double lane[LANES] = {0};
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        EACH_LANE(k) lane[k] += (double)x[i + k] * (double)x[i + k];
    for (; i < n; i++) lane[i % LANES] += (double)x[i] * (double)x[i];
    for (int w = LANES / 2; w > 0; w /= 2)
        for (int k = 0; k < w; k++) lane[k] += lane[k + w];
    return lane[0];
}
