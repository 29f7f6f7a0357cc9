// Forward, a task is a sample. Backward has three passes: wo by head, the samples, wqkv by head; so
// every sum runs in one order, whatever the number of threads.

typedef struct {
    const FN(gl_gated_heads) *a;
    char *work;         // scratch of the workers
    ptrdiff_t scratch;  // bytes a worker
    REAL *m;            // (3, B, T, C) what q, k, v were projected from; (1, ...) without shift
    REAL *dqkv;         // (B, T, 3, H, D)
    REAL *partial;      // (B, 5, C) a sample's share of dnorm_weight, dnorm_bias, dshift
} FN(heads_job);

static ptrdiff_t FN(rows_of)(const FN(gl_gated_heads) *a, ptrdiff_t b) {
    return a->lengths ? (ptrdiff_t)a->lengths[b] : a->T;
}

static int FN(any_open)(const REAL *gate, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++)
        if (gate[i] != 0) return 1;
    return 0;
}

// Attention of one sample over its split projections.
static FN(gl_attention) FN(sample_attention)(const FN(gl_gated_heads) *a, ptrdiff_t b, ptrdiff_t T,
                                             REAL *qkv, REAL *out, REAL *lse) {
    const ptrdiff_t HD = a->H * a->D, row = 3*HD, head = a->D;
    return (FN(gl_attention)){
        .B = 1, .H = a->H, .G = a->H, .Tq = T, .Tk = T, .D = a->D, .E = a->D,
        .q = {qkv, 0, head, row}, .k = {qkv + HD, 0, head, row}, .v = {qkv + 2*HD, 0, head, row},
        .scale = a->scale, .left = -1, .right = a->causal ? 0 : -1, .gate = a->gate + b*a->H,
        .out = {out, 0, a->D, HD}, .lse = lse,
    };
}

static void FN(heads_forward_sample)(void *arg, ptrdiff_t b, int worker) {
    const FN(heads_job) *j = arg;
    const FN(gl_gated_heads) *a = j->a;
    const ptrdiff_t T = FN(rows_of)(a, b), C = a->C, H = a->H, D = a->D, HD = H*D;
    const REAL *gate = a->gate + b*H;
    const REAL *x = a->x + b*a->T*C;
    REAL *y = a->y + b*a->T*C;
    if (y != x) memcpy(y, x, (size_t)(a->T*C) * sizeof(REAL));
    if (T == 0 || !FN(any_open)(gate, H)) return;

    char *cursor = j->work + worker*j->scratch;
    REAL *n = gl_carve(&cursor, a->T*C, sizeof(REAL));
    REAL *m = gl_carve(&cursor, a->T*C, sizeof(REAL));
    REAL *mean = gl_carve(&cursor, a->T, sizeof(REAL));
    REAL *rstd = gl_carve(&cursor, a->T, sizeof(REAL));
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

    // q, k and v of the open heads, each run of neighbours as one product
    for (ptrdiff_t p = 0; p < 3; p++) {
        if (a->shift) GL_K(token_shift)(m, n, a->shift + p*C, T, C);
        const REAL *w = a->wqkv + p*C*HD;
        FOR_RUNS(h0, h1, gate, 1, H) {
            REAL *to = qkv + p*HD + h0*D;
            FN(gl_gemm)(0, 0, T, (h1 - h0)*D, C, a->shift ? m : n, C, w + h0*D, HD, 0, to, 3*HD);
            for (ptrdiff_t h = 0; a->cosine && p < 2 && h < h1 - h0; h++)
                GL_K(rotate)(to + h*D, 3*HD, a->cosine, a->sine, 0, T, D);
        }
    }

    // lse rows are a->T apart, so its heads cannot be read with T rows: point at each in turn
    for (ptrdiff_t h = 0; h < H; h++) {
        if (gate[h] == 0) continue;
        FN(gl_attention) att = FN(sample_attention)(a, b, T, qkv, out, NULL);
        if (lse) att.lse = lse + h*(a->T - T);
        for (ptrdiff_t q0 = 0; q0 < T; q0 += GL_ATTENTION_QUERY_BLOCK)
            GL_K(attention_forward_block)(&att, 0, h, q0, cursor);
    }

    FOR_RUNS(h0, h1, gate, 1, H)
        FN(gl_gemm)(0, 0, T, C, (h1 - h0)*D, out + h0*D, HD, a->wo + h0*D*C, C, 1, y, C);
}

ptrdiff_t FN(gl_gated_heads_forward_workspace)(const FN(gl_gated_heads) *a, int nth) {
    const ptrdiff_t item = sizeof(REAL), HD = gl_size_mul(a->H, a->D);
    ptrdiff_t n = gl_size_mul(2, gl_carve_size(gl_size_mul(a->T, a->C), item));
    n = gl_size_add(n, gl_size_mul(2, gl_carve_size(a->T, item)));
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

// A head's rows of wo, over the samples that have it open.
static void FN(heads_wo_task)(void *arg, ptrdiff_t h, int worker) {
    (void)worker;
    const FN(gl_gated_heads) *a = ((const FN(heads_job) *)arg)->a;
    const ptrdiff_t T = a->T, C = a->C, H = a->H, D = a->D;
    REAL *dwo = a->dwo + h*D*C;
    FOR_RUNS(b0, b1, a->gate + h, H, a->B) {
        // forward: y = x + out wo; samples side by side are one product unless lengths part them
        const ptrdiff_t step = a->lengths ? 1 : b1 - b0;
        for (ptrdiff_t b = b0; b < b1; b += step) {
            const ptrdiff_t rows = a->lengths ? FN(rows_of)(a, b) : step*T;
            if (rows > 0)
                FN(gl_gemm)(1, 0, D, C, rows, a->out + (b*T*H + h)*D, H*D, a->dy + b*T*C, C, 1,
                            dwo, C);
        }
    }
}

// A head's columns of wq, wk or wv, likewise.
static void FN(heads_wqkv_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(heads_job) *j = arg;
    const FN(gl_gated_heads) *a = j->a;
    const ptrdiff_t T = a->T, C = a->C, H = a->H, D = a->D, HD = H*D;
    const ptrdiff_t h = task % H, p = task / H;
    const REAL *m = j->m + (a->shift ? p*a->B*T*C : 0);
    REAL *dw = a->dwqkv + p*C*HD + h*D;
    FOR_RUNS(b0, b1, a->gate + h, H, a->B) {
        const ptrdiff_t step = a->lengths ? 1 : b1 - b0;
        for (ptrdiff_t b = b0; b < b1; b += step) {
            // forward: q = m wq
            const ptrdiff_t rows = a->lengths ? FN(rows_of)(a, b) : step*T;
            if (rows > 0)
                FN(gl_gemm)(1, 0, C, D, rows, m + b*T*C, C, j->dqkv + (b*T*3 + p)*HD + h*D, 3*HD, 1,
                            dw, HD);
        }
    }
}

static void FN(heads_backward_sample)(void *arg, ptrdiff_t b, int worker) {
    const FN(heads_job) *j = arg;
    const FN(gl_gated_heads) *a = j->a;
    const ptrdiff_t T = FN(rows_of)(a, b), C = a->C, H = a->H, D = a->D, HD = H*D;
    const REAL *gate = a->gate + b*H;
    const REAL *x = a->x + b*a->T*C, *dy = a->dy + b*a->T*C;
    REAL *dx = a->dx + b*a->T*C;
    REAL *partial = j->partial + b*5*C;
    memset(partial, 0, (size_t)(5*C) * sizeof(REAL));
    memset(a->dgate + b*H, 0, (size_t)H * sizeof(REAL));
    if (dx != dy) memcpy(dx, dy, (size_t)(a->T*C) * sizeof(REAL));
    if (T == 0 || !FN(any_open)(gate, H)) return;

    char *cursor = j->work + worker*j->scratch;
    REAL *n = gl_carve(&cursor, a->T*C, sizeof(REAL));
    REAL *dn = gl_carve(&cursor, a->T*C, sizeof(REAL));
    REAL *dm = gl_carve(&cursor, 3*a->T*C, sizeof(REAL));
    REAL *dout = gl_carve(&cursor, a->T*HD, sizeof(REAL));
    REAL *mean = gl_carve(&cursor, a->T, sizeof(REAL));
    REAL *rstd = gl_carve(&cursor, a->T, sizeof(REAL));
    REAL *qkv = a->qkv + b*a->T*3*HD, *dqkv = j->dqkv + b*a->T*3*HD;

    // the normalised and the shifted input again: cheaper to compute than to keep
    const ptrdiff_t all = a->B*a->T*C;
    REAL *m = j->m + b*a->T*C;
    GL_K(layer_norm_rows)(n, mean, rstd, x, a->norm_weight, a->norm_bias, a->eps, T, C);
    for (ptrdiff_t p = 0; a->shift && p < 3; p++)
        GL_K(token_shift)(m + p*all, n, a->shift + p*C, T, C);
    if (!a->shift) memcpy(m, n, (size_t)(T*C) * sizeof(REAL));

    // forward: y = x + out wo
    FOR_RUNS(h0, h1, gate, 1, H)
        FN(gl_gemm)(0, 1, T, (h1 - h0)*D, C, dy, C, a->wo + h0*D*C, C, 0, dout + h0*D, HD);

    for (ptrdiff_t h = 0; h < H; h++) {
        if (gate[h] == 0) continue;
        FN(gl_attention) att = FN(sample_attention)(a, b, T, qkv, a->out + b*a->T*HD, NULL);
        att.lse = a->lse + b*H*a->T + h*(a->T - T);
        att.dout = (FN(gl_heads_in)){dout, 0, D, HD};
        att.dq = (FN(gl_heads_out)){dqkv, 0, D, 3*HD};
        att.dk = (FN(gl_heads_out)){dqkv + HD, 0, D, 3*HD};
        att.dv = (FN(gl_heads_out)){dqkv + 2*HD, 0, D, 3*HD};
        att.dgate = a->dgate + b*H;
        GL_K(attention_backward_head)(&att, 0, h, cursor);
        for (ptrdiff_t p = 0; a->cosine && p < 2; p++)
            GL_K(rotate)(dqkv + p*HD + h*D, 3*HD, a->cosine, a->sine, 1, T, D);
    }

    // forward: q, k, v = m_q wq, m_k wk, m_v wv; without shift the three sum up in dn
    for (ptrdiff_t p = 0, added = 0; p < 3; p++) {
        const REAL *w = a->wqkv + p*C*HD;
        REAL *to = a->shift ? dm + p*T*C : dn;
        if (a->shift) added = 0;
        FOR_RUNS(h0, h1, gate, 1, H) {
            FN(gl_gemm)(0, 1, T, C, (h1 - h0)*D, dqkv + p*HD + h0*D, 3*HD, w + h0*D, HD,
                        (REAL)added, to, C);
            added = 1;
        }
    }
    if (a->shift) GL_K(token_shift_backward)(dn, partial + 2*C, dm, n, a->shift, T, C);

    // forward: y = x + f(layer_norm(x)), and dx holds dy already
    GL_K(layer_norm_rows_backward)(dx, partial, partial + C, dn, x, mean, rstd, a->norm_weight, 1, T,
                                   C);
}

static ptrdiff_t FN(heads_backward_scratch)(const FN(gl_gated_heads) *a) {
    const ptrdiff_t item = sizeof(REAL), HD = gl_size_mul(a->H, a->D);
    const ptrdiff_t TC = gl_size_mul(a->T, a->C);
    ptrdiff_t n = gl_size_mul(2, gl_carve_size(TC, item));
    n = gl_size_add(n, gl_carve_size(gl_size_mul(3, TC), item));
    n = gl_size_add(n, gl_carve_size(gl_size_mul(a->T, HD), item));
    n = gl_size_add(n, gl_size_mul(2, gl_carve_size(a->T, item)));
    return gl_size_add(n, GL_K(attention_backward_scratch)(a->D, a->D));
}

ptrdiff_t FN(gl_gated_heads_backward_workspace)(const FN(gl_gated_heads) *a, int nth) {
    const ptrdiff_t item = sizeof(REAL), BT = gl_size_mul(a->B, a->T);
    ptrdiff_t n = gl_size_mul(FN(heads_backward_scratch)(a), nth);
    n = gl_size_add(n, gl_carve_size(gl_size_mul(BT, gl_size_mul(3, a->C)), item));
    n = gl_size_add(n, gl_carve_size(gl_size_mul(BT, gl_size_mul(3*a->H, a->D)), item));
    return gl_size_add(n, gl_carve_size(gl_size_mul(a->B, gl_size_mul(5, a->C)), item));
}

void FN(gl_gated_heads_backward)(const FN(gl_gated_heads) *a, void *work, int nth) {
    FN(heads_job) job = {.a = a, .scratch = FN(heads_backward_scratch)(a)};
    char *cursor = work;
    job.m = gl_carve(&cursor, 3*a->B*a->T*a->C, sizeof(REAL));
    job.dqkv = gl_carve(&cursor, a->B*a->T*3*a->H*a->D, sizeof(REAL));
    job.partial = gl_carve(&cursor, a->B*5*a->C, sizeof(REAL));
    job.work = cursor;

    // wo first: the samples may write dx over dy
    if (a->B == 0) return;
    gl_pool_run(FN(heads_wo_task), &job, a->H, nth);
    gl_pool_run(FN(heads_backward_sample), &job, a->B, nth);
    gl_pool_run(FN(heads_wqkv_task), &job, 3*a->H, nth);
    for (ptrdiff_t b = 0; b < a->B; b++) {
        const REAL *partial = job.partial + b*5*a->C;
        for (ptrdiff_t c = 0; c < a->C; c++) {
            a->dnorm_weight[c] += partial[c];
            a->dnorm_bias[c] += partial[a->C + c];
        }
        for (ptrdiff_t c = 0; a->shift && c < 3*a->C; c++) a->dshift[c] += partial[2*a->C + c];
    }
}
