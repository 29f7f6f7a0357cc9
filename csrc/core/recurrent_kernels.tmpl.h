// One step of one sample: the gates from the projected input, which is in y or trace already, and
// from u = h' wh. Then the state moves on. Each activation has a loop of its own, over what the
// first cache holds: gcc vectorises those, and none that has two in it.

static inline void FN(add_to)(REAL *y, const REAL *x, ptrdiff_t n) {
    GL_IVDEP
    for (ptrdiff_t k = 0; k < n; k++) y[k] += x[k];
}

static void FN(rnn_step)(REAL *y, REAL *h, const REAL *u, int relu, ptrdiff_t H) {
    FN(add_to)(y, u, H);
    if (relu)
        FN(relu)(y, y, H);
    else
        FN(tanh_map)(y, y, H);
    memcpy(h, y, (size_t)H * sizeof(REAL));
}

// The state is h, c; the trace i, f, g, o, c.
static void FN(lstm_step)(REAL *y, REAL *state, REAL *trace, const REAL *u, ptrdiff_t H) {
    REAL *i = trace, *f = i + H, *g = f + H, *o = g + H, *c = o + H;
    FN(add_to)(trace, u, 4*H);
    FN(sigmoid)(i, i, 2*H);
    FN(tanh_map)(g, g, H);
    FN(sigmoid)(o, o, H);
    GL_IVDEP
    for (ptrdiff_t k = 0; k < H; k++) c[k] = state[H + k] = f[k] * state[H + k] + i[k] * g[k];
    FN(tanh_map)(y, c, H);
    GL_IVDEP
    for (ptrdiff_t k = 0; k < H; k++) y[k] = state[k] = o[k] * y[k];
}

// The trace is r, z, n and m = u_n + bias_hidden.
static void FN(gru_step)(REAL *y, REAL *h, REAL *trace, const REAL *u, const REAL *bias_hidden,
                         ptrdiff_t H) {
    REAL *r = trace, *z = r + H, *n = z + H, *m = n + H;
    FN(add_to)(trace, u, 2*H);
    FN(sigmoid)(r, r, 2*H);
    GL_IVDEP
    for (ptrdiff_t k = 0; k < H; k++) {
        m[k] = u[2*H + k] + bias_hidden[k];
        n[k] += r[k] * m[k];
    }
    FN(tanh_map)(n, n, H);
    GL_IVDEP
    for (ptrdiff_t k = 0; k < H; k++) y[k] = h[k] = (1 - z[k]) * n[k] + z[k] * h[k];
}

// Backward, da and du are the gradients of a = x wx + bias and of u. The gradient of the state goes
// one step back in time, but for what flows through u: that is added by a product.

static void FN(rnn_step_backward)(REAL *da, const REAL *dh, const REAL *y, int relu, ptrdiff_t H) {
    if (relu)
        FN(relu_backward)(da, dh, y, H);
    else
        FN(tanh_backward)(da, dh, y, H);
}

static void FN(lstm_step_backward)(REAL *da, REAL *dstate, const REAL *trace, const REAL *c_before,
                                   ptrdiff_t H) {
    FN(tanh_map)(da, trace + 4*H, H);
    GL_IVDEP
    for (ptrdiff_t k = 0; k < H; k++) {
        const REAL i = trace[k], f = trace[H + k], g = trace[2*H + k], o = trace[3*H + k];
        const REAL dh = dstate[k], tanh_c = da[k];

        // forward: h = o * tanh(c), c = f * c' + i * g
        const REAL dc = dstate[H + k] + dh * o * (1 - tanh_c * tanh_c);
        da[k] = dc * g * i * (1 - i);
        da[H + k] = dc * c_before[k] * f * (1 - f);
        da[2*H + k] = dc * i * (1 - g * g);
        da[3*H + k] = dh * tanh_c * o * (1 - o);
        dstate[H + k] = dc * f;
    }
}

static void FN(gru_step_backward)(REAL *da, REAL *du, REAL *dh, const REAL *trace,
                                  const REAL *h_before, ptrdiff_t H) {
    GL_IVDEP
    for (ptrdiff_t k = 0; k < H; k++) {
        const REAL r = trace[k], z = trace[H + k], n = trace[2*H + k], m = trace[3*H + k];
        const REAL d = dh[k];

        // forward: h = (1 - z) * n + z * h', n = tanh(a_n + r * m)
        const REAL dn = d * (1 - z) * (1 - n * n);
        const REAL dr = dn * m * r * (1 - r), dz = d * (h_before[k] - n) * z * (1 - z);
        da[k] = du[k] = dr;
        da[H + k] = du[H + k] = dz;
        da[2*H + k] = dn;
        du[2*H + k] = dn * r;
        dh[k] = d * z;
    }
}
