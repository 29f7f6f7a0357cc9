typedef struct {
    REAL *y, *dx;
    int64_t *index;
    const REAL *x, *dy;
    const int64_t *from;  // index, read by backward
    gl_window window;
    ptrdiff_t M, H, W, P, Q;
    ptrdiff_t planes;     // a task
    gl_refused *refused;
} FN(max_pool_job);

static void FN(max_pool_plane)(REAL *y, int64_t *index, const REAL *x, const FN(max_pool_job) *j) {
    const ptrdiff_t *kernel = j->window.kernel, *stride = j->window.stride;
    const ptrdiff_t *padding = j->window.padding, H = j->H, W = j->W;
    for (ptrdiff_t p = 0; p < j->P; p++) {
        const ptrdiff_t top = p*stride[0] - padding[0];
        const ptrdiff_t h0 = GL_MAX(0, top), h1 = GL_MIN(H, top + kernel[0]);
        for (ptrdiff_t q = 0; q < j->Q; q++) {
            const ptrdiff_t left = q*stride[1] - padding[1];
            const ptrdiff_t w0 = GL_MAX(0, left), w1 = GL_MIN(W, left + kernel[1]);
            ptrdiff_t at = h0*W + w0;
            REAL most = x[at];
            for (ptrdiff_t h = h0; h < h1; h++)
                for (ptrdiff_t w = w0; w < w1; w++) {
                    // larger, or the first NaN
                    const REAL v = x[h*W + w];
                    if (v <= most || most != most) continue;
                    most = v;
                    at = h*W + w;
                }
            *y++ = most;
            *index++ = at;
        }
    }
}

static void FN(max_pool_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(max_pool_job) *j = arg;
    const ptrdiff_t HW = j->H*j->W, PQ = j->P*j->Q, first = task*j->planes;
    for (ptrdiff_t m = first; m < GL_MIN(first + j->planes, j->M); m++)
        FN(max_pool_plane)(j->y + m*PQ, j->index + m*PQ, j->x + m*HW, j);
}

void FN(gl_max_pool2d_forward)(REAL *y, int64_t *index, const REAL *x, gl_window window,
                               ptrdiff_t M, ptrdiff_t H, ptrdiff_t W, ptrdiff_t P, ptrdiff_t Q,
                               int nth) {
    if (M == 0) return;
    FN(max_pool_job) job = {.y = y, .index = index, .x = x, .window = window, .M = M, .H = H,
                            .W = W, .P = P, .Q = Q, .planes = gl_task_rows(VALUES, H*W)};
    gl_pool_run(FN(max_pool_task), &job, GL_CEIL_DIV(M, job.planes), nth);
}

static void FN(max_pool_backward_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(max_pool_job) *j = arg;
    const ptrdiff_t HW = j->H*j->W, PQ = j->P*j->Q, first = task*j->planes;
    const ptrdiff_t last = GL_MIN(first + j->planes, j->M);
    memset(j->dx + first*HW, 0, (size_t)((last - first)*HW) * sizeof(REAL));
    for (ptrdiff_t i = first*PQ; i < last*PQ; i++) {
        const int64_t at = j->from[i];
        if (at < 0 || at >= HW) {
            gl_refuse(j->refused, i, (gl_result){GL_EINDEX, 0});
            return;
        }
        // forward: y = x[index] of each plane
        j->dx[i / PQ * HW + at] += j->dy[i];
    }
}

gl_result FN(gl_max_pool2d_backward)(REAL *dx, const REAL *dy, const int64_t *index, ptrdiff_t M,
                                     ptrdiff_t H, ptrdiff_t W, ptrdiff_t P, ptrdiff_t Q, int nth) {
    if (M == 0) return gl_ok();
    gl_refused refused = GL_NONE_REFUSED;
    FN(max_pool_job) job = {.dx = dx, .dy = dy, .from = index, .M = M, .H = H, .W = W, .P = P,
                            .Q = Q, .planes = gl_task_rows(VALUES, H*W), .refused = &refused};
    gl_pool_run(FN(max_pool_backward_task), &job, GL_CEIL_DIV(M, job.planes), nth);
    return gl_refused_result(&refused);
}
