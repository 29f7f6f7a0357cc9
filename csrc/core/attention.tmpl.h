typedef void FN(block_kernel)(const FN(gl_attention) *, ptrdiff_t, ptrdiff_t, ptrdiff_t, void *);

typedef struct {
    const FN(gl_attention) *a;
    char *work;
    ptrdiff_t scratch;      // bytes a worker
    FN(block_kernel) *block;
    ptrdiff_t blocks, n;    // blocks of rows, and entries of the second axis
} FN(attention_job);

// A task is one block of rows of one head, or of one bias.
static void FN(block_task)(void *arg, ptrdiff_t task, int worker) {
    const FN(attention_job) *j = arg;
    const ptrdiff_t which = task / j->blocks;
    j->block(j->a, which / j->n, which % j->n, task % j->blocks * GL_ATTENTION_QUERY_BLOCK,
             j->work + worker*j->scratch);
}

void FN(gl_attention_forward)(const FN(gl_attention) *a, void *work, int nth) {
    FN(attention_job) job = {
        .a = a, .work = work, .scratch = GL_K(attention_forward_scratch)(a->D, a->E),
        .block = GL_K(attention_forward_block), .n = a->H,
        .blocks = GL_CEIL_DIV(a->Tq, GL_ATTENTION_QUERY_BLOCK),
    };
    // without width nothing is written, and B and H are bounded by no memory
    if (a->E == 0 && !a->lse) return;
    gl_pool_run(FN(block_task), &job, a->B * a->H * job.blocks, nth);
}

void FN(gl_attention_weights)(const FN(gl_attention) *a, void *work, int nth) {
    FN(attention_job) job = {
        .a = a, .work = work, .scratch = GL_K(attention_weights_scratch)(a->D),
        .block = GL_K(attention_weights_block), .n = a->H,
        .blocks = GL_CEIL_DIV(a->R, GL_ATTENTION_QUERY_BLOCK),
    };
    if (a->Tk == 0) return;
    gl_pool_run(FN(block_task), &job, a->B * a->H * job.blocks, nth);
}

// A task is one head of keys: its sums over queries and over keys then have one order.
static void FN(backward_task)(void *arg, ptrdiff_t task, int worker) {
    const FN(attention_job) *j = arg;
    GL_K(attention_backward_head)(j->a, task / j->a->G, task % j->a->G,
                                  j->work + worker*j->scratch);
}

void FN(gl_attention_backward)(const FN(gl_attention) *a, void *work, int nth) {
    FN(attention_job) job = {
        .a = a, .work = work, .scratch = GL_K(attention_backward_scratch)(a->D, a->E),
        .block = GL_K(attention_bias_block), .n = a->biases_h,
        .blocks = GL_CEIL_DIV(a->Tq, GL_ATTENTION_QUERY_BLOCK),
    };
    if (a->Tq == 0 && !a->dgate && (a->Tk == 0 || a->D + a->E == 0)) return;
    gl_pool_run(FN(backward_task), &job, a->B * a->G, nth);
    if (a->dbias && a->Tk > 0)
        gl_pool_run(FN(block_task), &job, a->biases_b * a->biases_h * job.blocks, nth);
}

ptrdiff_t FN(gl_attention_forward_workspace)(const FN(gl_attention) *a, int nth) {
    return gl_size_mul(nth, GL_K(attention_forward_scratch)(a->D, a->E));
}

ptrdiff_t FN(gl_attention_backward_workspace)(const FN(gl_attention) *a, int nth) {
    return gl_size_mul(nth, GL_K(attention_backward_scratch)(a->D, a->E));
}

ptrdiff_t FN(gl_attention_weights_workspace)(const FN(gl_attention) *a, int nth) {
    return gl_size_mul(nth, GL_K(attention_weights_scratch)(a->D));
}
