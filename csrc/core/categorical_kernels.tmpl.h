// Rows are walked LANES at a time; the end of a row is padded with masked choices, so that short
// rows are vectors too.
static inline const REAL *FN(choices_at)(REAL *tail, const REAL *x, ptrdiff_t c, ptrdiff_t K) {
    if (c + LANES <= K) return x + c;
    for (ptrdiff_t k = 0; k < LANES; k++) tail[k] = c + k < K ? x[c + k] : -(REAL)INFINITY;
    return tail;
}

// x, but no less than a number whose exponential is 0: 0 times a masked logit is then 0.
static inline REAL FN(choice_depth)(REAL x) { return x < (REAL)-1e4 ? (REAL)-1e4 : x; }

// max = max(x), sum = sum_k exp(x_k - max), dot = sum_k exp(x_k - max) (x_k - max).
typedef struct {
    REAL max, sum, dot;
} FN(choices);

static inline FN(choices) FN(choices_of)(const REAL *x, ptrdiff_t K) {
    const REAL max = FN(row_max)(x, K);
    REAL sum[LANES] = {0}, dot[LANES] = {0}, tail[LANES];
    for (ptrdiff_t c = 0; c < K; c += LANES) {
        const REAL *t = FN(choices_at)(tail, x, c, K);
        EACH_LANE(k) {
            const REAL y = FN(choice_depth)(t[k] - max), w = FN(exp_)(y);
            sum[k] += w;
            dot[k] += w * y;
        }
    }
    return (FN(choices)){max, FN(fold_add)(sum), FN(fold_add)(dot)};
}

static gl_result FN(categorical_rows)(REAL *logp, REAL *entropy, const REAL *logits,
                                      const int64_t *actions, ptrdiff_t N, ptrdiff_t K) {
    for (ptrdiff_t i = 0; i < N; i++) {
        const REAL *x = logits + i*K;
        if (logp && !(actions[i] >= 0 && actions[i] < K)) return (gl_result){GL_EINDEX, i};
        const FN(choices) s = FN(choices_of)(x, K);
        const REAL log_sum = FN(log_)(s.sum);
        if (logp) logp[i] = x[actions[i]] - s.max - log_sum;
        if (entropy) entropy[i] = log_sum - s.dot / s.sum;
    }
    return gl_ok();
}

// Partial sums of a row's weights, kept in double: at most SEGMENTS of them.
#ifndef SEGMENTS
#define SEGMENTS 256
#endif

// Draws one choice of a row from a uniform and sums the row up.
static gl_status FN(categorical_draw)(int64_t *action, FN(choices) *choices, const REAL *x,
                                      REAL uniform, ptrdiff_t K) {
    const ptrdiff_t length = GL_CEIL_DIV(GL_CEIL_DIV(K, SEGMENTS), LANES) * LANES;
    const REAL max = FN(row_max)(x, K);
    REAL dot[LANES] = {0}, tail[LANES];

    double segment[SEGMENTS], total = 0;
    ptrdiff_t n = 0;
    for (ptrdiff_t from = 0; from < K; from += length, n++) {
        REAL sum[LANES] = {0};
        for (ptrdiff_t c = from; c < GL_MIN(from + length, K); c += LANES) {
            const REAL *t = FN(choices_at)(tail, x, c, K);
            EACH_LANE(k) {
                const REAL y = FN(choice_depth)(t[k] - max), w = FN(exp_)(y);
                sum[k] += w;
                dot[k] += w * y;
            }
        }
        segment[n] = (double)FN(fold_add)(sum);
        total += segment[n];
    }
    if (!(total > 0 && total < (double)INFINITY)) return GL_ENONFINITE;
    if (!(uniform >= 0 && uniform < 1)) return GL_EVALUE;

    // the segment, then the choice, at which the running sum exceeds u * total; where rounding
    // keeps it from that, the last one that has any probability
    const double u = (double)uniform * total;
    double below = 0;
    ptrdiff_t found = -1;
    for (ptrdiff_t s = 0; s < n; s++) {
        if (segment[s] == 0) continue;
        if (found >= 0) below += segment[found];
        found = s;
        if (u < below + segment[s]) break;
    }
    for (ptrdiff_t k = found * length; k < GL_MIN((found + 1) * length, K); k++) {
        const double w = (double)FN(exp_)(x[k] - max);
        if (w == 0) continue;
        *action = k;
        below += w;
        if (u < below) break;
    }
    *choices = (FN(choices)){max, (REAL)total, FN(fold_add)(dot)};
    return GL_OK;
}

static gl_result FN(categorical_sample_rows)(int64_t *actions, REAL *logp, const REAL *logits,
                                             const REAL *uniforms, ptrdiff_t N, ptrdiff_t K) {
    for (ptrdiff_t i = 0; i < N; i++) {
        const REAL *x = logits + i*K;
        FN(choices) s;
        const gl_status status = FN(categorical_draw)(actions + i, &s, x, uniforms[i], K);
        if (status != GL_OK) return (gl_result){status, i};
        if (logp) logp[i] = x[actions[i]] - s.max - FN(log_)(s.sum);
    }
    return gl_ok();
}

static gl_result FN(categorical_rows_backward)(REAL *dlogits, const REAL *dlogp,
                                               const REAL *dentropy, const REAL *logits,
                                               const int64_t *actions, ptrdiff_t N, ptrdiff_t K) {
    for (ptrdiff_t i = 0; i < N; i++) {
        const REAL *x = logits + i*K;
        REAL *d = dlogits + i*K, tail[LANES], part[LANES];
        if (dlogp && !(actions[i] >= 0 && actions[i] < K)) return (gl_result){GL_EINDEX, i};
        const REAL g = dlogp ? dlogp[i] : 0, f = dentropy ? dentropy[i] : 0;

        // forward: logp = x_a - max - log(sum), entropy = log(sum) - dot / sum
        // so dlogits = g (onehot - p) - f p (log p + entropy)
        const FN(choices) s = FN(choices_of)(x, K);
        const REAL scale = 1 / s.sum, mean = s.dot / s.sum, max = s.max;
        for (ptrdiff_t c = 0; c < K; c += LANES) {
            const REAL *t = FN(choices_at)(tail, x, c, K);
            REAL *o = c + LANES <= K ? d + c : part;
            GL_IVDEP
            EACH_LANE(k) {
                const REAL y = FN(choice_depth)(t[k] - max), p = FN(exp_)(y) * scale;
                o[k] = -g * p - f * p * (y - mean);
            }
            if (o == part) memcpy(d + c, part, (size_t)(K - c) * sizeof(REAL));
        }
        if (dlogp) d[actions[i]] += g;
    }
    return gl_ok();
}

// Either of kl and the two gradients may be NULL; dkl may be NULL where both gradients are.
static void FN(categorical_kl_rows)(REAL *kl, REAL *dp, REAL *dq, const REAL *dkl,
                                    const REAL *logits_p, const REAL *logits_q, ptrdiff_t N,
                                    ptrdiff_t K) {
    for (ptrdiff_t i = 0; i < N; i++) {
        const REAL *xp = logits_p + i*K, *xq = logits_q + i*K;
        REAL sum[LANES] = {0}, tail_p[LANES], tail_q[LANES], part_p[LANES], part_q[LANES];
        const FN(choices) p = FN(choices_of)(xp, K), q = FN(choices_of)(xq, K);
        const REAL scale_p = 1 / p.sum, scale_q = 1 / q.sum, max_p = p.max, max_q = q.max;
        const REAL log_p = FN(log_)(p.sum), log_q = FN(log_)(q.sum);
        for (ptrdiff_t c = 0; c < K; c += LANES) {
            const REAL *tp = FN(choices_at)(tail_p, xp, c, K);
            const REAL *tq = FN(choices_at)(tail_q, xq, c, K);
            EACH_LANE(k) {
                const REAL w = FN(exp_)(tp[k] - max_p) * scale_p;
                sum[k] += w == 0 ? 0 : w * ((tp[k] - max_p - log_p) - (tq[k] - max_q - log_q));
            }
        }
        const REAL total = FN(fold_add)(sum);
        if (kl) kl[i] = K > 0 ? total : (REAL)NAN;
        if (!dp && !dq) continue;

        // dkl/dx_p = p (log(p / q) - kl), dkl/dx_q = q - p
        const REAL g = dkl[i];
        for (ptrdiff_t c = 0; c < K; c += LANES) {
            const REAL *tp = FN(choices_at)(tail_p, xp, c, K);
            const REAL *tq = FN(choices_at)(tail_q, xq, c, K);
            EACH_LANE(k) {
                const REAL wp = FN(exp_)(tp[k] - max_p) * scale_p;
                const REAL wq = FN(exp_)(tq[k] - max_q) * scale_q;
                const REAL a = (tp[k] - max_p - log_p) - (tq[k] - max_q - log_q);
                part_p[k] = wp == 0 ? 0 : g * wp * (a - total);
                part_q[k] = g * (wq - wp);
            }
            const size_t bytes = (size_t)GL_MIN(LANES, K - c) * sizeof(REAL);
            if (dp) memcpy(dp + i*K + c, part_p, bytes);
            if (dq) memcpy(dq + i*K + c, part_q, bytes);
        }
    }
}
