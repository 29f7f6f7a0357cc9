// Forward, a task is a block of rows. Backward, a task is a chunk of blocks, one after the other,
// which adds to a share of the parameters' gradients while all that it needs is in cache; the shares
// are added up chunk by chunk. So every sum runs in one order, whatever the number of threads.

typedef struct {
    const FN(gl_gated_mlp) *a;
    char *work;             // scratch of the workers
    ptrdiff_t scratch;      // bytes a worker
    ptrdiff_t blocks;       // row blocks a sample
    ptrdiff_t chunk;        // row blocks a chunk
    ptrdiff_t chunks;
    REAL *shares;           // (chunks, share_size)
    REAL *dgate;            // (B, blocks) a block's share
} FN(mlp_job);

// What one chunk adds to the gradients of the parameters: dw1, dw2, dnorm_weight, dnorm_bias and,
// at the end, whether it does: 0 where all its blocks are closed.
static ptrdiff_t FN(share_size)(const FN(gl_gated_mlp) *a) {
    return gl_size_add(gl_size_mul(2*a->C, gl_size_add(a->F, 1)), 1);
}

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

// Returns the gradient of the gate.
static REAL FN(mlp_backward_block)(const FN(gl_gated_mlp) *a, ptrdiff_t b, ptrdiff_t at,
                                   ptrdiff_t rows, REAL *share, char *cursor) {
    const ptrdiff_t C = a->C, F = a->F;
    const REAL *x = a->x + at*C, *dy = a->dy + at*C, *hidden = a->hidden + at*F;
    REAL *dw1 = share, *dw2 = dw1 + C*F, *dnorm_weight = dw2 + F*C, *dnorm_bias = dnorm_weight + C;
    REAL *begun = dnorm_bias + C;
    const REAL gate = a->gate[b];
    REAL *n = gl_carve(&cursor, ROWS*C, sizeof(REAL));
    REAL *dn = gl_carve(&cursor, ROWS*C, sizeof(REAL));
    REAL *u = gl_carve(&cursor, ROWS*F, sizeof(REAL));
    REAL *dhidden = gl_carve(&cursor, ROWS*F, sizeof(REAL));
    REAL *mean = gl_carve(&cursor, ROWS, sizeof(REAL)), *rstd = gl_carve(&cursor, ROWS, sizeof(REAL));

    GL_K(layer_norm_rows)(n, mean, rstd, x, a->norm_weight, a->norm_bias, a->eps, rows, C);
    GL_K(gelu)(u, hidden, rows*F);
    // forward: y = x + gate * u w2
    FN(gl_gemm)(0, 1, rows, F, C, dy, C, a->w2, C, 0, dhidden, F);
    REAL dgate = 0;
    for (ptrdiff_t r = 0; r < rows; r++) dgate += GL_K(dot)(u + r*F, dhidden + r*F, F);
    if (gate != 1)
        for (ptrdiff_t i = 0; i < rows*F; i++) {
            u[i] *= gate;
            dhidden[i] *= gate;
        }
    FN(gl_gemm)(1, 0, F, C, rows, u, F, dy, C, *begun, dw2, C);
    // forward: u = gelu(hidden), hidden = n w1
    GL_K(gelu_backward)(dhidden, dhidden, hidden, rows*F);
    FN(gl_gemm)(1, 0, C, F, rows, n, C, dhidden, F, *begun, dw1, F);
    FN(gl_gemm)(0, 1, rows, C, F, dhidden, F, a->w1, F, 0, dn, C);
    // forward: y = x + f(layer_norm(x))
    GL_K(layer_norm_rows_backward)(a->dx + at*C, dnorm_weight, dnorm_bias, dn, x, mean, rstd,
                                   a->norm_weight, dy, rows, C);
    *begun = 1;
    return dgate;
}

static void FN(mlp_backward_chunk)(void *arg, ptrdiff_t chunk, int worker) {
    const FN(mlp_job) *j = arg;
    const FN(gl_gated_mlp) *a = j->a;
    const ptrdiff_t C = a->C, first = chunk*j->chunk;
    REAL *share = j->shares + chunk*FN(share_size)(a);
    memset(share + 2*C*a->F, 0, (size_t)(2*C + 1) * sizeof(REAL));
    for (ptrdiff_t i = first; i < GL_MIN(first + j->chunk, a->B*j->blocks); i++) {
        const ptrdiff_t b = i / j->blocks, t0 = i % j->blocks * ROWS, at = b*a->T + t0;
        const ptrdiff_t rows = a->gate[b] == 0 ? 0 : FN(block_rows)(a, b, t0);
        j->dgate[i] = 0;
        if (rows > 0)
            j->dgate[i] = FN(mlp_backward_block)(a, b, at, rows, share,
                                                 j->work + worker*j->scratch);
        if (a->dx != a->dy)
            memcpy(a->dx + (at + rows)*C, a->dy + (at + rows)*C,
                   (size_t)((GL_MIN(ROWS, a->T - t0) - rows)*C) * sizeof(REAL));
    }
}

// Add up a piece of both weights, chunk by chunk.
static void FN(mlp_sum_weights)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(mlp_job) *j = arg;
    const ptrdiff_t C = j->a->C, CF = C*j->a->F, size = FN(share_size)(j->a);
    const ptrdiff_t i0 = task*PIECE, i1 = GL_MIN(i0 + PIECE, CF);
    for (const REAL *share = j->shares; share < j->shares + j->chunks*size; share += size) {
        if (share[size - 1] == 0) continue;
        for (ptrdiff_t i = i0; i < i1; i++) j->a->dw1[i] += share[i];
        for (ptrdiff_t i = i0; i < i1; i++) j->a->dw2[i] += share[CF + i];
    }
}

static ptrdiff_t FN(mlp_backward_scratch)(const FN(gl_gated_mlp) *a) {
    const ptrdiff_t item = sizeof(REAL);
    ptrdiff_t n = gl_size_mul(2, gl_carve_size(gl_size_mul(ROWS, a->C), item));
    n = gl_size_add(n, gl_size_mul(2, gl_carve_size(gl_size_mul(ROWS, a->F), item)));
    return gl_size_add(n, gl_size_mul(2, gl_carve_size(ROWS, item)));
}

static FN(mlp_job) FN(mlp_backward_job)(const FN(gl_gated_mlp) *a) {
    const ptrdiff_t blocks = GL_CEIL_DIV(a->T, ROWS), all = gl_size_mul(a->B, blocks);
    const ptrdiff_t chunk = GL_MAX(1, GL_CEIL_DIV(all, CHUNKS));
    return (FN(mlp_job)){.a = a, .blocks = blocks, .chunk = chunk,
                         .chunks = GL_CEIL_DIV(all, chunk), .scratch = FN(mlp_backward_scratch)(a)};
}

ptrdiff_t FN(gl_gated_mlp_backward_workspace)(const FN(gl_gated_mlp) *a, int nth) {
    const FN(mlp_job) j = FN(mlp_backward_job)(a);
    ptrdiff_t n = gl_carve_size(gl_size_mul(j.chunks, FN(share_size)(a)), sizeof(REAL));
    n = gl_size_add(n, gl_carve_size(gl_size_mul(a->B, j.blocks), sizeof(REAL)));
    return gl_size_add(n, gl_size_mul(j.scratch, nth));
}

void FN(gl_gated_mlp_backward)(const FN(gl_gated_mlp) *a, void *work, int nth) {
    const ptrdiff_t C = a->C, CF = C*a->F, size = FN(share_size)(a);
    FN(mlp_job) job = FN(mlp_backward_job)(a);
    char *cursor = work;
    job.shares = gl_carve(&cursor, job.chunks*size, sizeof(REAL));
    job.dgate = gl_carve(&cursor, a->B*job.blocks, sizeof(REAL));
    job.work = cursor;

    gl_pool_run(FN(mlp_backward_chunk), &job, job.chunks, nth);
    gl_pool_run(FN(mlp_sum_weights), &job, GL_CEIL_DIV(CF, PIECE), nth);
    for (ptrdiff_t chunk = 0; chunk < job.chunks; chunk++) {
        const REAL *dnorm = job.shares + chunk*size + 2*CF;
        for (ptrdiff_t c = 0; c < C; c++) {
            a->dnorm_weight[c] += dnorm[c];
            a->dnorm_bias[c] += dnorm[C + c];
        }
    }
    for (ptrdiff_t b = 0; b < a->B; b++) {
        a->dgate[b] = 0;
        for (ptrdiff_t i = 0; i < job.blocks; i++) a->dgate[b] += job.dgate[b*job.blocks + i];
    }
}
