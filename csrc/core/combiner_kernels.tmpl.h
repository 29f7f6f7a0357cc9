// Weight Sharing Attention, sample by sample: scores, weights and the weighted sum, and how their
// gradients come back. Models are few: their loops are short, those over columns are vectorised.

// log(softplus(u)) and its derivative. Far below 0 softplus is exp, whose logarithm is u.
static inline REAL FN(log_softplus)(REAL u, REAL *slope) {
    if (u < (sizeof(REAL) == 4 ? -17 : -37)) {
        *slope = 1;
        return u;
    }
    const REAL t = MATH(exp)(-MATH(fabs)(u)), softplus = GL_MAX(u, 0) + MATH(log1p)(t);
    *slope = (u > 0 ? 1 : t) / (1 + t) / softplus;
    return MATH(log)(softplus);
}

// Whether sample b has model i, and it is weighed; *row is its row in the model's arrays.
static inline int FN(combine_counts)(const FN(gl_combine) *a, const int64_t *place, ptrdiff_t b,
                                     ptrdiff_t i, ptrdiff_t *row) {
    *row = (ptrdiff_t)place[i*a->B + b];
    return *row >= 0 && (i != a->context || a->weigh_context);
}

// Samples b0 .. b1. hidden holds the models' share of h; it becomes h.
static void FN(combine_rows)(const FN(gl_combine) *a, const REAL *context, const int64_t *place,
                             ptrdiff_t b0, ptrdiff_t b1) {
    const ptrdiff_t B = a->B, M = a->M, C = a->C, S = a->S;
    for (ptrdiff_t b = b0; b < b1; b++) {
        const REAL *context_b = context + b*S;
        REAL *u = a->scores + b*M, *w = a->weights + b*M, *state = a->state + b*C;
        REAL top = -(REAL)INFINITY, sum = 0, slope;
        ptrdiff_t row;
        for (ptrdiff_t i = 0; i < M; i++) {
            u[i] = w[i] = 0;
            if (!FN(combine_counts)(a, place, b, i, &row)) continue;
            REAL *h = a->hidden + (i*B + row)*S;
            if (a->score_weight) {
                GL_IVDEP
                for (ptrdiff_t s = 0; s < S; s++) h[s] += context_b[s] + a->hidden_bias[s];
                FN(relu)(h, h, S);
                u[i] = FN(dot_)(h, a->score_weight, S) + *a->score_bias;
            } else {
                h[0] += context_b[0];
                u[i] = h[0] + *a->score_bias;
            }
            w[i] = a->linear ? FN(log_softplus)(u[i], &slope) : u[i];
            top = w[i] <= top ? top : w[i];
        }
        for (ptrdiff_t i = 0; i < M; i++)
            if (FN(combine_counts)(a, place, b, i, &row)) {
                w[i] = w[i] == top ? 1 : MATH(exp)(w[i] - top);
                sum += w[i];
            }
        memset(state, 0, (size_t)C * sizeof(REAL));
        for (ptrdiff_t i = 0; i < M; i++) {
            if (!FN(combine_counts)(a, place, b, i, &row)) continue;
            const REAL *e = a->e + (i*B + row)*C, share = w[i] /= sum;
            GL_IVDEP
            for (ptrdiff_t c = 0; c < C; c++) state[c] += share * e[c];
        }
    }
}

// du (B, M), dh (M, B, S) and the context's (B, S), all overwritten, of samples b0 .. b1.
static void FN(combine_rows_backward)(REAL *du, REAL *dh, REAL *context, const FN(gl_combine) *a,
                                      const int64_t *place, ptrdiff_t b0, ptrdiff_t b1) {
    const ptrdiff_t B = a->B, M = a->M, C = a->C, S = a->S;
    for (ptrdiff_t b = b0; b < b1; b++) {
        const REAL *w = a->weights + b*M, *dstate = a->dstate + b*C;
        REAL *context_b = context + b*S, *du_b = du + b*M, mean = 0, slope = 1;
        ptrdiff_t row;

        // forward: state = sum w e, so dw = <dstate, e>
        for (ptrdiff_t i = 0; i < M; i++) {
            du_b[i] = 0;
            if (!FN(combine_counts)(a, place, b, i, &row)) continue;
            du_b[i] = FN(dot_)(dstate, a->e + (i*B + row)*C, C);
            if (a->dweights) du_b[i] += a->dweights[b*M + i];
            mean += w[i] * du_b[i];
        }
        memset(context_b, 0, (size_t)S * sizeof(REAL));
        for (ptrdiff_t i = 0; i < M; i++) {
            if (!FN(combine_counts)(a, place, b, i, &row)) continue;
            // forward: w = softmax(u), or of log(softplus(u))
            if (a->linear) FN(log_softplus)(a->scores[b*M + i], &slope);
            const REAL d = du_b[i] = w[i] * (du_b[i] - mean) * slope;
            const REAL *h = a->hidden + (i*B + row)*S;
            REAL *dh_i = dh + (i*B + row)*S;
            // forward: u = <max(h, 0), score_weight> + score_bias
            if (a->score_weight) {
                GL_IVDEP
                for (ptrdiff_t s = 0; s < S; s++) dh_i[s] = h[s] > 0 ? d * a->score_weight[s] : 0;
            } else {
                dh_i[0] = d;
            }
            GL_IVDEP
            for (ptrdiff_t s = 0; s < S; s++) context_b[s] += dh_i[s];
        }
    }
}
