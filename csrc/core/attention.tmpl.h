typedef struct {
    const FN(gl_attention) *a;
    char *work;
    ptrdiff_t scratch;
} FN(attention_job);

// A task is one block of queries of one head.
static void FN(forward_task)(void *arg, ptrdiff_t task, int worker) {
    const FN(attention_job) *j = arg;
    const ptrdiff_t blocks = GL_CEIL_DIV(j->a->Tq, GL_ATTENTION_QUERY_BLOCK);
    const ptrdiff_t head = task / blocks;
    GL_K(attention_forward_block)(j->a, head / j->a->H, head % j->a->H,
                                  task % blocks * GL_ATTENTION_QUERY_BLOCK,
                                  j->work + worker*j->scratch);
}

void FN(gl_attention_forward)(const FN(gl_attention) *a, void *work, int nth) {
    FN(attention_job) job = {a, work, GL_K(attention_forward_scratch)(a->D, a->E)};
    // without width nothing is written, and B and H are bounded by no memory
    if (a->E == 0 && !a->lse) return;
    const ptrdiff_t blocks = GL_CEIL_DIV(a->Tq, GL_ATTENTION_QUERY_BLOCK);
    gl_pool_run(FN(forward_task), &job, a->B * a->H * blocks, nth);
}

// A task is one head: its sums over queries and over keys then have one order.
static void FN(backward_task)(void *arg, ptrdiff_t task, int worker) {
    const FN(attention_job) *j = arg;
    GL_K(attention_backward_head)(j->a, task / j->a->H, task % j->a->H,
                                  j->work + worker*j->scratch);
}

void FN(gl_attention_backward)(const FN(gl_attention) *a, void *work, int nth) {
    FN(attention_job) job = {a, work, GL_K(attention_backward_scratch)(a->D, a->E)};
    if (a->Tq == 0 && !a->dgate && (a->Tk == 0 || a->D + a->E == 0)) return;
    gl_pool_run(FN(backward_task), &job, a->B * a->H, nth);
}

ptrdiff_t FN(gl_attention_forward_workspace)(const FN(gl_attention) *a, int nth) {
    return gl_size_mul(nth, GL_K(attention_forward_scratch)(a->D, a->E));
}

ptrdiff_t FN(gl_attention_backward_workspace)(const FN(gl_attention) *a, int nth) {
    return gl_size_mul(nth, GL_K(attention_backward_scratch)(a->D, a->E));
}
