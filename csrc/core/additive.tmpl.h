typedef struct {
    const FN(gl_additive) *a;
    REAL *packed;             // (B, runs, A, LANES) the keys
    char *work;               // scratch of the workers
    ptrdiff_t scratch;        // bytes a worker
    ptrdiff_t parts, rows;    // backward: parts of a sample, queries of a part
    REAL *partial;            // (B, parts, size) a part's dpacked, dvalue and dweight
    ptrdiff_t npacked, size;  // values of a sample's packed keys, of a part's sums
} FN(additive_job);

static FN(additive_job) FN(forward_job)(const FN(gl_additive) *a) {
    FN(additive_job) j = {.a = a};
    j.npacked = gl_size_mul(gl_size_mul(GL_CEIL_DIV(a->Tk, LANES), LANES), a->A);
    j.scratch = gl_carve_size(a->p ? 0 : a->Tk, sizeof(REAL));
    return j;
}

static FN(additive_job) FN(backward_job)(const FN(gl_additive) *a) {
    FN(additive_job) j = FN(forward_job)(a);
    j.rows = part_rows(a->B, a->Tq);
    j.parts = GL_MAX(GL_CEIL_DIV(a->Tq, j.rows), 1);
    j.size = gl_size_add(gl_size_add(j.npacked, gl_size_mul(a->Tk, a->E)), a->A);
    j.scratch = gl_carve_size(gl_size_mul(3*LANES, a->A), sizeof(REAL));
    return j;
}

// A task is one run of keys.
static void FN(pack_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(additive_job) *j = arg;
    const ptrdiff_t A = j->a->A, Tk = j->a->Tk, runs = GL_CEIL_DIV(Tk, LANES);
    const ptrdiff_t b = task / runs, s = task % runs * LANES;
    const REAL *key = j->a->key + (b*Tk + s)*A;
    REAL *to = j->packed + task*A*LANES;
    for (ptrdiff_t k = 0; k < LANES; k++)
        for (ptrdiff_t i = 0; i < A; i++) to[i*LANES + k] = s + k < Tk ? key[k*A + i] : 0;
}

static void FN(forward_task)(void *arg, ptrdiff_t task, int worker) {
    const FN(additive_job) *j = arg;
    const ptrdiff_t Tq = j->a->Tq, end = GL_MIN((task + 1)*ROWS, j->a->B*Tq);
    char *cursor = j->work + worker*j->scratch;
    REAL *p = gl_carve(&cursor, j->a->p ? 0 : j->a->Tk, sizeof(REAL));
    for (ptrdiff_t i = task*ROWS; i < end; i++)
        GL_K(additive_forward_row)(j->a, j->packed + i/Tq*j->npacked, i / Tq, i % Tq, p);
}

void FN(gl_additive_forward)(const FN(gl_additive) *a, void *work, int nth) {
    // where nothing is written, sizes are bounded by no memory
    if (a->E == 0 && !a->lse && !(a->p && a->Tk > 0)) return;
    FN(additive_job) job = FN(forward_job)(a);
    char *cursor = work;
    job.packed = gl_carve(&cursor, a->B*job.npacked, sizeof(REAL));
    job.work = cursor;
    if (a->A > 0) gl_pool_run(FN(pack_task), &job, a->B*GL_CEIL_DIV(a->Tk, LANES), nth);
    gl_pool_run(FN(forward_task), &job, GL_CEIL_DIV(a->B*a->Tq, ROWS), nth);
}

static void FN(backward_task)(void *arg, ptrdiff_t task, int worker) {
    const FN(additive_job) *j = arg;
    const FN(gl_additive) *a = j->a;
    const ptrdiff_t b = task / j->parts, t = task % j->parts * j->rows;
    char *cursor = j->work + worker*j->scratch;
    REAL *scratch = gl_carve(&cursor, 3*LANES*a->A, sizeof(REAL));
    REAL *dpacked = j->partial + task*j->size;
    REAL *dvalue = dpacked + j->npacked, *dweight = dvalue + a->Tk*a->E;
    memset(dpacked, 0, (size_t)j->size * sizeof(REAL));
    GL_K(additive_backward_rows)(a, j->packed + b*j->npacked, b, t, GL_MIN(t + j->rows, a->Tq),
                                 dpacked, dvalue, dweight, scratch);
}

// The parts of sample b, summed in order into the first, and its keys unpacked.
static void FN(sum_task)(void *arg, ptrdiff_t b, int worker) {
    (void)worker;
    const FN(additive_job) *j = arg;
    const ptrdiff_t A = j->a->A, E = j->a->E, Tk = j->a->Tk;
    REAL *sum = j->partial + b*j->parts*j->size, *dkey = j->a->dkey + b*Tk*A;
    for (ptrdiff_t k = 1; k < j->parts; k++)
        for (ptrdiff_t i = 0; i < j->size; i++) sum[i] += sum[k*j->size + i];
    for (ptrdiff_t s = 0; s < Tk; s++)
        for (ptrdiff_t i = 0; i < A; i++)
            dkey[s*A + i] = sum[s/LANES*LANES*A + i*LANES + s%LANES];
    memcpy(j->a->dvalue + b*Tk*E, sum + j->npacked, (size_t)(Tk*E) * sizeof(REAL));
}

void FN(gl_additive_backward)(const FN(gl_additive) *a, void *work, int nth) {
    const ptrdiff_t A = a->A;
    if (A + a->E == 0 || (a->Tq == 0 && a->Tk == 0)) return;
    FN(additive_job) job = FN(backward_job)(a);
    char *cursor = work;
    job.packed = gl_carve(&cursor, a->B*job.npacked, sizeof(REAL));
    job.partial = gl_carve(&cursor, a->B*job.parts*job.size, sizeof(REAL));
    job.work = cursor;
    if (A > 0) gl_pool_run(FN(pack_task), &job, a->B*GL_CEIL_DIV(a->Tk, LANES), nth);
    gl_pool_run(FN(backward_task), &job, a->B*job.parts, nth);
    gl_pool_run(FN(sum_task), &job, a->B, nth);
    for (ptrdiff_t b = 0; b < a->B; b++) {
        const REAL *dweight = job.partial + (b*job.parts + 1)*job.size - A;
        for (ptrdiff_t i = 0; i < A; i++) a->dweight[i] += dweight[i];
    }
}

ptrdiff_t FN(gl_additive_forward_workspace)(const FN(gl_additive) *a, int nth) {
    const FN(additive_job) j = FN(forward_job)(a);
    const ptrdiff_t packed = gl_carve_size(gl_size_mul(a->B, j.npacked), sizeof(REAL));
    return gl_size_add(packed, gl_size_mul(nth, j.scratch));
}

ptrdiff_t FN(gl_additive_backward_workspace)(const FN(gl_additive) *a, int nth) {
    const FN(additive_job) j = FN(backward_job)(a);
    const ptrdiff_t packed = gl_carve_size(gl_size_mul(a->B, j.npacked), sizeof(REAL));
    const ptrdiff_t partial = gl_size_mul(gl_size_mul(a->B, j.parts), j.size);
    return gl_size_add(gl_size_add(packed, gl_carve_size(partial, sizeof(REAL))),
                       gl_size_mul(nth, j.scratch));
}
