// Forward, a task is a block of rows. Backward, blocks of rows down to the hidden layer, then blocks
// of hidden columns of both weights, then blocks of rows again: every sum runs in one order, whatever
// the number of threads, and dy is not read once dx, which may be dy, is written.

typedef struct {
    const FN(gl_gated_mlp) *a;
    char *work;         // scratch of the workers
    ptrdiff_t scratch;  // bytes a worker
    ptrdiff_t blocks;   // row blocks a sample
    REAL *n;            // (B, T, C) backward: the normalised input
    REAL *u;            // (B, T, F) gate * gelu(hidden)
    REAL *dhidden;      // (B, T, F)
    REAL *mean, *rstd;  // (B, T)
    REAL *partial;      // (B, blocks, 2C + 1) a block's share of dnorm_weight, dnorm_bias, dgate
} FN(mlp_job);

// Rows of a block that count.
static ptrdiff_t FN(block_rows)(const FN(gl_gated_mlp) *a, ptrdiff_t b, ptrdiff_t t0) {
    const ptrdiff_t T = a->lengths ? (ptrdiff_t)a->lengths[b] : a->T;
    return GL_MAX(0, GL_MIN(ROWS, T - t0));
}

static void FN(mlp_forward_block)(void *arg, ptrdiff_t task, int worker) {
    const FN(mlp_job) *j = arg;
    const FN(gl_gated_mlp) *a = j->a;
    const ptrdiff_t b = task / j->blocks, t0 = task % j->blocks * ROWS;
    const ptrdiff_t rows = FN(block_rows)(a, b, t0), C = a->C, F = a->F;
    const REAL *x = a->x + (b*a->T + t0)*C;
    REAL *y = a->y + (b*a->T + t0)*C;
    const REAL gate = a->gate[b];
    if (y != x) memcpy(y, x, (size_t)(GL_MIN(ROWS, a->T - t0)*C) * sizeof(REAL));
    if (gate == 0 || rows == 0) return;

    char *cursor = j->work + worker*j->scratch;
    REAL *n = gl_carve(&cursor, ROWS*C, sizeof(REAL));
    REAL *u = gl_carve(&cursor, ROWS*F, sizeof(REAL));
    REAL *stat = gl_carve(&cursor, 2*ROWS, sizeof(REAL));
    REAL *hidden = a->hidden ? a->hidden + (b*a->T + t0)*F : u;

    GL_K(layer_norm_rows)(n, stat, stat + ROWS, x, a->norm_weight, a->norm_bias, a->eps, rows, C);
    FN(gl_gemm)(0, 0, rows, F, C, n, C, a->w1, F, 0, hidden, F);
    GL_K(gelu)(u, hidden, rows*F);
    if (gate != 1)
        for (ptrdiff_t i = 0; i < rows*F; i++) u[i] *= gate;
    FN(gl_gemm)(0, 0, rows, C, F, u, F, a->w2, C, 1, y, C);
}

ptrdiff_t FN(gl_gated_mlp_forward_workspace)(const FN(gl_gated_mlp) *a, int nth) {
    const ptrdiff_t item = sizeof(REAL);
    ptrdiff_t n = gl_carve_size(gl_size_mul(ROWS, a->C), item);
    n = gl_size_add(n, gl_carve_size(gl_size_mul(ROWS, a->F), item));
    return gl_size_mul(gl_size_add(n, gl_carve_size(2*ROWS, item)), nth);
}

void FN(gl_gated_mlp_forward)(const FN(gl_gated_mlp) *a, void *work, int nth) {
    FN(mlp_job) job = {.a = a, .work = work, .blocks = GL_CEIL_DIV(a->T, ROWS),
                       .scratch = FN(gl_gated_mlp_forward_workspace)(a, 1)};
    gl_pool_run(FN(mlp_forward_block), &job, a->B * job.blocks, nth);
}

static void FN(mlp_backward_hidden)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(mlp_job) *j = arg;
    const FN(gl_gated_mlp) *a = j->a;
    const ptrdiff_t b = task / j->blocks, t0 = task % j->blocks * ROWS, at = b*a->T + t0;
    const ptrdiff_t rows = FN(block_rows)(a, b, t0), C = a->C, F = a->F;
    const REAL *hidden = a->hidden + at*F;
    REAL *n = j->n + at*C, *u = j->u + at*F, *dhidden = j->dhidden + at*F;
    REAL *partial = j->partial + task*(2*C + 1);
    const REAL gate = a->gate[b];
    memset(partial, 0, (size_t)(2*C + 1) * sizeof(REAL));
    if (gate == 0 || rows == 0) return;

    GL_K(layer_norm_rows)(n, j->mean + at, j->rstd + at, a->x + at*C, a->norm_weight, a->norm_bias,
                          a->eps, rows, C);
    GL_K(gelu)(u, hidden, rows*F);
    // forward: y = x + gate * u w2
    FN(gl_gemm)(0, 1, rows, F, C, a->dy + at*C, C, a->w2, C, 0, dhidden, F);
    for (ptrdiff_t r = 0; r < rows; r++) partial[2*C] += GL_K(dot)(u + r*F, dhidden + r*F, F);
    if (gate != 1)
        for (ptrdiff_t i = 0; i < rows*F; i++) {
            u[i] *= gate;
            dhidden[i] *= gate;
        }
    // forward: u = gelu(hidden)
    GL_K(gelu_backward)(dhidden, dhidden, hidden, rows*F);
}

static void FN(mlp_backward_input)(void *arg, ptrdiff_t task, int worker) {
    const FN(mlp_job) *j = arg;
    const FN(gl_gated_mlp) *a = j->a;
    const ptrdiff_t b = task / j->blocks, t0 = task % j->blocks * ROWS, at = b*a->T + t0;
    const ptrdiff_t rows = FN(block_rows)(a, b, t0), C = a->C, F = a->F;
    REAL *dx = a->dx + at*C, *partial = j->partial + task*(2*C + 1);
    const REAL *dy = a->dy + at*C;
    const ptrdiff_t kept = a->gate[b] == 0 ? 0 : rows, all = GL_MIN(ROWS, a->T - t0);
    if (dx != dy) memcpy(dx + kept*C, dy + kept*C, (size_t)((all - kept)*C) * sizeof(REAL));
    if (kept == 0) return;

    // forward: hidden = n w1
    char *cursor = j->work + worker*j->scratch;
    REAL *dn = gl_carve(&cursor, ROWS*C, sizeof(REAL));
    FN(gl_gemm)(0, 1, rows, C, F, j->dhidden + at*F, F, a->w1, F, 0, dn, C);
    // forward: y = x + f(layer_norm(x))
    GL_K(layer_norm_rows_backward)(dx, partial, partial + C, dn, a->x + at*C, j->mean + at,
                                   j->rstd + at, a->norm_weight, dy, rows, C);
}

// Columns of w1 and rows of w2, over the samples that are open; even tasks w1, odd ones w2.
static void FN(mlp_weight_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(mlp_job) *j = arg;
    const FN(gl_gated_mlp) *a = j->a;
    const ptrdiff_t T = a->T, C = a->C, F = a->F;
    const ptrdiff_t f0 = task/2*COLUMNS, wide = GL_MIN(COLUMNS, F - f0);
    FOR_RUNS(b0, b1, a->gate, 1, a->B) {
        // samples side by side are one product unless lengths part them
        const ptrdiff_t step = a->lengths ? 1 : b1 - b0;
        for (ptrdiff_t b = b0; b < b1; b += step) {
            const ptrdiff_t rows = a->lengths ? (ptrdiff_t)a->lengths[b] : step*T;
            if (rows == 0) continue;
            if (task % 2 == 0)
                FN(gl_gemm)(1, 0, C, wide, rows, j->n + b*T*C, C, j->dhidden + b*T*F + f0, F, 1,
                            a->dw1 + f0, F);
            else
                FN(gl_gemm)(1, 0, wide, C, rows, j->u + b*T*F + f0, F, a->dy + b*T*C, C, 1,
                            a->dw2 + f0*C, C);
        }
    }
}

static ptrdiff_t FN(mlp_backward_scratch)(const FN(gl_gated_mlp) *a) {
    return gl_carve_size(gl_size_mul(ROWS, a->C), sizeof(REAL));
}

ptrdiff_t FN(gl_gated_mlp_backward_workspace)(const FN(gl_gated_mlp) *a, int nth) {
    const ptrdiff_t item = sizeof(REAL), BT = gl_size_mul(a->B, a->T);
    const ptrdiff_t blocks = gl_size_mul(a->B, GL_CEIL_DIV(a->T, ROWS));
    ptrdiff_t n = gl_size_mul(FN(mlp_backward_scratch)(a), nth);
    n = gl_size_add(n, gl_carve_size(gl_size_mul(BT, a->C), item));
    n = gl_size_add(n, gl_size_mul(2, gl_carve_size(gl_size_mul(BT, a->F), item)));
    n = gl_size_add(n, gl_size_mul(2, gl_carve_size(BT, item)));
    return gl_size_add(n, gl_carve_size(gl_size_mul(blocks, 2*a->C + 1), item));
}

void FN(gl_gated_mlp_backward)(const FN(gl_gated_mlp) *a, void *work, int nth) {
    const ptrdiff_t BT = a->B*a->T, C = a->C, F = a->F;
    FN(mlp_job) job = {.a = a, .blocks = GL_CEIL_DIV(a->T, ROWS),
                       .scratch = FN(mlp_backward_scratch)(a)};
    char *cursor = work;
    job.n = gl_carve(&cursor, BT*C, sizeof(REAL));
    job.u = gl_carve(&cursor, BT*F, sizeof(REAL));
    job.dhidden = gl_carve(&cursor, BT*F, sizeof(REAL));
    job.mean = gl_carve(&cursor, BT, sizeof(REAL));
    job.rstd = gl_carve(&cursor, BT, sizeof(REAL));
    job.partial = gl_carve(&cursor, a->B*job.blocks*(2*C + 1), sizeof(REAL));
    job.work = cursor;

    gl_pool_run(FN(mlp_backward_hidden), &job, a->B * job.blocks, nth);
    gl_pool_run(FN(mlp_weight_task), &job, 2*GL_CEIL_DIV(F, COLUMNS), nth);
    gl_pool_run(FN(mlp_backward_input), &job, a->B * job.blocks, nth);
    for (ptrdiff_t b = 0; b < a->B; b++) {
        a->dgate[b] = 0;
        for (ptrdiff_t i = 0; i < job.blocks; i++) {
            const REAL *partial = job.partial + (b*job.blocks + i)*(2*C + 1);
            for (ptrdiff_t c = 0; c < C; c++) {
                a->dnorm_weight[c] += partial[c];
                a->dnorm_bias[c] += partial[C + c];
            }
            a->dgate[b] += partial[2*C];
        }
    }
}
