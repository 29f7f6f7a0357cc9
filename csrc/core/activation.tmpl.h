typedef struct {
    REAL *out;
    const REAL *dy, *xy;
    FN(gl_map) *forward;
    FN(gl_map_backward) *backward;
    ptrdiff_t N;
} FN(activation_job);

static void FN(activation_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(activation_job) *j = arg;
    const ptrdiff_t i = task*CHUNK, n = GL_MIN(CHUNK, j->N - i);
    if (j->forward)
        j->forward(j->out + i, j->xy + i, n);
    else
        j->backward(j->out + i, j->dy + i, j->xy + i, n);
}

void FN(gl_activation_forward)(REAL *y, const REAL *x, gl_activation f, ptrdiff_t N, int nth) {
    FN(gl_map) *const maps[] = {
        [GL_GELU] = GL_K(gelu), [GL_GELU_EXACT] = GL_K(gelu_exact), [GL_TANH] = GL_K(tanh_map),
        [GL_RELU] = GL_K(relu), [GL_SIGMOID] = GL_K(sigmoid),
    };
    FN(activation_job) job = {.out = y, .xy = x, .forward = maps[f], .N = N};
    gl_pool_run(FN(activation_task), &job, GL_CEIL_DIV(N, CHUNK), nth);
}

void FN(gl_activation_backward)(REAL *dx, const REAL *dy, const REAL *xy, gl_activation f,
                                ptrdiff_t N, int nth) {
    FN(gl_map_backward) *const maps[] = {
        [GL_GELU] = GL_K(gelu_backward), [GL_GELU_EXACT] = GL_K(gelu_exact_backward),
        [GL_TANH] = GL_K(tanh_backward), [GL_RELU] = GL_K(relu_backward),
        [GL_SIGMOID] = GL_K(sigmoid_backward),
    };
    FN(activation_job) job = {.out = dx, .dy = dy, .xy = xy, .backward = maps[f], .N = N};
    gl_pool_run(FN(activation_task), &job, GL_CEIL_DIV(N, CHUNK), nth);
}
