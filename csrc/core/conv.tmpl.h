// What the kernel sees from each place of the output is a column of patches (C*K*L, places), so
// that y = weight patches. They are made for some rows of one image's output at a time.
//
// Forward, a task is such a block. Backward, a task is a chunk of images, one after the other,
// which adds to a share of the parameters' gradients; the shares are added up chunk by chunk. So
// every sum runs in one order, whatever the number of threads.

typedef struct {
    const FN(gl_conv2d) *a;
    char *work;              // scratch of the workers
    ptrdiff_t scratch;       // bytes a worker
    ptrdiff_t rows, blocks;  // rows of the output a block, blocks an image
    ptrdiff_t chunk;         // images a chunk
    ptrdiff_t chunks;
    REAL *shares;            // (chunks, share_size)
} FN(conv_job);

static ptrdiff_t FN(patch_size)(const FN(gl_conv2d) *a) { return a->C*a->K*a->L; }

// What one chunk adds to dweight and, behind it, to dbias.
static ptrdiff_t FN(share_size)(const FN(gl_conv2d) *a) {
    return gl_size_mul(a->O, FN(patch_size)(a) + 1);
}

// A kernel of one place: the image itself is its patches.
static int FN(is_pointwise)(const FN(gl_conv2d) *a) {
    return a->K == 1 && a->L == 1 && a->stride[0] == 1 && a->stride[1] == 1 && a->padding[0] == 0 &&
           a->padding[1] == 0;
}

// Long steps that overlap: each row of the image is split by the phase of its columns, w % step,
// once. Then what the kernel sees along a row lies side by side, for every place of the kernel.
static int FN(is_split)(const FN(gl_conv2d) *a) {
    return a->stride[1] > 1 && a->stride[1] < a->L;
}

// Rows of one channel that `rows` rows of the output see, split: (seen rows, step, split_width).
static ptrdiff_t FN(split_width)(const FN(gl_conv2d) *a) {
    return GL_CEIL_DIV(a->W, a->stride[1]);
}

static ptrdiff_t FN(split_size)(const FN(gl_conv2d) *a, ptrdiff_t rows) {
    if (!FN(is_split)(a)) return 0;
    const ptrdiff_t seen = GL_MIN(a->H, (rows - 1)*a->stride[0] + a->K);
    return gl_size_mul(seen, gl_size_mul(a->stride[1], FN(split_width)(a)));
}

// Rows of the image that rows p0 <= p < p1 of the output see.
static range FN(rows_seen)(const FN(gl_conv2d) *a, ptrdiff_t p0, ptrdiff_t p1) {
    const ptrdiff_t from = GL_MAX(0, p0*a->stride[0] - a->padding[0]);
    return (range){from, GL_MIN(a->H, (p1 - 1)*a->stride[0] - a->padding[0] + a->K)};
}

static inline void FN(split_steps)(REAL *restrict to, const REAL *restrict x, ptrdiff_t W,
                                   ptrdiff_t step, ptrdiff_t V) {
    for (ptrdiff_t f = 0; f < step; f++, to += V)
        for (ptrdiff_t v = 0; v < (W - f + step - 1) / step; v++) to[v] = x[v*step + f];
}

static inline void FN(join_steps)(REAL *restrict x, const REAL *restrict from, ptrdiff_t W,
                                  ptrdiff_t step, ptrdiff_t V) {
    for (ptrdiff_t f = 0; f < step; f++, from += V)
        for (ptrdiff_t v = 0; v < (W - f + step - 1) / step; v++) x[v*step + f] = from[v];
}

// to (step, V) = row x (W,) of an image; steps that are known to the compiler are vectorised.
static void FN(split_row)(REAL *to, const REAL *x, ptrdiff_t W, ptrdiff_t step, ptrdiff_t V) {
    if (step == 2) FN(split_steps)(to, x, W, 2, V);
    else if (step == 4) FN(split_steps)(to, x, W, 4, V);
    else FN(split_steps)(to, x, W, step, V);
}

static void FN(join_row)(REAL *x, const REAL *from, ptrdiff_t W, ptrdiff_t step, ptrdiff_t V) {
    if (step == 2) FN(join_steps)(x, from, W, 2, V);
    else if (step == 4) FN(join_steps)(x, from, W, 4, V);
    else FN(join_steps)(x, from, W, step, V);
}

static FN(conv_job) FN(conv_start)(const FN(gl_conv2d) *a) {
    const ptrdiff_t CKL = FN(patch_size)(a), item = sizeof(REAL);
    const ptrdiff_t rows = GL_MAX(1, GL_MIN(a->P, BLOCK / GL_MAX(1, CKL*a->Q)));
    const ptrdiff_t chunk = GL_MAX(1, GL_CEIL_DIV(a->N, CHUNKS)), width = rows*a->Q;
    return (FN(conv_job)){
        .a = a, .rows = rows, .blocks = GL_CEIL_DIV(a->P, rows),
        .scratch = gl_size_add(gl_size_add(gl_carve_size(gl_size_mul(CKL, width), item),
                                           gl_carve_size(FN(split_size)(a, rows), item)),
                               gl_carve_size(width, item)),
        .chunk = chunk, .chunks = GL_CEIL_DIV(a->N, chunk),
    };
}

// Where a channel's rows lie for the kernel's loops: as they are, or split.
typedef struct {
    ptrdiff_t height, at;  // of a row; where output 0 sees place l of the kernel
    ptrdiff_t step;        // from one output to the next
} FN(row_layout);

static FN(row_layout) FN(layout_of)(const FN(gl_conv2d) *a, ptrdiff_t l) {
    const ptrdiff_t step = a->stride[1], w = l - a->padding[1];
    if (!FN(is_split)(a)) return (FN(row_layout)){a->W, w, step};
    const ptrdiff_t V = FN(split_width)(a), phase = (w % step + step) % step;
    return (FN(row_layout)){step*V, phase*V + (w - phase) / step, 1};
}

// to = n values that lie `step` apart; a loop of its own for step 1 is vectorised.
static inline void FN(gather)(REAL *restrict to, const REAL *restrict from, ptrdiff_t n,
                              ptrdiff_t step) {
    if (step == 1)
        for (ptrdiff_t i = 0; i < n; i++) to[i] = from[i];
    else
        for (ptrdiff_t i = 0; i < n; i++) to[i] = from[i*step];
}

static inline void FN(scatter_add)(REAL *restrict to, const REAL *restrict from, ptrdiff_t n,
                                   ptrdiff_t step) {
    if (step == 1)
        for (ptrdiff_t i = 0; i < n; i++) to[i] += from[i];
    else
        for (ptrdiff_t i = 0; i < n; i++) to[i*step] += from[i];
}

// patches = what rows p0 <= p < p1 of the output see of one image x.
//   split  split_size() values of scratch
static void FN(unfold)(REAL *restrict patches, const REAL *restrict x, REAL *restrict split,
                       const FN(gl_conv2d) *a, ptrdiff_t p0, ptrdiff_t p1) {
    const ptrdiff_t Q = a->Q, n = (p1 - p0)*Q, V = FN(split_width)(a);
    const range seen = FN(rows_seen)(a, p0, p1);
    const int splits = FN(is_split)(a);
    for (ptrdiff_t c = 0; c < a->C; c++, x += a->H*a->W) {
        if (splits)
            for (ptrdiff_t h = seen.from; h < seen.to; h++)
                FN(split_row)(split + (h - seen.from)*a->stride[1]*V, x + h*a->W, a->W,
                              a->stride[1], V);
        const REAL *rows = splits ? split : x;
        const ptrdiff_t first = splits ? seen.from : 0;
        for (ptrdiff_t k = 0; k < a->K; k++) {
            const range ps = outputs_inside(k, a->H, a->P, a->stride[0], a->padding[0]);
            for (ptrdiff_t l = 0; l < a->L; l++, patches += n) {
                const range qs = outputs_inside(l, a->W, Q, a->stride[1], a->padding[1]);
                const FN(row_layout) layout = FN(layout_of)(a, l);
                if (a->padding[0] || a->padding[1]) memset(patches, 0, (size_t)n * sizeof(REAL));
                for (ptrdiff_t p = GL_MAX(p0, ps.from); p < GL_MIN(p1, ps.to); p++) {
                    const ptrdiff_t h = p*a->stride[0] + k - a->padding[0];
                    const ptrdiff_t at = (h - first)*layout.height + layout.at;
                    FN(gather)(patches + (p - p0)*Q + qs.from, rows + at + qs.from*layout.step,
                               qs.to - qs.from, layout.step);
                }
            }
        }
    }
}

// forward: patches = unfold(x), so dx += dpatches where each came from
static void FN(unfold_backward)(REAL *restrict dx, const REAL *restrict dpatches,
                                REAL *restrict split, const FN(gl_conv2d) *a, ptrdiff_t p0,
                                ptrdiff_t p1) {
    const ptrdiff_t Q = a->Q, n = (p1 - p0)*Q, V = FN(split_width)(a);
    const range seen = FN(rows_seen)(a, p0, p1);
    const int splits = FN(is_split)(a);
    for (ptrdiff_t c = 0; c < a->C; c++, dx += a->H*a->W) {
        // earlier blocks have added to these rows
        if (splits)
            for (ptrdiff_t h = seen.from; h < seen.to; h++)
                FN(split_row)(split + (h - seen.from)*a->stride[1]*V, dx + h*a->W, a->W,
                              a->stride[1], V);
        REAL *rows = splits ? split : dx;
        const ptrdiff_t first = splits ? seen.from : 0;
        for (ptrdiff_t k = 0; k < a->K; k++) {
            const range ps = outputs_inside(k, a->H, a->P, a->stride[0], a->padding[0]);
            for (ptrdiff_t l = 0; l < a->L; l++, dpatches += n) {
                const range qs = outputs_inside(l, a->W, Q, a->stride[1], a->padding[1]);
                const FN(row_layout) layout = FN(layout_of)(a, l);
                for (ptrdiff_t p = GL_MAX(p0, ps.from); p < GL_MIN(p1, ps.to); p++) {
                    const ptrdiff_t h = p*a->stride[0] + k - a->padding[0];
                    const ptrdiff_t at = (h - first)*layout.height + layout.at;
                    FN(scatter_add)(rows + at + qs.from*layout.step,
                                    dpatches + (p - p0)*Q + qs.from, qs.to - qs.from, layout.step);
                }
            }
        }
        if (splits)
            for (ptrdiff_t h = seen.from; h < seen.to; h++)
                FN(join_row)(dx + h*a->W, split + (h - seen.from)*a->stride[1]*V, a->W,
                             a->stride[1], V);
    }
}

// The patches of image n, rows *ld apart: in `scratch`, or where they lie already.
static const REAL *FN(patches_of)(const FN(gl_conv2d) *a, ptrdiff_t n, ptrdiff_t p0, ptrdiff_t p1,
                                  REAL *scratch, REAL *split, ptrdiff_t *ld) {
    const REAL *x = a->x + n*a->C*a->H*a->W;
    if (FN(is_pointwise)(a)) {
        *ld = a->H*a->W;
        return x + p0*a->W;
    }
    FN(unfold)(scratch, x, split, a, p0, p1);
    *ld = (p1 - p0)*a->Q;
    return scratch;
}

static void FN(conv_forward_block)(void *arg, ptrdiff_t task, int worker) {
    const FN(conv_job) *j = arg;
    const FN(gl_conv2d) *a = j->a;
    const ptrdiff_t n = task / j->blocks, p0 = task % j->blocks * j->rows;
    const ptrdiff_t p1 = GL_MIN(p0 + j->rows, a->P), width = (p1 - p0)*a->Q;
    const ptrdiff_t PQ = a->P*a->Q, CKL = FN(patch_size)(a);
    REAL *y = a->y + n*a->O*PQ + p0*a->Q;
    char *cursor = j->work + worker*j->scratch;
    REAL *scratch = gl_carve(&cursor, CKL*j->rows*a->Q, sizeof(REAL));
    REAL *split = gl_carve(&cursor, FN(split_size)(a, j->rows), sizeof(REAL));

    // the product adds to the bias while the block is in cache
    if (a->bias)
        for (ptrdiff_t o = 0; o < a->O; o++)
            for (ptrdiff_t i = 0; i < width; i++) y[o*PQ + i] = a->bias[o];
    ptrdiff_t ld;
    const REAL *patches = FN(patches_of)(a, n, p0, p1, scratch, split, &ld);
    FN(gl_gemm)(0, 0, a->O, width, CKL, a->weight, CKL, patches, ld, a->bias != NULL, y, PQ);
}

ptrdiff_t FN(gl_conv2d_forward_workspace)(const FN(gl_conv2d) *a, int nth) {
    return gl_size_mul(FN(conv_start)(a).scratch, nth);
}

void FN(gl_conv2d_forward)(const FN(gl_conv2d) *a, void *work, int nth) {
    if (a->O == 0) return;
    FN(conv_job) job = FN(conv_start)(a);
    job.work = work;
    gl_pool_run(FN(conv_forward_block), &job, a->N*job.blocks, nth);
}

static void FN(conv_backward_block)(const FN(conv_job) *j, ptrdiff_t n, ptrdiff_t p0, REAL *share,
                                    REAL *scratch, REAL *split, const REAL *ones) {
    const FN(gl_conv2d) *a = j->a;
    const ptrdiff_t p1 = GL_MIN(p0 + j->rows, a->P), width = (p1 - p0)*a->Q;
    const ptrdiff_t PQ = a->P*a->Q, HW = a->H*a->W, CKL = FN(patch_size)(a);
    const REAL *dy = a->dy + n*a->O*PQ + p0*a->Q;

    // forward: y = weight patches + bias
    if (a->dbias) {
        REAL *dbias = share + a->O*CKL;
        for (ptrdiff_t o = 0; o < a->O; o++) dbias[o] += GL_K(dot)(dy + o*PQ, ones, width);
    }
    if (a->dweight) {
        ptrdiff_t ld;
        const REAL *patches = FN(patches_of)(a, n, p0, p1, scratch, split, &ld);
        FN(gl_gemm)(0, 1, a->O, CKL, width, dy, PQ, patches, ld, 1, share, CKL);
    }
    if (a->dx) {
        REAL *dx = a->dx + n*a->C*HW;
        const int pointwise = FN(is_pointwise)(a);
        FN(gl_gemm)(1, 0, CKL, width, a->O, a->weight, CKL, dy, PQ, 0,
                    pointwise ? dx + p0*a->W : scratch, pointwise ? HW : width);
        if (!pointwise) FN(unfold_backward)(dx, scratch, split, a, p0, p1);
    }
}

static void FN(conv_backward_chunk)(void *arg, ptrdiff_t chunk, int worker) {
    const FN(conv_job) *j = arg;
    const FN(gl_conv2d) *a = j->a;
    const ptrdiff_t first = chunk*j->chunk, last = GL_MIN(first + j->chunk, a->N);
    const ptrdiff_t CHW = a->C*a->H*a->W, width = j->rows*a->Q, size = FN(share_size)(a);
    REAL *share = j->shares + chunk*size;
    char *cursor = j->work + worker*j->scratch;
    REAL *scratch = gl_carve(&cursor, FN(patch_size)(a)*width, sizeof(REAL));
    REAL *split = gl_carve(&cursor, FN(split_size)(a, j->rows), sizeof(REAL));
    REAL *ones = gl_carve(&cursor, width, sizeof(REAL));

    memset(share, 0, (size_t)size * sizeof(REAL));
    for (ptrdiff_t i = 0; i < width; i++) ones[i] = 1;
    if (a->dx) memset(a->dx + first*CHW, 0, (size_t)((last - first)*CHW) * sizeof(REAL));
    if (a->O == 0) return;
    for (ptrdiff_t n = first; n < last; n++)
        for (ptrdiff_t p0 = 0; p0 < a->P; p0 += j->rows)
            FN(conv_backward_block)(j, n, p0, share, scratch, split, ones);
}

// Add up a piece of dweight, chunk by chunk.
static void FN(conv_sum_weight)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(conv_job) *j = arg;
    const ptrdiff_t size = FN(share_size)(j->a), i0 = task*PIECE;
    const ptrdiff_t i1 = GL_MIN(i0 + PIECE, j->a->O*FN(patch_size)(j->a));
    for (const REAL *share = j->shares; share < j->shares + j->chunks*size; share += size)
        for (ptrdiff_t i = i0; i < i1; i++) j->a->dweight[i] += share[i];
}

ptrdiff_t FN(gl_conv2d_backward_workspace)(const FN(gl_conv2d) *a, int nth) {
    const FN(conv_job) j = FN(conv_start)(a);
    const ptrdiff_t shares = gl_size_mul(j.chunks, FN(share_size)(a));
    return gl_size_add(gl_carve_size(shares, sizeof(REAL)), gl_size_mul(j.scratch, nth));
}

void FN(gl_conv2d_backward)(const FN(gl_conv2d) *a, void *work, int nth) {
    const ptrdiff_t OCKL = a->O*FN(patch_size)(a), size = FN(share_size)(a);
    FN(conv_job) job = FN(conv_start)(a);
    char *cursor = work;
    job.shares = gl_carve(&cursor, job.chunks*size, sizeof(REAL));
    job.work = cursor;

    gl_pool_run(FN(conv_backward_chunk), &job, job.chunks, nth);
    if (a->dweight) gl_pool_run(FN(conv_sum_weight), &job, GL_CEIL_DIV(OCKL, PIECE), nth);
    if (a->dbias)
        for (ptrdiff_t chunk = 0; chunk < job.chunks; chunk++)
            for (ptrdiff_t o = 0; o < a->O; o++) a->dbias[o] += job.shares[chunk*size + OCKL + o];
}
