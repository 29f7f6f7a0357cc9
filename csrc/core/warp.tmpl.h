// Forward has y, backward dy and the gradients.
typedef struct {
    REAL *y, *dimage, *dflow;
    const REAL *dy, *image, *flow;
    ptrdiff_t B, C, H, W;
    gl_refused *refused;
} FN(warp_job);

// A sample along one axis: pixels low and high, and the share of the second.
typedef struct {
    ptrdiff_t low, high;
    REAL share;
    int inside;  // whether the sample moves with the flow
} FN(warp_axis);

static inline FN(warp_axis) FN(warp_axis_of)(REAL at, ptrdiff_t n) {
    const REAL last = (REAL)(n - 1), held = GL_MIN(GL_MAX(at, 0), last);
    const ptrdiff_t low = (ptrdiff_t)held;  // held is not negative: this rounds down
    return (FN(warp_axis)){.low = low, .high = GL_MIN(low + 1, n - 1), .share = held - (REAL)low,
                           .inside = at >= 0 && at < last};
}

static int FN(warp_refuses)(const FN(warp_job) *j, ptrdiff_t b) {
    const ptrdiff_t n = 2*j->H*j->W;
    const REAL *flow = j->flow + b*n;
    for (ptrdiff_t i = 0; i < n; i++)
        if (!isfinite(flow[i])) {
            gl_refuse(j->refused, b, (gl_result){GL_ENONFINITE, 0});
            return 1;
        }
    return 0;
}

static void FN(warp_task)(void *arg, ptrdiff_t b, int worker) {
    (void)worker;
    const FN(warp_job) *j = arg;
    if (FN(warp_refuses)(j, b)) return;
    const ptrdiff_t W = j->W, HW = j->H*W;
    const REAL *flow_b = j->flow + 2*b*HW;
    for (ptrdiff_t h = 0; h < j->H; h++)
        for (ptrdiff_t w = 0; w < W; w++) {
            const ptrdiff_t i = h*W + w;
            const FN(warp_axis) x = FN(warp_axis_of)((REAL)w + flow_b[i], W);
            const FN(warp_axis) y = FN(warp_axis_of)((REAL)h + flow_b[HW + i], j->H);

            // the two rows of the sample, then between them
            for (ptrdiff_t c = 0; c < j->C; c++) {
                const ptrdiff_t plane = (b*j->C + c)*HW;
                const REAL *up = j->image + plane + y.low*W, *down = j->image + plane + y.high*W;
                const REAL above = up[x.low] + x.share * (up[x.high] - up[x.low]);
                const REAL below = down[x.low] + x.share * (down[x.high] - down[x.low]);
                j->y[plane + i] = above + y.share * (below - above);
            }
        }
}

// Gradients of one image: no other task adds to them.
static void FN(warp_backward_task)(void *arg, ptrdiff_t b, int worker) {
    (void)worker;
    const FN(warp_job) *j = arg;
    if (FN(warp_refuses)(j, b)) return;
    const ptrdiff_t W = j->W, HW = j->H*W;
    const REAL *flow_b = j->flow + 2*b*HW;
    if (j->dimage) memset(j->dimage + b*j->C*HW, 0, (size_t)(j->C*HW) * sizeof(REAL));
    for (ptrdiff_t h = 0; h < j->H; h++)
        for (ptrdiff_t w = 0; w < W; w++) {
            const ptrdiff_t i = h*W + w;
            const FN(warp_axis) x = FN(warp_axis_of)((REAL)w + flow_b[i], W);
            const FN(warp_axis) y = FN(warp_axis_of)((REAL)h + flow_b[HW + i], j->H);
            REAL dx = 0, dy = 0;
            for (ptrdiff_t c = 0; c < j->C; c++) {
                const ptrdiff_t plane = (b*j->C + c)*HW;
                const REAL d = j->dy[plane + i];

                // forward: y = above + y.share * (below - above), both linear in x.share
                if (j->dflow) {
                    const REAL *up = j->image + plane + y.low*W;
                    const REAL *down = j->image + plane + y.high*W;
                    const REAL slope_up = up[x.high] - up[x.low];
                    const REAL slope_down = down[x.high] - down[x.low];
                    dx += d * (slope_up + y.share * (slope_down - slope_up));
                    dy += d * (down[x.low] - up[x.low] + x.share * (slope_down - slope_up));
                }
                if (j->dimage) {
                    REAL *up = j->dimage + plane + y.low*W, *down = j->dimage + plane + y.high*W;
                    const REAL d_down = y.share * d, d_up = d - d_down;
                    up[x.low] += (1 - x.share) * d_up;
                    up[x.high] += x.share * d_up;
                    down[x.low] += (1 - x.share) * d_down;
                    down[x.high] += x.share * d_down;
                }
            }
            if (j->dflow) {
                j->dflow[2*b*HW + i] = x.inside ? dx : 0;
                j->dflow[2*b*HW + HW + i] = y.inside ? dy : 0;
            }
        }
}

gl_result FN(gl_warp_forward)(REAL *y, const REAL *image, const REAL *flow, ptrdiff_t B,
                              ptrdiff_t C, ptrdiff_t H, ptrdiff_t W, int nth) {
    gl_refused refused = GL_NONE_REFUSED;
    FN(warp_job) job = {.y = y, .image = image, .flow = flow, .B = B, .C = C, .H = H, .W = W,
                        .refused = &refused};
    gl_pool_run(FN(warp_task), &job, B, nth);
    return gl_refused_result(&refused);
}

gl_result FN(gl_warp_backward)(REAL *dimage, REAL *dflow, const REAL *dy, const REAL *image,
                               const REAL *flow, ptrdiff_t B, ptrdiff_t C, ptrdiff_t H,
                               ptrdiff_t W, int nth) {
    gl_refused refused = GL_NONE_REFUSED;
    FN(warp_job) job = {.dimage = dimage, .dflow = dflow, .dy = dy, .image = image, .flow = flow,
                        .B = B, .C = C, .H = H, .W = W, .refused = &refused};
    gl_pool_run(FN(warp_backward_task), &job, B, nth);
    return gl_refused_result(&refused);
}
