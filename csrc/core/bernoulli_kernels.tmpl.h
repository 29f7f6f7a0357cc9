// The two outcomes of one variable: the likelier one (hi) and the other (lo).
typedef struct {
    REAL p_hi, p_lo, log_hi, log_lo;
    REAL slope;        // dp_hi / d|l|
    REAL hi_rel;       // d log_hi / d|l|
    REAL lo_rel;       // -d log_lo / d|l|
} FN(bernoulli_point);

static inline __attribute__((always_inline)) FN(bernoulli_point)
FN(bernoulli_at)(REAL l, REAL bound, const int bounded) {
    const REAL x = l < 0 ? -l : l;
    const REAL e = FN(exp_)(-x), d = 1 + e, log_d = FN(log1p_)(e);
    const REAL width = 1 - 2 * bound;

    // p_hi = bound + (1 - 2 bound) / d and p_lo = bound + (1 - 2 bound) e / d
    const REAL hi = bounded ? 1 - bound + bound * e : 1;
    const REAL lo = bounded ? bound + (1 - bound) * e : e;
    const REAL lo_rel = bounded ? width * e / (d * lo) : 1 / d;
    return (FN(bernoulli_point)){
        .p_hi = hi / d,
        .p_lo = lo / d,
        .log_hi = bounded ? FN(log1p_)(bound * (e - 1)) - log_d : -log_d,
        .log_lo = bounded ? FN(log_)(lo) - log_d : -x - log_d,
        .slope = width * e / (d * d),
        .hi_rel = width * e / (d * hi),
        .lo_rel = lo_rel,
    };
}

// 1 for an action of 1, -1 for 0. Returns the first flat position that holds neither, or -1.
static ptrdiff_t FN(bernoulli_signs)(REAL *sign, const uint8_t *actions, ptrdiff_t n) {
    unsigned bad = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        bad |= actions[i] > 1;
        sign[i] = actions[i] ? (REAL)1 : (REAL)-1;
    }
    if (!bad) return -1;
    ptrdiff_t i = 0;
    while (actions[i] <= 1) i++;
    return i;
}

static gl_result FN(bernoulli_rows)(REAL *logp, REAL *entropy, const REAL *logits,
                                    const uint8_t *actions, REAL bound, ptrdiff_t N, ptrdiff_t K) {
    REAL sign[POINTS], lp[POINTS], h[POINTS];
    for (ptrdiff_t i = 0; i < POINTS; i++) sign[i] = 1;
    for (ptrdiff_t b = 0; b < N && K == 0; b++) {
        if (logp) logp[b] = 0;
        if (entropy) entropy[b] = 0;
    }
    for (ptrdiff_t at = 0, n; at < N * K; at += n) {
        n = FN(points_step)(at, N * K, K);
        const ptrdiff_t bad = logp ? FN(bernoulli_signs)(sign, actions + at, n) : -1;
        if (bad >= 0) return (gl_result){GL_EVALUE, (at + bad) / K};

        const REAL *l = logits + at;
#define BODY(bounded)                                                                       \
    for (ptrdiff_t i = 0; i < n; i++) {                                                     \
        const FN(bernoulli_point) o = FN(bernoulli_at)(l[i], bound, bounded);               \
        lp[i] = sign[i] * l[i] >= 0 ? o.log_hi : o.log_lo;                                  \
        h[i] = -(o.p_hi * o.log_hi + (o.p_lo == 0 ? 0 : o.p_lo * o.log_lo));                \
    }
        if (bound > 0) BODY(1) else BODY(0)
#undef BODY
        if (logp) FN(points_sum)(logp, lp, at, n, K);
        if (entropy) FN(points_sum)(entropy, h, at, n, K);
    }
    return gl_ok();
}

static gl_result FN(bernoulli_sample_rows)(uint8_t *actions, REAL *logp, const REAL *logits,
                                           const REAL *uniforms, REAL bound, ptrdiff_t N,
                                           ptrdiff_t K) {
    for (ptrdiff_t at = 0, n; at < N * K; at += n) {
        n = FN(points_step)(at, N * K, K);
        REAL p[POINTS];
        unsigned bad = 0;
        for (ptrdiff_t i = 0; i < n; i++) {
            const REAL l = logits[at + i], u = uniforms[at + i];
            p[i] = bound + (1 - 2 * bound) * FN(sigmoid_)(l);
            bad |= !(l - l == 0) | !(u >= 0) | !(u < 1);
        }
        for (ptrdiff_t i = 0; i < n; i++) actions[at + i] = uniforms[at + i] < p[i];
        for (ptrdiff_t i = at; bad; i++) {
            if (!(logits[i] - logits[i] == 0)) return (gl_result){GL_ENONFINITE, i / K};
            if (!(uniforms[i] >= 0 && uniforms[i] < 1)) return (gl_result){GL_EVALUE, i / K};
        }
    }
    return logp ? FN(bernoulli_rows)(logp, NULL, logits, actions, bound, N, K) : gl_ok();
}

static gl_result FN(bernoulli_rows_backward)(REAL *dlogits, const REAL *dlogp, const REAL *dentropy,
                                             const REAL *logits, const uint8_t *actions, REAL bound,
                                             ptrdiff_t N, ptrdiff_t K) {
    REAL sign[POINTS], dlp[POINTS], dh[POINTS];
    for (ptrdiff_t i = 0; i < POINTS; i++) sign[i] = 1;
    for (ptrdiff_t at = 0, n; at < N * K; at += n) {
        n = FN(points_step)(at, N * K, K);
        const ptrdiff_t bad = dlogp ? FN(bernoulli_signs)(sign, actions + at, n) : -1;
        if (bad >= 0) return (gl_result){GL_EVALUE, (at + bad) / K};

        // forward: logp is log_hi or log_lo by the sign of the action's logit, entropy is
        // -(p_hi log_hi + p_lo log_lo), whose slope in |l| is -slope (log_hi - log_lo)
        const REAL *l = logits + at;
#define BODY(bounded)                                                                       \
    for (ptrdiff_t i = 0; i < n; i++) {                                                     \
        const FN(bernoulli_point) o = FN(bernoulli_at)(l[i], bound, bounded);               \
        const REAL gap = o.slope == 0 ? 0 : o.slope * (o.log_hi - o.log_lo);                \
        dlp[i] = sign[i] * (sign[i] * l[i] >= 0 ? o.hi_rel : o.lo_rel);                     \
        dh[i] = l[i] >= 0 ? -gap : gap;                                                     \
    }
        if (bound > 0) BODY(1) else BODY(0)
#undef BODY
        for (ptrdiff_t i = 0, w; i < n; i += w) {
            const ptrdiff_t b = (at + i) / K;
            const REAL g = dlogp ? dlogp[b] : 0, f = dentropy ? dentropy[b] : 0;
            w = GL_MIN(K - (at + i) % K, n - i);
            for (ptrdiff_t k = i; k < i + w; k++) dlogits[at + k] = g * dlp[k] + f * dh[k];
        }
    }
    return gl_ok();
}

// Either of kl and the two gradients may be NULL; dkl may be NULL where both gradients are.
static void FN(bernoulli_kl_rows)(REAL *kl, REAL *dp, REAL *dq, const REAL *dkl,
                                  const REAL *logits_p, const REAL *logits_q, REAL bound,
                                  ptrdiff_t N, ptrdiff_t K) {
    REAL value[POINTS], slope_p[POINTS], slope_q[POINTS];
    for (ptrdiff_t b = 0; b < N && K == 0 && kl; b++) kl[b] = 0;
    for (ptrdiff_t at = 0, n; at < N * K; at += n) {
        n = FN(points_step)(at, N * K, K);
        const REAL *lp = logits_p + at, *lq = logits_q + at;

        // with p1, q1 the probabilities of 1 and a1 = log(p1 / q1), a0 = log(p0 / q0):
        // kl = p1 a1 + p0 a0, dkl/dp1 = a1 - a0, dkl/dq1 = (q1 - p1) / (q1 q0)
#define BODY(bounded)                                                                       \
    for (ptrdiff_t i = 0; i < n; i++) {                                                     \
        const FN(bernoulli_point) p = FN(bernoulli_at)(lp[i], bound, bounded);              \
        const FN(bernoulli_point) q = FN(bernoulli_at)(lq[i], bound, bounded);              \
        const int up = lp[i] >= 0, uq = lq[i] >= 0;                                         \
        const REAL p1 = up ? p.p_hi : p.p_lo, p0 = up ? p.p_lo : p.p_hi;                    \
        const REAL a1 = (up ? p.log_hi : p.log_lo) - (uq ? q.log_hi : q.log_lo);            \
        const REAL a0 = (up ? p.log_lo : p.log_hi) - (uq ? q.log_lo : q.log_hi);            \
        const REAL q1_rel = uq ? q.hi_rel : q.lo_rel, q0_rel = uq ? q.lo_rel : q.hi_rel;    \
        value[i] = (p1 == 0 ? 0 : p1 * a1) + (p0 == 0 ? 0 : p0 * a0);                       \
        slope_p[i] = p.slope == 0 ? 0 : p.slope * (a1 - a0);                                \
        slope_q[i] = p0 * q0_rel - p1 * q1_rel;                                             \
    }
        if (bound > 0) BODY(1) else BODY(0)
#undef BODY
        if (kl) FN(points_sum)(kl, value, at, n, K);
        for (ptrdiff_t i = 0, w; i < n && (dp || dq); i += w) {
            const REAL g = dkl[(at + i) / K];
            w = GL_MIN(K - (at + i) % K, n - i);
            for (ptrdiff_t k = i; k < i + w && dp; k++) dp[at + k] = g * slope_p[k];
            for (ptrdiff_t k = i; k < i + w && dq; k++) dq[at + k] = g * slope_q[k];
        }
    }
}
