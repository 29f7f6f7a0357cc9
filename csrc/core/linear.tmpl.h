typedef struct {
    REAL *y, *dx, *dweight, *dbias;
    const REAL *x, *weight, *bias, *dy;
    ptrdiff_t ldy, ldx, lddx, lddy, N, I, O;
    ptrdiff_t rows, wrows;              // of a block of y or dx, and of dweight
    ptrdiff_t dweight_tasks, dx_tasks;  // in backward: these first, then those of dbias
    int transposed;
} FN(linear_job);

static void FN(linear_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(linear_job) *j = arg;
    const ptrdiff_t across = GL_CEIL_DIV(j->O, COLS);
    const ptrdiff_t r = task / across * j->rows, n = GL_MIN(j->rows, j->N - r);
    const ptrdiff_t o = task % across * COLS, m = GL_MIN(COLS, j->O - o);
    REAL *y = j->y + r*j->ldy + o;

    // the product adds to the bias while the block is in cache
    if (j->bias)
        for (ptrdiff_t i = 0; i < n; i++)
            memcpy(y + i*j->ldy, j->bias + o, (size_t)m * sizeof(REAL));
    FN(gl_gemm)(0, j->transposed, n, m, j->I, j->x + r*j->ldx, j->ldx,
                j->transposed ? j->weight + o*j->I : j->weight + o, j->transposed ? j->I : j->O,
                j->bias != NULL, y, j->ldy);
}

void FN(gl_linear_forward)(REAL *y, ptrdiff_t ldy, const REAL *x, ptrdiff_t ldx, const REAL *weight,
                           const REAL *bias, int transposed, ptrdiff_t N, ptrdiff_t I, ptrdiff_t O,
                           int nth) {
    FN(linear_job) job = {.y = y, .ldy = ldy, .x = x, .ldx = ldx, .weight = weight, .bias = bias,
                          .transposed = transposed, .N = N, .I = I, .O = O,
                          .rows = block_rows(N, I, O)};
    gl_pool_run(FN(linear_task), &job, GL_CEIL_DIV(N, job.rows) * GL_CEIL_DIV(O, COLS),
                is_small(N, I, O) ? 1 : nth);
}

// forward: y = x W, so dx = dy W^T
static void FN(linear_dx)(const FN(linear_job) *j, ptrdiff_t task) {
    const ptrdiff_t across = GL_CEIL_DIV(j->I, COLS);
    const ptrdiff_t r = task / across * j->rows, n = GL_MIN(j->rows, j->N - r);
    const ptrdiff_t i = task % across * COLS, m = GL_MIN(COLS, j->I - i);
    FN(gl_gemm)(0, !j->transposed, n, m, j->O, j->dy + r*j->lddy, j->lddy,
                j->transposed ? j->weight + i : j->weight + i*j->O, j->transposed ? j->I : j->O, 0,
                j->dx + r*j->lddx + i, j->lddx);
}

// forward: y = x W, so dW = x^T dy; with y = x W^T it is dy^T x
static void FN(linear_dweight)(const FN(linear_job) *j, ptrdiff_t task) {
    const REAL *a = j->transposed ? j->dy : j->x, *b = j->transposed ? j->x : j->dy;
    const ptrdiff_t lda = j->transposed ? j->lddy : j->ldx, ldb = j->transposed ? j->ldx : j->lddy;
    const ptrdiff_t rows = j->transposed ? j->O : j->I, cols = j->transposed ? j->I : j->O;
    const ptrdiff_t across = GL_CEIL_DIV(cols, COLS);
    const ptrdiff_t r = task / across * j->wrows, n = GL_MIN(j->wrows, rows - r);
    const ptrdiff_t c = task % across * COLS, m = GL_MIN(COLS, cols - c);
    FN(gl_gemm)(1, 0, n, m, j->N, a + r, lda, b + c, ldb, 1, j->dweight + r*cols + c, cols);
}

// Sums of BROWS rows, then the sum of those, so that rounding does not grow with N.
static void FN(linear_dbias)(const FN(linear_job) *j, ptrdiff_t task) {
    const ptrdiff_t o = task*BCOLS, m = GL_MIN(BCOLS, j->O - o);
    REAL sum[BCOLS];
    for (ptrdiff_t r = 0; r < j->N; r += BROWS) {
        const ptrdiff_t end = GL_MIN(r + BROWS, j->N);
        for (ptrdiff_t k = 0; k < m; k++) sum[k] = 0;
        for (ptrdiff_t i = r; i < end; i++) {
            const REAL *dy_i = j->dy + i*j->lddy + o;
            for (ptrdiff_t k = 0; k < m; k++) sum[k] += dy_i[k];
        }
        for (ptrdiff_t k = 0; k < m; k++) j->dbias[o + k] += sum[k];
    }
}

static void FN(linear_backward_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(linear_job) *j = arg;
    if (task < j->dweight_tasks)
        FN(linear_dweight)(j, task);
    else if (task < j->dweight_tasks + j->dx_tasks)
        FN(linear_dx)(j, task - j->dweight_tasks);
    else
        FN(linear_dbias)(j, task - j->dweight_tasks - j->dx_tasks);
}

void FN(gl_linear_backward)(REAL *dx, ptrdiff_t lddx, REAL *dweight, REAL *dbias, const REAL *dy,
                            ptrdiff_t lddy, const REAL *x, ptrdiff_t ldx, const REAL *weight,
                            int transposed, ptrdiff_t N, ptrdiff_t I, ptrdiff_t O, int nth) {
    const ptrdiff_t rows = transposed ? O : I, cols = transposed ? I : O;
    FN(linear_job) job = {
        .dx = dx, .lddx = lddx, .dweight = dweight, .dbias = dbias, .dy = dy, .lddy = lddy, .x = x,
        .ldx = ldx, .weight = weight, .transposed = transposed, .N = N, .I = I, .O = O,
        .rows = block_rows(N, I, O), .wrows = dweight_rows(rows, cols),
    };
    if (dweight) job.dweight_tasks = GL_CEIL_DIV(rows, job.wrows) * GL_CEIL_DIV(cols, COLS);
    if (dx) job.dx_tasks = GL_CEIL_DIV(N, job.rows) * GL_CEIL_DIV(I, COLS);
    const ptrdiff_t ntasks = job.dweight_tasks + job.dx_tasks + (dbias ? GL_CEIL_DIV(O, BCOLS) : 0);
    gl_pool_run(FN(linear_backward_task), &job, ntasks, is_small(N, I, O) ? 1 : nth);
}
