// The combiner, sample by sample, from adapted embeddings to the state and back.

// Row of sample b in the arrays of model i; -1 where the model is not weighed.
static inline ptrdiff_t FN(combiner_row_of)(const FN(gl_combiner) *a,
                                            const FN(gl_combiner_parts) *p, ptrdiff_t i,
                                            ptrdiff_t b) {
    return i == a->context && !a->weigh_context ? -1 : p->position[i*a->B + b];
}

// log(softplus(u)), and its derivative.
static inline REAL FN(log_softplus)(REAL u, REAL *slope) {
    const REAL t = FN(exp_)(u < 0 ? u : -u);
    if (u < (sizeof(REAL) == 4 ? -9 : -19)) {
        // log(t - t^2/2 + ...), t = exp(u), which may be 0
        *slope = 1 - t / 2;
        return u - t / 2;
    }
    const REAL softplus = FN(log1p_)(t) + (u > 0 ? u : 0);
    *slope = (u < 0 ? t : 1) / (1 + t) / softplus;
    return MATH(log)(softplus);
}

// Scores, weights and state of sample b. h holds what the models give to the hidden layer and
// becomes that layer.
static void FN(combiner_row)(const FN(gl_combiner) *a, const FN(gl_combiner_parts) *p,
                             ptrdiff_t b) {
    const ptrdiff_t B = a->B, M = a->M, C = a->C, S = a->S;
    const REAL *v = a->score_weight, *q = p->q + b*S;
    REAL *w = a->weights + b*M, *score = p->score + b*M;
    const REAL offset = a->score_bias[0] +
                        (S ? 0 : FN(dot_)(v, p->e + (a->context*B + b)*C, C));

    REAL top = -(REAL)INFINITY;
    for (ptrdiff_t i = 0; i < M; i++) {
        const ptrdiff_t k = FN(combiner_row_of)(a, p, i, b);
        w[i] = score[i] = 0;
        if (k < 0) continue;
        if (S) {
            REAL *h = p->h + (i*B + k)*S;
            GL_IVDEP
            for (ptrdiff_t s = 0; s < S; s++) {
                const REAL x = h[s] + q[s];
                h[s] = x < 0 ? 0 : x;
            }
            score[i] = offset + FN(dot_)(v, h, S);
        } else {
            score[i] = offset + FN(dot_)(v + C, p->e + (i*B + k)*C, C);
        }
        REAL slope;
        w[i] = a->linear ? FN(log_softplus)(score[i], &slope) : score[i];
        top = w[i] > top ? w[i] : top;
    }

    REAL sum = 0;
    for (ptrdiff_t i = 0; i < M; i++) {
        if (FN(combiner_row_of)(a, p, i, b) < 0) continue;
        w[i] = FN(exp_)(w[i] - top);
        sum += w[i];
    }
    REAL *restrict state = a->state + b*C;
    memset(state, 0, (size_t)C * sizeof(REAL));
    for (ptrdiff_t i = 0; i < M; i++) {
        const ptrdiff_t k = FN(combiner_row_of)(a, p, i, b);
        if (k < 0) continue;
        const REAL *e = p->e + (i*B + k)*C, share = w[i] /= sum;
        for (ptrdiff_t c = 0; c < C; c++) state[c] += share * e[c];
    }
}

// Gradients of sample b: de, as far as the state and a scorer without hidden layer give it, dh and
// dq are overwritten; dv, as score_weight, and dc are added to. Scratch: dw (M).
static void FN(combiner_row_backward)(const FN(gl_combiner) *a, const FN(gl_combiner_parts) *p,
                                      ptrdiff_t b, REAL *restrict dv, REAL *dc, REAL *dw) {
    const ptrdiff_t B = a->B, M = a->M, C = a->C, S = a->S;
    const REAL *v = a->score_weight, *dstate = a->dstate + b*C, *w = a->weights + b*M;
    REAL *restrict dq = p->q + b*S;

    // forward: state = sum_i w_i e_i
    REAL inner = 0;
    for (ptrdiff_t i = 0; i < M; i++) {
        const ptrdiff_t k = FN(combiner_row_of)(a, p, i, b);
        if (k < 0) continue;
        dw[i] = FN(dot_)(dstate, p->e + (i*B + k)*C, C);
        inner += w[i] * dw[i];
    }
    memset(dq, 0, (size_t)S * sizeof(REAL));
    REAL total = 0;
    for (ptrdiff_t i = 0; i < M; i++) {
        const ptrdiff_t k = FN(combiner_row_of)(a, p, i, b);
        if (k < 0) continue;

        // forward: w = softmax(u), or of log(softplus(u))
        REAL du = w[i] * (dw[i] - inner), slope;
        if (a->linear) {
            FN(log_softplus)(p->score[b*M + i], &slope);
            du *= slope;
        }
        total += du;

        const REAL share = w[i], *e = p->e + (i*B + k)*C;
        REAL *restrict de = p->de + (i*B + k)*C;
        if (S) {
            // forward: u = v . h + c, h = relu(q + e B)
            const REAL *h = p->h + (i*B + k)*S;
            REAL *restrict dh = p->dh + (i*B + k)*S;
            for (ptrdiff_t c = 0; c < C; c++) de[c] = share * dstate[c];
            for (ptrdiff_t s = 0; s < S; s++) {
                const REAL d = h[s] <= 0 ? 0 : du * v[s];
                dv[s] += du * h[s];
                dh[s] = d;
                dq[s] += d;
            }
        } else {
            // forward: u = v . [s, e] + c
            for (ptrdiff_t c = 0; c < C; c++) {
                de[c] = share * dstate[c] + du * v[C + c];
                dv[C + c] += du * e[c];
            }
        }
    }
    *dc += total;
    if (S) return;
    const REAL *s = p->e + (a->context*B + b)*C;
    REAL *restrict ds = p->de + (a->context*B + b)*C;
    for (ptrdiff_t c = 0; c < C; c++) {
        ds[c] = (a->weigh_context ? ds[c] : 0) + total * v[c];
        dv[c] += total * s[c];
    }
}
