// Forward has patches and images, backward dimages and dpatches.
typedef struct {
    REAL *patches, *dimages;
    const REAL *images, *dpatches, *locations;
    char *work;
    ptrdiff_t scratch;  // bytes a worker
    ptrdiff_t B, N, S, C, H, W, P, rows;
} FN(glimpse_job);

ptrdiff_t FN(gl_glimpse_workspace)(ptrdiff_t W, int nth) {
    return gl_size_mul(gl_carve_size(W, sizeof(REAL)), nth);
}

static gl_result FN(check_locations)(const REAL *locations, ptrdiff_t rows, ptrdiff_t H,
                                     ptrdiff_t W) {
    for (ptrdiff_t r = 0; r < rows; r++)
        if (!isfinite(pixel((double)locations[2*r], W)) ||
            !isfinite(pixel((double)locations[2*r + 1], H)))
            return (gl_result){GL_ENONFINITE, r};
    return gl_ok();
}

// Either pass over the patches of one location.
static void FN(glimpse_row)(const FN(glimpse_job) *j, ptrdiff_t r, int worker) {
    char *cursor = j->work + worker * j->scratch;
    REAL *column = gl_carve(&cursor, j->W, sizeof(REAL));
    const double col = pixel((double)j->locations[2*r], j->W);
    const double row = pixel((double)j->locations[2*r + 1], j->H);
    for (ptrdiff_t s = 0; s < j->S; s++)
        for (ptrdiff_t c = 0; c < j->C; c++) {
            const ptrdiff_t f = (ptrdiff_t)1 << s, image = (r / j->N * j->C + c) * j->H * j->W;
            const ptrdiff_t patch = ((r * j->S + s) * j->C + c) * j->P * j->P;
            if (j->patches)
                GL_K(glimpse_patch)(j->patches + patch, j->images + image, column, row, col, f,
                                    j->H, j->W, j->P);
            else
                GL_K(glimpse_patch_backward)(j->dimages + image, j->dpatches + patch, column, row,
                                             col, f, j->H, j->W, j->P);
        }
}

static void FN(glimpse_task)(void *arg, ptrdiff_t task, int worker) {
    const FN(glimpse_job) *j = arg;
    const ptrdiff_t end = GL_MIN((task + 1) * j->rows, j->B * j->N);
    for (ptrdiff_t r = task * j->rows; r < end; r++) FN(glimpse_row)(j, r, worker);
}

static gl_result FN(glimpse_run)(FN(glimpse_job) *job, int nth) {
    const ptrdiff_t rows = job->B * job->N;
    const gl_result checked = FN(check_locations)(job->locations, rows, job->H, job->W);
    // without patches the other sizes are bounded by no memory
    if (checked.status != GL_OK || rows == 0 || job->P == 0) return checked;

    // gradients of one image meet in one task, in their order
    const ptrdiff_t outputs = job->S * job->C * job->P * job->P;
    job->rows = job->patches ? gl_task_rows(OUTPUTS, outputs) : job->N;
    job->scratch = gl_carve_size(job->W, sizeof(REAL));
    gl_pool_run(FN(glimpse_task), job, GL_CEIL_DIV(rows, job->rows), nth);
    return checked;
}

gl_result FN(gl_glimpse_forward)(REAL *patches, const REAL *images, const REAL *locations,
                                 void *work, ptrdiff_t B, ptrdiff_t N, ptrdiff_t S, ptrdiff_t C,
                                 ptrdiff_t H, ptrdiff_t W, ptrdiff_t P, int nth) {
    FN(glimpse_job) job = {.patches = patches, .images = images, .locations = locations,
                           .work = work, .B = B, .N = N, .S = S, .C = C, .H = H, .W = W, .P = P};
    return FN(glimpse_run)(&job, nth);
}

gl_result FN(gl_glimpse_backward)(REAL *dimages, const REAL *dpatches, const REAL *locations,
                                  void *work, ptrdiff_t B, ptrdiff_t N, ptrdiff_t S, ptrdiff_t C,
                                  ptrdiff_t H, ptrdiff_t W, ptrdiff_t P, int nth) {
    FN(glimpse_job) job = {.dimages = dimages, .dpatches = dpatches, .locations = locations,
                           .work = work, .B = B, .N = N, .S = S, .C = C, .H = H, .W = W, .P = P};
    return FN(glimpse_run)(&job, nth);
}
