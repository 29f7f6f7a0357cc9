// Activations, element by element. Outputs may be inputs.

// x * sigmoid(2u) is x/2 * (1 + tanh(u)), u = sqrt(2/pi) * (x + 0.044715 x^3), without cancelling.
static void FN(gelu)(REAL *y, const REAL *x, ptrdiff_t n) {
    GL_IVDEP
    for (ptrdiff_t i = 0; i < n; i++) {
        const REAL a = x[i];
        y[i] = a * FN(sigmoid_)((REAL)1.5957691216057308 * (a + (REAL)0.044715 * a*a*a));
    }
}

static void FN(gelu_backward)(REAL *dx, const REAL *dy, const REAL *x, ptrdiff_t n) {
    GL_IVDEP
    for (ptrdiff_t i = 0; i < n; i++) {
        // beyond 30 the derivative is 0 or 1 in either type; a power there would overflow
        const REAL a = x[i] < -30 ? -30 : x[i] > 30 ? 30 : x[i], a2 = a * a;
        const REAL s = FN(sigmoid_)((REAL)1.5957691216057308 * a * (1 + (REAL)0.044715 * a2));
        const REAL dz = (REAL)1.5957691216057308 * (1 + 3 * (REAL)0.044715 * a2);

        // forward: y = x * sigmoid(z)
        dx[i] = dy[i] * (s + a * s * (1 - s) * dz);
    }
}

// The normal distribution function: for a = |x| it is exp(-a^2/2) * t * p(2t - 1) at -a, where
// t = 1 / (1 + a/4) and p is a Chebyshev expansion. *e becomes exp(-a^2/2).
static inline REAL FN(normal_cdf)(REAL x, REAL *e) {
    const REAL a = x < 0 ? -x : x;
    const REAL t = 1 / (1 + (REAL)0.25 * a), s = 2 * t - 1;
    REAL p;
    if (sizeof(REAL) == 4) {
        p = (REAL)3.93301424e-5;
        p = FN(fma_)(p, s, (REAL)3.23314204e-5);
        p = FN(fma_)(p, s, (REAL)-3.90946725e-4);
        p = FN(fma_)(p, s, (REAL)-8.69041974e-4);
        p = FN(fma_)(p, s, (REAL)1.87805785e-3);
        p = FN(fma_)(p, s, (REAL)1.50988240e-2);
        p = FN(fma_)(p, s, (REAL)4.66316777e-2);
        p = FN(fma_)(p, s, (REAL)9.67843907e-2);
        p = FN(fma_)(p, s, (REAL)1.51974101e-1);
        p = FN(fma_)(p, s, (REAL)1.88821282e-1);
    } else {
        p = (REAL)-4.22164424169668373e-10;
        p = FN(fma_)(p, s, (REAL)3.19308785823943002e-10);
        p = FN(fma_)(p, s, (REAL)4.01684673933235045e-9);
        p = FN(fma_)(p, s, (REAL)-4.89240223499351214e-9);
        p = FN(fma_)(p, s, (REAL)-1.96959008567340945e-8);
        p = FN(fma_)(p, s, (REAL)4.05579080213391765e-8);
        p = FN(fma_)(p, s, (REAL)6.61834320494966956e-8);
        p = FN(fma_)(p, s, (REAL)-2.56746017535798237e-7);
        p = FN(fma_)(p, s, (REAL)-1.56238776939129447e-7);
        p = FN(fma_)(p, s, (REAL)1.48072344438548203e-6);
        p = FN(fma_)(p, s, (REAL)1.78650538281686543e-7);
        p = FN(fma_)(p, s, (REAL)-8.7864005897611287e-6);
        p = FN(fma_)(p, s, (REAL)-4.76919007679774537e-7);
        p = FN(fma_)(p, s, (REAL)5.7773784446822334e-5);
        p = FN(fma_)(p, s, (REAL)3.33360522900369482e-5);
        p = FN(fma_)(p, s, (REAL)-4.07704621368396431e-4);
        p = FN(fma_)(p, s, (REAL)-8.69923089162875655e-4);
        p = FN(fma_)(p, s, (REAL)1.88504724222290475e-3);
        p = FN(fma_)(p, s, (REAL)1.50991437225902296e-2);
        p = FN(fma_)(p, s, (REAL)4.66304644898946789e-2);
        p = FN(fma_)(p, s, (REAL)9.67843501855566505e-2);
        p = FN(fma_)(p, s, (REAL)1.51974160492973239e-1);
        p = FN(fma_)(p, s, (REAL)1.88821282603937863e-1);
    }
    *e = FN(exp_)((REAL)-0.5 * a * a);
    const REAL tail = *e * t * p;
    return x > 0 ? 1 - tail : tail;
}

static void FN(gelu_exact)(REAL *y, const REAL *x, ptrdiff_t n) {
    GL_IVDEP
    for (ptrdiff_t i = 0; i < n; i++) {
        REAL e;
        y[i] = x[i] * FN(normal_cdf)(x[i], &e);
    }
}

// d (x * Phi(x)) / dx = Phi(x) + x * phi(x)
static void FN(gelu_exact_backward)(REAL *dx, const REAL *dy, const REAL *x, ptrdiff_t n) {
    GL_IVDEP
    for (ptrdiff_t i = 0; i < n; i++) {
        REAL e;
        const REAL cdf = FN(normal_cdf)(x[i], &e);
        dx[i] = dy[i] * (cdf + x[i] * (e * (REAL)0.3989422804014327));
    }
}

static void FN(tanh_map)(REAL *y, const REAL *x, ptrdiff_t n) {
    GL_IVDEP
    for (ptrdiff_t i = 0; i < n; i++) y[i] = FN(tanh_)(x[i]);
}

static void FN(tanh_backward)(REAL *dx, const REAL *dy, const REAL *y, ptrdiff_t n) {
    GL_IVDEP
    for (ptrdiff_t i = 0; i < n; i++) dx[i] = dy[i] * (1 - y[i] * y[i]);
}

// Written so that NaN stays NaN.
static void FN(relu)(REAL *y, const REAL *x, ptrdiff_t n) {
    GL_IVDEP
    for (ptrdiff_t i = 0; i < n; i++) y[i] = x[i] < 0 ? 0 : x[i];
}

static void FN(relu_backward)(REAL *dx, const REAL *dy, const REAL *y, ptrdiff_t n) {
    GL_IVDEP
    for (ptrdiff_t i = 0; i < n; i++) dx[i] = y[i] <= 0 ? 0 : dy[i];
}

static void FN(sigmoid)(REAL *y, const REAL *x, ptrdiff_t n) {
    GL_IVDEP
    for (ptrdiff_t i = 0; i < n; i++) y[i] = FN(sigmoid_)(x[i]);
}

static void FN(sigmoid_backward)(REAL *dx, const REAL *dy, const REAL *y, ptrdiff_t n) {
    GL_IVDEP
    for (ptrdiff_t i = 0; i < n; i++) dx[i] = dy[i] * y[i] * (1 - y[i]);
}
