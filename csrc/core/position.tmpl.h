typedef struct {
    REAL *out;
    const REAL *x, *cosine, *sine;
    const ptrdiff_t *out_stride, *x_stride;
    int inverse;
    ptrdiff_t H, T, D;
} FN(rotary_job);

// A task is a block of steps of one head.
static void FN(rotary_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(rotary_job) *j = arg;
    const ptrdiff_t blocks = GL_CEIL_DIV(j->T, ROWS);
    const ptrdiff_t b = task / blocks / j->H, h = task / blocks % j->H;
    const ptrdiff_t t = task % blocks * ROWS, n = GL_MIN(ROWS, j->T - t);
    const ptrdiff_t *os = j->out_stride, *xs = j->x_stride;
    REAL *out = j->out + b*os[0] + h*os[1] + t*os[2];
    const REAL *x = j->x + b*xs[0] + h*xs[1] + t*xs[2];
    for (ptrdiff_t i = 0; out != x && i < n; i++)
        memcpy(out + i*os[2], x + i*xs[2], (size_t)j->D * sizeof(REAL));
    GL_K(rotate)(out, os[2], j->cosine + t*j->D/2, j->sine + t*j->D/2, j->inverse, n, j->D);
}

void FN(gl_rotary)(REAL *out, const ptrdiff_t out_stride[3], const REAL *x,
                   const ptrdiff_t x_stride[3], const REAL *cosine, const REAL *sine, int inverse,
                   ptrdiff_t B, ptrdiff_t H, ptrdiff_t T, ptrdiff_t D, int nth) {
    FN(rotary_job) job = {.out = out, .x = x, .cosine = cosine, .sine = sine,
                          .out_stride = out_stride, .x_stride = x_stride, .inverse = inverse,
                          .H = H, .T = T, .D = D};
    // without width nothing is written, and B and H are bounded by no memory
    if (D == 0) return;
    gl_pool_run(FN(rotary_task), &job, B * H * GL_CEIL_DIV(T, ROWS), nth);
}
