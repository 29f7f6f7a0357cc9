typedef struct {
    const FN(gl_hard) *a;
    ptrdiff_t parts, length;    // parts of a head's keys, keys of one
    char *work;                 // scratch of the workers
    ptrdiff_t scratch;          // bytes a worker
    gl_refused refused;

    // forward
    ptrdiff_t rows, blocks;     // queries of a block, blocks of a head
    ptrdiff_t ld;               // columns of a row of scores
    ptrdiff_t block;            // the one at hand, where keys are parted
    REAL *scores;               // (rows, ld) of this block, or of each worker's

    // backward
    REAL *partial;              // (B H, parts, Tq, D) dq of each part, where there are several
} FN(hard_job);

static FN(hard_job) FN(hard_plan)(const FN(gl_hard) *a, ptrdiff_t pieces) {
    FN(hard_job) j = {.a = a, .refused = GL_NONE_REFUSED};
    j.length = part_length(pieces, a->heads.Tk);
    j.parts = GL_MAX(GL_CEIL_DIV(a->heads.Tk, j.length), 1);
    j.scratch = GL_K(hard_scratch)(a->heads.D);
    return j;
}

static FN(hard_job) FN(forward_plan)(const FN(gl_hard) *a) {
    const FN(gl_attention) *f = &a->heads;
    const ptrdiff_t rows = block_rows(f->Tq, f->Tk), blocks = GL_CEIL_DIV(f->Tq, rows);
    FN(hard_job) j = FN(hard_plan)(a, f->B * f->H * blocks);
    j.rows = rows;
    j.blocks = blocks;
    j.ld = GL_CEIL_DIV(f->Tk, LANES) * LANES;
    return j;
}

// First query of a block; *m is their number.
static ptrdiff_t FN(block_start)(const FN(hard_job) *j, ptrdiff_t block, ptrdiff_t *m) {
    const ptrdiff_t t = block % j->blocks * j->rows;
    *m = GL_MIN(j->rows, j->a->heads.Tq - t);
    return t;
}

// A task is one block of queries.
static void FN(block_task)(void *arg, ptrdiff_t block, int worker) {
    FN(hard_job) *j = arg;
    ptrdiff_t m;
    const ptrdiff_t head = block / j->blocks, t = FN(block_start)(j, block, &m);
    REAL *scores = j->scores + worker*j->rows*j->ld;
    GL_K(hard_score_rows)(scores, j->ld, j->a, head, t, m, 0, j->a->heads.Tk,
                          j->work + worker*j->scratch);
    gl_refuse(&j->refused, head*j->a->heads.Tq + t,
              GL_K(hard_draw_rows)(scores, j->ld, j->a, head, t, m));
}

// Where blocks are few, a task is a part of the keys of one, then one of its rows.
static void FN(score_task)(void *arg, ptrdiff_t part, int worker) {
    FN(hard_job) *j = arg;
    ptrdiff_t m;
    const ptrdiff_t t = FN(block_start)(j, j->block, &m), k = part*j->length;
    GL_K(hard_score_rows)(j->scores, j->ld, j->a, j->block / j->blocks, t, m, k,
                          GL_MIN(k + j->length, j->a->heads.Tk), j->work + worker*j->scratch);
}

static void FN(draw_task)(void *arg, ptrdiff_t row, int worker) {
    (void)worker;
    FN(hard_job) *j = arg;
    ptrdiff_t m;
    const ptrdiff_t head = j->block / j->blocks, t = FN(block_start)(j, j->block, &m) + row;
    gl_refuse(&j->refused, head*j->a->heads.Tq + t,
              GL_K(hard_draw_rows)(j->scores + row*j->ld, j->ld, j->a, head, t, 1));
}

gl_result FN(gl_hard_forward)(const FN(gl_hard) *a, void *work, int nth) {
    // without queries B and H are bounded by no memory
    if (a->heads.Tq == 0) return gl_ok();
    FN(hard_job) job = FN(forward_plan)(a);
    const ptrdiff_t blocks = a->heads.B * a->heads.H * job.blocks;
    char *cursor = work;
    job.scores = gl_carve(&cursor, (job.parts > 1 ? 1 : nth) * job.rows * job.ld, sizeof(REAL));
    job.work = cursor;
    if (job.parts == 1) {
        gl_pool_run(FN(block_task), &job, blocks, nth);
        return gl_refused_result(&job.refused);
    }
    for (job.block = 0; job.block < blocks; job.block++) {
        ptrdiff_t m;
        FN(block_start)(&job, job.block, &m);
        gl_pool_run(FN(score_task), &job, job.parts, nth);
        gl_pool_run(FN(draw_task), &job, m, nth);
    }
    return gl_refused_result(&job.refused);
}

ptrdiff_t FN(gl_hard_forward_workspace)(const FN(gl_hard) *a, int nth) {
    if (a->heads.Tq == 0) return 0;
    const FN(hard_job) j = FN(forward_plan)(a);
    const ptrdiff_t block = gl_size_mul(j.rows, j.ld);
    return gl_size_add(gl_carve_size(gl_size_mul(j.parts > 1 ? 1 : nth, block), sizeof(REAL)),
                       gl_size_mul(nth, j.scratch));
}

// A task is a part of the keys of one head.
static void FN(keys_task)(void *arg, ptrdiff_t task, int worker) {
    const FN(hard_job) *j = arg;
    const FN(gl_attention) *f = &j->a->heads;
    const ptrdiff_t head = task / j->parts, k = task % j->parts * j->length;
    const int alone = j->parts == 1;
    REAL *dq = alone ? f->dq.data + head / f->H * f->dq.b + head % f->H * f->dq.h
                     : j->partial + task*f->Tq*f->D;
    GL_K(hard_backward_keys)(dq, alone ? f->dq.t : f->D, j->a, head, k,
                             GL_MIN(k + j->length, f->Tk), j->work + worker*j->scratch);
}

// A task is one query: what the parts of the keys give to it, in their order.
static void FN(sum_task)(void *arg, ptrdiff_t row, int worker) {
    (void)worker;
    const FN(hard_job) *j = arg;
    const FN(gl_attention) *f = &j->a->heads;
    const ptrdiff_t D = f->D, head = row / f->Tq, t = row % f->Tq;
    const REAL *part = j->partial + (head*j->parts*f->Tq + t)*D;
    REAL *dq = f->dq.data + head / f->H * f->dq.b + head % f->H * f->dq.h + t*f->dq.t;
    memcpy(dq, part, (size_t)D * sizeof(REAL));
    for (ptrdiff_t i = 1; i < j->parts; i++)
        for (ptrdiff_t d = 0; d < D; d++) dq[d] += part[i*f->Tq*D + d];
}

// Without queries, and keys that have a gradient, B and H are bounded by no memory.
static int FN(nothing_to_do)(const FN(gl_attention) *f) {
    return f->Tq == 0 && (f->Tk == 0 || f->D == 0);
}

gl_result FN(gl_hard_backward)(const FN(gl_hard) *a, void *work, int nth) {
    const FN(gl_attention) *f = &a->heads;
    if (FN(nothing_to_do)(f)) return gl_ok();
    const ptrdiff_t heads = f->B * f->H;
    for (ptrdiff_t i = 0; i < heads*f->Tq; i++)
        if (a->actions[i] < 0 || a->actions[i] >= f->Tk) return (gl_result){GL_EINDEX, i};

    FN(hard_job) job = FN(hard_plan)(a, heads);
    char *cursor = work;
    if (job.parts > 1)
        job.partial = gl_carve(&cursor, heads*job.parts*f->Tq*f->D, sizeof(REAL));
    job.work = cursor;
    gl_pool_run(FN(keys_task), &job, heads*job.parts, nth);
    if (job.parts > 1 && f->D > 0) gl_pool_run(FN(sum_task), &job, heads*f->Tq, nth);
    return gl_ok();
}

ptrdiff_t FN(gl_hard_backward_workspace)(const FN(gl_hard) *a, int nth) {
    const FN(gl_attention) *f = &a->heads;
    if (FN(nothing_to_do)(f)) return 0;
    const FN(hard_job) j = FN(hard_plan)(a, f->B * f->H);
    const ptrdiff_t heads = gl_size_mul(f->B * f->H, j.parts);
    const ptrdiff_t partial = gl_size_mul(gl_size_mul(heads, f->Tq), f->D);
    return gl_size_add(j.parts > 1 ? gl_carve_size(partial, sizeof(REAL)) : 0,
                       gl_size_mul(nth, j.scratch));
}
