// Rows of softmax, log-softmax and cross-entropy. Outputs may be inputs.

// The sum of exp(x - m); with `store`, the terms go to y, which may be x. Blocks are filled up to
// whole lanes with -inf, so that short rows are vectorised too.
static inline __attribute__((always_inline)) REAL FN(row_exp)(int store, REAL *y, const REAL *x,
                                                              REAL m, ptrdiff_t n) {
    enum { BLOCK = 16 * LANES };
    REAL lane[LANES] = {0}, e[BLOCK];
    for (ptrdiff_t i = 0; i < n; i += BLOCK) {
        const ptrdiff_t count = GL_MIN(BLOCK, n - i), whole = GL_CEIL_DIV(count, LANES) * LANES;
        for (ptrdiff_t k = whole - LANES; k < whole; k++) e[k] = -(REAL)INFINITY;
        for (ptrdiff_t k = 0; k < count; k++) e[k] = x[i + k] - m;
        for (ptrdiff_t at = 0; at < whole; at += LANES)
            EACH_LANE(k) e[at + k] = FN(exp_)(e[at + k]);
        if (store) memcpy(y + i, e, (size_t)count * sizeof(REAL));
        if (n < LANES) {
            REAL sum = 0;
            for (ptrdiff_t k = 0; k < n; k++) sum += e[k];
            return sum;
        }
        for (ptrdiff_t at = 0; at < whole; at += LANES)
            EACH_LANE(k) lane[k] += e[at + k];
    }
    return FN(fold_add)(lane);
}

static void FN(softmax_rows)(REAL *y, const REAL *x, ptrdiff_t N, ptrdiff_t V) {
    for (ptrdiff_t i = 0; i < N; i++) {
        REAL *y_i = y + i*V;
        const REAL scale = 1 / FN(row_exp)(1, y_i, x + i*V, FN(row_max)(x + i*V, V), V);
        for (ptrdiff_t v = 0; v < V; v++) y_i[v] *= scale;
    }
}

static void FN(softmax_rows_backward)(REAL *dx, const REAL *dy, const REAL *y, ptrdiff_t N,
                                      ptrdiff_t V) {
    for (ptrdiff_t i = 0; i < N; i++) {
        REAL *dx_i = dx + i*V;
        const REAL *dy_i = dy + i*V, *y_i = y + i*V;

        // forward: y = exp(x) / sum(exp(x)), so dy_v / dx_u = y_v * ((u == v) - y_u)
        const REAL inner = FN(dot_)(dy_i, y_i, V);
        GL_IVDEP
        for (ptrdiff_t v = 0; v < V; v++) dx_i[v] = y_i[v] * (dy_i[v] - inner);
    }
}

static void FN(log_softmax_rows)(REAL *y, const REAL *x, ptrdiff_t N, ptrdiff_t V) {
    for (ptrdiff_t i = 0; i < N; i++) {
        REAL *y_i = y + i*V;
        const REAL *x_i = x + i*V, m = FN(row_max)(x_i, V);
        const REAL log_sum = MATH(log)(FN(row_exp)(0, NULL, x_i, m, V));
        GL_IVDEP
        for (ptrdiff_t v = 0; v < V; v++) y_i[v] = (x_i[v] - m) - log_sum;
    }
}

static void FN(log_softmax_rows_backward)(REAL *dx, const REAL *dy, const REAL *y, ptrdiff_t N,
                                          ptrdiff_t V) {
    for (ptrdiff_t i = 0; i < N; i++) {
        REAL *dx_i = dx + i*V;
        const REAL *dy_i = dy + i*V, *y_i = y + i*V;

        // forward: y = x - log(sum(exp(x))), so dx = dy - exp(y) * sum(dy)
        const REAL sum = FN(sum_)(dy_i, V);
        GL_IVDEP
        for (ptrdiff_t v = 0; v < V; v++) dx_i[v] = dy_i[v] - FN(exp_)(y_i[v]) * sum;
    }
}

static void FN(cross_entropy_rows)(REAL *loss, REAL *dlogits, const REAL *logits,
                                   const int64_t *targets, const REAL *dloss, int64_t ignore_index,
                                   ptrdiff_t N, ptrdiff_t V) {
    for (ptrdiff_t i = 0; i < N; i++) {
        REAL *d_i = dlogits ? dlogits + i*V : NULL;
        if (targets[i] == ignore_index) {
            loss[i] = 0;
            if (d_i) memset(d_i, 0, (size_t)V * sizeof(REAL));
            continue;
        }
        const REAL *x_i = logits + i*V;
        const REAL m = FN(row_max)(x_i, V), at_target = x_i[targets[i]] - m;
        const REAL sum = d_i ? FN(row_exp)(1, d_i, x_i, m, V) : FN(row_exp)(0, NULL, x_i, m, V);
        loss[i] = MATH(log)(sum) - at_target;

        // loss = log(sum(exp(x))) - x[target], so d loss / dx = softmax(x) - onehot(target)
        if (d_i) {
            const REAL weight = dloss ? dloss[i] : 1, scale = weight / sum;
            for (ptrdiff_t v = 0; v < V; v++) d_i[v] *= scale;
            d_i[targets[i]] -= weight;
        }
    }
}
