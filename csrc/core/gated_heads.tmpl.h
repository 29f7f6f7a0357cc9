// Forward, a task is a sample. Backward, a task is a chunk of samples, one after the other, which
// adds to a share of the parameters' gradients while all that it needs is in cache; the shares are
// added up chunk by chunk. So every sum runs in one order, whatever the number of threads.

typedef struct {
    const FN(gl_gated_heads) *a;
    char *work;         // scratch of the workers
    ptrdiff_t scratch;  // bytes a worker
    ptrdiff_t samples;  // of a chunk
    ptrdiff_t chunks;
    REAL *shares;       // (chunks, share_size)
} FN(heads_job);

// What one chunk adds to the gradients of the parameters.
typedef struct {
    REAL *dwqkv, *dwo;                         // (3, C, H, D), (H, D, C)
    REAL *begun;                               // (H,) 0 where nothing is in them yet
    REAL *dnorm_weight, *dnorm_bias, *dshift;  // (C,), (C,), (3, C)
} FN(heads_share);

static ptrdiff_t FN(share_size)(const FN(gl_gated_heads) *a) {
    const ptrdiff_t weights = gl_size_mul(gl_size_mul(4, a->C), gl_size_mul(a->H, a->D));
    return gl_size_add(gl_size_add(weights, gl_size_mul(5, a->C)), a->H);
}

static FN(heads_share) FN(share_of)(const FN(heads_job) *j, ptrdiff_t chunk) {
    const ptrdiff_t C = j->a->C, HD = j->a->H*j->a->D;
    REAL *dw = j->shares + chunk*FN(share_size)(j->a), *begun = dw + 4*C*HD, *d = begun + j->a->H;
    return (FN(heads_share)){.dwqkv = dw, .dwo = dw + 3*C*HD, .begun = begun, .dnorm_weight = d,
                             .dnorm_bias = d + C, .dshift = d + 2*C};
}

static ptrdiff_t FN(rows_of)(const FN(gl_gated_heads) *a, ptrdiff_t b) {
    return a->lengths ? (ptrdiff_t)a->lengths[b] : a->T;
}

static int FN(all_equal)(const REAL *x, ptrdiff_t n) {
    for (ptrdiff_t i = 1; i < n; i++)
        if (x[i] != x[0]) return 0;
    return 1;
}

// Columns of the open heads, side by side.
static ptrdiff_t FN(open_width)(const REAL *gate, ptrdiff_t H, ptrdiff_t D) {
    ptrdiff_t wide = 0;
    for (ptrdiff_t h = 0; h < H; h++) wide += gate[h] != 0 ? D : 0;
    return wide;
}

// The open heads of rows of w (N, H, D) side by side, as (N, wide): in `to`, or w where all are.
static const REAL *FN(gather_heads)(REAL *to, const REAL *w, const REAL *gate, ptrdiff_t wide,
                                    ptrdiff_t N, ptrdiff_t H, ptrdiff_t D) {
    if (wide == H*D) return w;
    for (ptrdiff_t h = 0, at = 0; h < H; h++) {
        if (gate[h] == 0) continue;
        for (ptrdiff_t i = 0; i < N; i++)
            memcpy(to + i*wide + at, w + (i*H + h)*D, (size_t)D * sizeof(REAL));
        at += D;
    }
    return to;
}

// Attention of one open head, whose q stands at qkv and whose result goes to out.
static FN(gl_attention) FN(head_attention)(const FN(gl_gated_heads) *a, ptrdiff_t b, ptrdiff_t h,
                                           ptrdiff_t wide, REAL *qkv, REAL *out, REAL *lse) {
    const ptrdiff_t T = FN(rows_of)(a, b), row = 3*wide;
    return (FN(gl_attention)){
        .B = 1, .H = 1, .G = 1, .Tq = T, .Tk = T, .D = a->D, .E = a->D,
        .q = {qkv, 0, 0, row}, .k = {qkv + wide, 0, 0, row}, .v = {qkv + 2*wide, 0, 0, row},
        .scale = a->scale, .left = -1, .right = a->causal ? 0 : -1, .gate = a->gate + b*a->H + h,
        .bias = {a->bias ? a->bias + b*a->T : NULL, 0, 0, 0},
        .out = {out, 0, 0, wide}, .lse = lse,
    };
}

// What belongs to open heads lies side by side, so that each projection is one product.
static void FN(heads_forward_sample)(void *arg, ptrdiff_t b, int worker) {
    const FN(heads_job) *j = arg;
    const FN(gl_gated_heads) *a = j->a;
    const ptrdiff_t T = FN(rows_of)(a, b), C = a->C, H = a->H, D = a->D, HD = H*D;
    const REAL *gate = a->gate + b*H;
    const REAL *x = a->x + b*a->T*C;
    REAL *y = a->y + b*a->T*C;
    const ptrdiff_t wide = T > 0 ? FN(open_width)(gate, H, D) : 0;
    if (y != x) memcpy(y, x, (size_t)(a->T*C) * sizeof(REAL));
    if (wide == 0) return;

    char *cursor = j->work + worker*j->scratch;
    REAL *n = gl_carve(&cursor, a->T*C, sizeof(REAL));
    REAL *m = gl_carve(&cursor, 3*a->T*C, sizeof(REAL));
    REAL *mean = gl_carve(&cursor, a->T, sizeof(REAL));
    REAL *rstd = gl_carve(&cursor, a->T, sizeof(REAL));
    REAL *gathered = gl_carve(&cursor, C*HD, sizeof(REAL));
    REAL *qkv = NULL, *out = NULL, *lse = NULL;
    if (a->qkv) {
        qkv = a->qkv + b*a->T*3*HD;
        out = a->out + b*a->T*HD;
        lse = a->lse + b*H*a->T;
    } else {
        qkv = gl_carve(&cursor, a->T*3*HD, sizeof(REAL));
        out = gl_carve(&cursor, a->T*HD, sizeof(REAL));
    }

    GL_K(layer_norm_rows)(n, mean, rstd, x, a->norm_weight, a->norm_bias, a->eps, T, C);
    if (a->shift) GL_K(token_shift)(m, n, a->shift, a->T, T, C);

    for (ptrdiff_t p = 0; p < 3; p++) {
        const REAL *m_p = a->shift ? m + p*a->T*C : n;
        const REAL *w = FN(gather_heads)(gathered, a->wqkv + p*C*HD, gate, wide, C, H, D);
        FN(gl_gemm)(0, 0, T, wide, C, m_p, C, w, wide, 0, qkv + p*wide, 3*wide);
    }

    for (ptrdiff_t h = 0, at = 0; h < H; h++) {
        if (gate[h] == 0) continue;
        for (ptrdiff_t p = 0; a->cosine && p < 2; p++)
            GL_K(rotate)(qkv + p*wide + at, 3*wide, a->cosine, a->sine, 0, T, D);
        const FN(gl_attention) att = FN(head_attention)(a, b, h, wide, qkv + at, out + at,
                                                        lse ? lse + h*a->T : NULL);
        for (ptrdiff_t q0 = 0; q0 < T; q0 += GL_ATTENTION_QUERY_BLOCK)
            GL_K(attention_forward_block)(&att, 0, 0, q0, cursor);
        at += D;
    }

    const REAL *w = FN(gather_heads)(gathered, a->wo, gate, wide*C, 1, H, D*C);
    FN(gl_gemm)(0, 0, T, C, wide, out, wide, w, C, 1, y, C);
}

ptrdiff_t FN(gl_gated_heads_forward_workspace)(const FN(gl_gated_heads) *a, int nth) {
    const ptrdiff_t item = sizeof(REAL), HD = gl_size_mul(a->H, a->D);
    const ptrdiff_t TC = gl_size_mul(a->T, a->C);
    ptrdiff_t n = gl_size_add(gl_carve_size(TC, item), gl_carve_size(gl_size_mul(3, TC), item));
    n = gl_size_add(n, gl_size_mul(2, gl_carve_size(a->T, item)));
    n = gl_size_add(n, gl_carve_size(gl_size_mul(a->C, HD), item));
    if (!a->qkv) {
        n = gl_size_add(n, gl_carve_size(gl_size_mul(a->T, gl_size_mul(3, HD)), item));
        n = gl_size_add(n, gl_carve_size(gl_size_mul(a->T, HD), item));
    }
    n = gl_size_add(n, GL_K(attention_forward_scratch)(a->D, a->D));
    return gl_size_mul(n, nth);
}

void FN(gl_gated_heads_forward)(const FN(gl_gated_heads) *a, void *work, int nth) {
    FN(heads_job) job = {.a = a, .work = work,
                         .scratch = FN(gl_gated_heads_forward_workspace)(a, 1)};
    gl_pool_run(FN(heads_forward_sample), &job, a->B, nth);
}

// Samples of a chunk: rows enough that adding up the chunks' gradients costs little beside them.
static ptrdiff_t FN(chunk_samples)(const FN(gl_gated_heads) *a) {
    return GL_MAX(GL_CEIL_DIV(a->B, CHUNKS), GL_CEIL_DIV(CHUNK_ROWS, GL_MAX(1, a->T)));
}

// Bring these back to where they came from: added where `begun` is not 0, else the first to come.
static void FN(scatter_heads)(REAL *w, const REAL *from, const REAL *gate, const REAL *begun,
                              ptrdiff_t wide, ptrdiff_t N, ptrdiff_t H, ptrdiff_t D) {
    for (ptrdiff_t h = 0; h < H; h++) {
        if (gate[h] == 0) continue;
        for (ptrdiff_t i = 0; i < N; i++) {
            REAL *to = w + (i*H + h)*D;
            const REAL *row = from + i*wide;
            if (begun[h] == 0)
                memcpy(to, row, (size_t)D * sizeof(REAL));
            else
                for (ptrdiff_t d = 0; d < D; d++) to[d] += row[d];
        }
        from += D;
    }
}

static void FN(heads_backward_sample)(const FN(heads_job) *j, ptrdiff_t b, FN(heads_share) share,
                                      char *cursor) {
    const FN(gl_gated_heads) *a = j->a;
    const ptrdiff_t T = FN(rows_of)(a, b), C = a->C, H = a->H, D = a->D, HD = H*D;
    const REAL *gate = a->gate + b*H;
    const REAL *x = a->x + b*a->T*C, *dy = a->dy + b*a->T*C;
    REAL *dx = a->dx + b*a->T*C;
    REAL *qkv = a->qkv + b*a->T*3*HD, *out = a->out + b*a->T*HD;
    const ptrdiff_t wide = FN(open_width)(gate, H, D);
    // with all heads open, the products may go straight to where they are added up
    const int straight = wide == HD && FN(all_equal)(share.begun, H);
    const REAL begun = straight ? share.begun[0] : 0;

    REAL *n = gl_carve(&cursor, a->T*C, sizeof(REAL));
    REAL *dn = gl_carve(&cursor, a->T*C, sizeof(REAL));
    REAL *m = gl_carve(&cursor, 3*a->T*C, sizeof(REAL));
    REAL *dqkv = gl_carve(&cursor, a->T*3*HD, sizeof(REAL));
    REAL *dout = gl_carve(&cursor, a->T*HD, sizeof(REAL));
    REAL *mean = gl_carve(&cursor, a->T, sizeof(REAL));
    REAL *rstd = gl_carve(&cursor, a->T, sizeof(REAL));
    REAL *gathered = gl_carve(&cursor, C*HD, sizeof(REAL));
    REAL *dw = gl_carve(&cursor, C*HD, sizeof(REAL));

    // forward: y = x + out wo
    const REAL *w = FN(gather_heads)(gathered, a->wo, gate, wide*C, 1, H, D*C);
    FN(gl_gemm)(0, 1, T, wide, C, dy, C, w, C, 0, dout, wide);
    REAL *to = straight ? share.dwo : dw;
    FN(gl_gemm)(1, 0, wide, C, T, out, wide, dy, C, begun, to, C);
    if (!straight) FN(scatter_heads)(share.dwo, dw, gate, share.begun, wide*C, 1, H, D*C);

    for (ptrdiff_t h = 0, at = 0; h < H; h++) {
        if (gate[h] == 0) continue;
        REAL *dq = dqkv + at, *dk = dq + wide, *dv = dk + wide;
        FN(gl_attention) att = FN(head_attention)(a, b, h, wide, qkv + at, out + at,
                                                  a->lse + (b*H + h)*a->T);
        att.dout = (FN(gl_heads_in)){dout + at, 0, 0, wide};
        att.dq = (FN(gl_heads_out)){dq, 0, 0, 3*wide};
        att.dk = (FN(gl_heads_out)){dk, 0, 0, 3*wide};
        att.dv = (FN(gl_heads_out)){dv, 0, 0, 3*wide};
        att.dgate = a->dgate + b*H + h;
        att.dkey_bias = a->dbias ? a->dbias + b*a->T : NULL;
        GL_K(attention_backward_head)(&att, 0, 0, cursor);
        if (a->cosine) {
            GL_K(rotate)(dq, 3*wide, a->cosine, a->sine, 1, T, D);
            GL_K(rotate)(dk, 3*wide, a->cosine, a->sine, 1, T, D);
        }
        at += D;
    }

    // the normalised and the shifted input again: cheaper to compute than to keep
    GL_K(layer_norm_rows)(n, mean, rstd, x, a->norm_weight, a->norm_bias, a->eps, T, C);
    if (a->shift) GL_K(token_shift)(m, n, a->shift, a->T, T, C);

    // forward: q, k, v = m_q wq, m_k wk, m_v wv; without shift the three sum up in dn
    for (ptrdiff_t p = 0; p < 3; p++) {
        REAL *m_p = a->shift ? m + p*a->T*C : n;
        to = straight ? share.dwqkv + p*C*HD : dw;
        FN(gl_gemm)(1, 0, C, wide, T, m_p, C, dqkv + p*wide, 3*wide, begun, to, wide);
        if (!straight)
            FN(scatter_heads)(share.dwqkv + p*C*HD, dw, gate, share.begun, wide, C, H, D);
        // m_p has served, so its gradient takes its place
        w = FN(gather_heads)(gathered, a->wqkv + p*C*HD, gate, wide, C, H, D);
        FN(gl_gemm)(0, 1, T, C, wide, dqkv + p*wide, 3*wide, w, wide, !a->shift && p > 0,
                    a->shift ? m_p : dn, C);
    }
    for (ptrdiff_t h = 0; h < H; h++)
        if (gate[h] != 0) share.begun[h] = 1;
    if (a->shift) GL_K(token_shift_backward)(dn, share.dshift, m, n, a->shift, a->T, T, C);

    // forward: y = x + f(layer_norm(x))
    GL_K(layer_norm_rows_backward)(dx, share.dnorm_weight, share.dnorm_bias, dn, x, mean, rstd,
                                   a->norm_weight, dy, T, C);
    if (dx != dy) memcpy(dx + T*C, dy + T*C, (size_t)((a->T - T)*C) * sizeof(REAL));
}

static void FN(heads_backward_chunk)(void *arg, ptrdiff_t chunk, int worker) {
    const FN(heads_job) *j = arg;
    const FN(gl_gated_heads) *a = j->a;
    const ptrdiff_t C = a->C, H = a->H, row = a->T*C;
    const ptrdiff_t b0 = chunk*j->samples, b1 = GL_MIN(b0 + j->samples, a->B);
    const FN(heads_share) share = FN(share_of)(j, chunk);
    memset(share.begun, 0, (size_t)(H + 5*C) * sizeof(REAL));
    memset(a->dgate + b0*H, 0, (size_t)((b1 - b0)*H) * sizeof(REAL));
    if (a->dbias) memset(a->dbias + b0*a->T, 0, (size_t)((b1 - b0)*a->T) * sizeof(REAL));

    for (ptrdiff_t b = b0; b < b1; b++) {
        if (FN(rows_of)(a, b) > 0 && FN(open_width)(a->gate + b*H, H, a->D) > 0)
            FN(heads_backward_sample)(j, b, share, j->work + worker*j->scratch);
        else if (a->dx != a->dy)
            memcpy(a->dx + b*row, a->dy + b*row, (size_t)row * sizeof(REAL));
    }
}

// Add up a head's share of the weights, chunk by chunk.
static void FN(heads_sum_head)(void *arg, ptrdiff_t h, int worker) {
    (void)worker;
    const FN(heads_job) *j = arg;
    const FN(gl_gated_heads) *a = j->a;
    const ptrdiff_t C = a->C, H = a->H, D = a->D;
    for (ptrdiff_t chunk = 0; chunk < j->chunks; chunk++) {
        const FN(heads_share) share = FN(share_of)(j, chunk);
        if (share.begun[h] == 0) continue;
        for (ptrdiff_t at = h*D; at < 3*C*H*D; at += H*D)
            for (ptrdiff_t d = 0; d < D; d++) a->dwqkv[at + d] += share.dwqkv[at + d];
        for (ptrdiff_t i = h*D*C; i < (h + 1)*D*C; i++) a->dwo[i] += share.dwo[i];
    }
}

static ptrdiff_t FN(heads_backward_scratch)(const FN(gl_gated_heads) *a) {
    const ptrdiff_t item = sizeof(REAL), HD = gl_size_mul(a->H, a->D);
    const ptrdiff_t TC = gl_size_mul(a->T, a->C);
    ptrdiff_t n = gl_size_mul(2, gl_carve_size(TC, item));
    n = gl_size_add(n, gl_carve_size(gl_size_mul(3, TC), item));
    n = gl_size_add(n, gl_carve_size(gl_size_mul(a->T, gl_size_mul(3, HD)), item));
    n = gl_size_add(n, gl_carve_size(gl_size_mul(a->T, HD), item));
    n = gl_size_add(n, gl_size_mul(2, gl_carve_size(a->T, item)));
    n = gl_size_add(n, gl_size_mul(2, gl_carve_size(gl_size_mul(a->C, HD), item)));
    return gl_size_add(n, GL_K(attention_backward_scratch)(a->D, a->D));
}

ptrdiff_t FN(gl_gated_heads_backward_workspace)(const FN(gl_gated_heads) *a, int nth) {
    const ptrdiff_t chunks = GL_CEIL_DIV(a->B, FN(chunk_samples)(a));
    const ptrdiff_t share = gl_carve_size(FN(share_size)(a), sizeof(REAL));
    return gl_size_add(gl_size_mul(FN(heads_backward_scratch)(a), nth), gl_size_mul(share, chunks));
}

void FN(gl_gated_heads_backward)(const FN(gl_gated_heads) *a, void *work, int nth) {
    const ptrdiff_t samples = FN(chunk_samples)(a), C = a->C;
    FN(heads_job) job = {.a = a, .samples = samples, .chunks = GL_CEIL_DIV(a->B, samples),
                         .scratch = FN(heads_backward_scratch)(a)};
    char *cursor = work;
    job.shares = gl_carve(&cursor, job.chunks*FN(share_size)(a), sizeof(REAL));
    job.work = cursor;

    gl_pool_run(FN(heads_backward_chunk), &job, job.chunks, nth);
    gl_pool_run(FN(heads_sum_head), &job, a->H, nth);
    for (ptrdiff_t chunk = 0; chunk < job.chunks; chunk++) {
        const FN(heads_share) share = FN(share_of)(&job, chunk);
        for (ptrdiff_t c = 0; c < C; c++) {
            a->dnorm_weight[c] += share.dnorm_weight[c];
            a->dnorm_bias[c] += share.dnorm_bias[c];
        }
        for (ptrdiff_t c = 0; a->shift && c < 3*C; c++) a->dshift[c] += share.dshift[c];
    }
}
