// The input is projected in products over all steps. Then a task is a block of samples that runs
// through all steps: at each, the states of the samples whose length goes so far are brought side
// by side for one product h wh, and each gets its row of gates. Backward the same, from the last
// step to the first, then products over all steps for the weights and the input.

typedef struct {
    const FN(gl_recurrent) *a;
    ptrdiff_t S;            // rows of a sample's state
    ptrdiff_t rows;         // samples a task
    REAL *trace;            // y itself for an RNN
    ptrdiff_t width;        // of a row of trace
    char *work;             // scratch of the workers
    ptrdiff_t scratch;      // bytes a worker
    REAL *wh_t;             // (G, H, H) backward: wh transposed
    REAL *da, *du;          // (B, T, G, H) gradients of x wx and h wh; the same but for a GRU
    REAL *before;           // (B, T, H) h before each step
} FN(recurrent_job);

// Of a worker, in either pass: a block's rows of H and of G * H.
static ptrdiff_t FN(recurrent_scratch)(const FN(gl_recurrent) *a) {
    const ptrdiff_t item = sizeof(REAL), n = gl_size_mul(block_rows(a->B), a->H);
    return gl_size_add(gl_carve_size(n, item), gl_carve_size(gl_size_mul(n, a->G), item));
}

static FN(recurrent_job) FN(recurrent_start)(const FN(gl_recurrent) *a) {
    const int rnn = a->G == 1;
    return (FN(recurrent_job)){.a = a, .S = a->G == 4 ? 2 : 1, .rows = block_rows(a->B),
                               .scratch = FN(recurrent_scratch)(a), .trace = rnn ? a->y : a->trace,
                               .width = rnn ? a->H : (a->G + 1)*a->H};
}

static ptrdiff_t FN(length)(const FN(gl_recurrent) *a, ptrdiff_t b) {
    return a->lengths ? (ptrdiff_t)a->lengths[b] : a->T;
}

static int FN(is_live)(const FN(gl_recurrent) *a, ptrdiff_t b, ptrdiff_t t) {
    return t < FN(length)(a, b);
}

// Steps that count and lie side by side from sample *b on; *b becomes the first sample behind.
static ptrdiff_t FN(next_span)(const FN(gl_recurrent) *a, ptrdiff_t *b) {
    ptrdiff_t rows = 0, n;
    do {
        n = FN(length)(a, (*b)++);
        rows += n;
    } while (n == a->T && *b < a->B);
    return rows;
}

static void FN(recurrent_forward_task)(void *arg, ptrdiff_t task, int worker) {
    const FN(recurrent_job) *j = arg;
    const FN(gl_recurrent) *a = j->a;
    const ptrdiff_t T = a->T, H = a->H, GH = a->G*H, SH = j->S*H;
    const ptrdiff_t b0 = task*j->rows, b1 = GL_MIN(b0 + j->rows, a->B);
    const size_t bytes = (size_t)H * sizeof(REAL);
    char *cursor = j->work + worker*j->scratch;
    REAL *h = gl_carve(&cursor, j->rows*H, sizeof(REAL));
    REAL *u = gl_carve(&cursor, j->rows*GH, sizeof(REAL));

    memcpy(a->last + b0*SH, a->first + b0*SH, (size_t)((b1 - b0)*SH) * sizeof(REAL));
    for (ptrdiff_t b = b0; b < b1; b++) {
        const ptrdiff_t n = FN(length)(a, b);
        memset(a->y + (b*T + n)*H, 0, (size_t)((T - n)*H) * sizeof(REAL));
    }
    for (ptrdiff_t s = 0; s < T; s++) {
        const ptrdiff_t t = a->reverse ? T - 1 - s : s;
        ptrdiff_t live = 0;
        for (ptrdiff_t b = b0; b < b1; b++)
            if (FN(is_live)(a, b, t)) memcpy(h + live++*H, a->last + b*SH, bytes);
        GL_K(product)(u, GH, h, H, 1, a->wh, GH, live, GH, H, 0);

        const REAL *u_b = u;
        for (ptrdiff_t b = b0; b < b1; b++) {
            if (!FN(is_live)(a, b, t)) continue;
            REAL *y_bt = a->y + (b*T + t)*H, *trace_bt = j->trace + (b*T + t)*j->width;
            REAL *state_b = a->last + b*SH;
            if (a->G == 1)
                GL_K(rnn_step)(y_bt, state_b, u_b, a->relu, H);
            else if (a->G == 3)
                GL_K(gru_step)(y_bt, state_b, trace_bt, u_b, a->bias_hidden, H);
            else
                GL_K(lstm_step)(y_bt, state_b, trace_bt, u_b, H);
            u_b += GH;
        }
    }
}

ptrdiff_t FN(gl_recurrent_forward_workspace)(const FN(gl_recurrent) *a, int nth) {
    return gl_size_mul(FN(recurrent_scratch)(a), nth);
}

void FN(gl_recurrent_forward)(const FN(gl_recurrent) *a, void *work, int nth) {
    FN(recurrent_job) job = FN(recurrent_start)(a);
    job.work = work;
    for (ptrdiff_t b = 0; b < a->B;) {
        const ptrdiff_t at = b*a->T, rows = FN(next_span)(a, &b);
        FN(gl_linear_forward)(job.trace + at*job.width, job.width, a->x + at*a->I, a->I, a->wx,
                              a->bias, 0, rows, a->I, a->G*a->H, nth);
    }
    gl_pool_run(FN(recurrent_forward_task), &job, GL_CEIL_DIV(a->B, job.rows), nth);
}

static void FN(recurrent_transpose_task)(void *arg, ptrdiff_t task, int worker) {
    (void)worker;
    const FN(recurrent_job) *j = arg;
    const ptrdiff_t H = j->a->H, GH = j->a->G*H;
    const ptrdiff_t c0 = task*COLUMNS, c1 = GL_MIN(c0 + COLUMNS, GH);
    for (ptrdiff_t h = 0; h < H; h++)
        for (ptrdiff_t c = c0; c < c1; c++) j->wh_t[c*H + h] = j->a->wh[h*GH + c];
}

static void FN(recurrent_backward_task)(void *arg, ptrdiff_t task, int worker) {
    const FN(recurrent_job) *j = arg;
    const FN(gl_recurrent) *a = j->a;
    const ptrdiff_t T = a->T, H = a->H, GH = a->G*H, SH = j->S*H;
    const ptrdiff_t b0 = task*j->rows, b1 = GL_MIN(b0 + j->rows, a->B);
    const size_t bytes = (size_t)H * sizeof(REAL);
    char *cursor = j->work + worker*j->scratch;
    REAL *dh = gl_carve(&cursor, j->rows*H, sizeof(REAL));
    REAL *du = gl_carve(&cursor, j->rows*GH, sizeof(REAL));

    // dfirst is the gradient of the state, from the last step back to the first
    if (a->dlast)
        memcpy(a->dfirst + b0*SH, a->dlast + b0*SH, (size_t)((b1 - b0)*SH) * sizeof(REAL));
    else
        memset(a->dfirst + b0*SH, 0, (size_t)((b1 - b0)*SH) * sizeof(REAL));
    for (ptrdiff_t b = b0; b < b1; b++) {
        const ptrdiff_t n = FN(length)(a, b);
        memset(a->dx + (b*T + n)*a->I, 0, (size_t)((T - n)*a->I) * sizeof(REAL));
    }
    for (ptrdiff_t s = T - 1; s >= 0; s--) {
        const ptrdiff_t t = a->reverse ? T - 1 - s : s;
        ptrdiff_t live = 0;
        for (ptrdiff_t b = b0; b < b1; b++) {
            if (!FN(is_live)(a, b, t)) continue;
            const ptrdiff_t at = b*T + t, at_before = a->reverse ? at + 1 : at - 1;
            const int starts = a->reverse ? t == FN(length)(a, b) - 1 : t == 0;
            const REAL *trace_bt = j->trace + at*j->width, *first_b = a->first + b*SH;
            const REAL *h_before = starts ? first_b : a->y + at_before*H;
            REAL *da_bt = j->da + at*GH, *du_bt = j->du + at*GH, *dstate_b = a->dfirst + b*SH;
            memcpy(j->before + at*H, h_before, bytes);
            if (a->dy)
                for (ptrdiff_t k = 0; k < H; k++) dstate_b[k] += a->dy[at*H + k];

            if (a->G == 1)
                GL_K(rnn_step_backward)(da_bt, dstate_b, trace_bt, a->relu, H);
            else if (a->G == 3)
                GL_K(gru_step_backward)(da_bt, du_bt, dstate_b, trace_bt, h_before, H);
            else
                GL_K(lstm_step_backward)(da_bt, dstate_b, trace_bt, starts ? first_b + H
                                         : j->trace + at_before*j->width + 4*H, H);
            memcpy(dh + live*H, dstate_b, bytes);
            memcpy(du + live++*GH, du_bt, (size_t)a->G * bytes);
        }
        // forward: u = h' wh; the h' of a GRU has a gradient already
        GL_K(product)(dh, H, du, GH, 1, j->wh_t, H, live, H, GH, a->G == 3);
        const REAL *dh_b = dh;
        for (ptrdiff_t b = b0; b < b1; b++) {
            if (!FN(is_live)(a, b, t)) continue;
            memcpy(a->dfirst + b*SH, dh_b, bytes);
            dh_b += H;
        }
    }
}

ptrdiff_t FN(gl_recurrent_backward_workspace)(const FN(gl_recurrent) *a, int nth) {
    const ptrdiff_t item = sizeof(REAL), GH = gl_size_mul(a->G, a->H);
    const ptrdiff_t BT = gl_size_mul(a->B, a->T), da = gl_carve_size(gl_size_mul(BT, GH), item);
    ptrdiff_t n = gl_size_mul(FN(recurrent_scratch)(a), nth);
    n = gl_size_add(n, gl_carve_size(gl_size_mul(GH, a->H), item));
    n = gl_size_add(n, gl_size_mul(a->G == 3 ? 2 : 1, da));
    return gl_size_add(n, gl_carve_size(gl_size_mul(BT, a->H), item));
}

void FN(gl_recurrent_backward)(const FN(gl_recurrent) *a, void *work, int nth) {
    const ptrdiff_t H = a->H, GH = a->G*H, BT = a->B*a->T;
    FN(recurrent_job) job = FN(recurrent_start)(a);
    char *cursor = work;
    job.wh_t = gl_carve(&cursor, GH*H, sizeof(REAL));
    job.da = gl_carve(&cursor, BT*GH, sizeof(REAL));
    job.du = a->G == 3 ? gl_carve(&cursor, BT*GH, sizeof(REAL)) : job.da;
    job.before = gl_carve(&cursor, BT*H, sizeof(REAL));
    job.work = cursor;

    gl_pool_run(FN(recurrent_transpose_task), &job, GL_CEIL_DIV(GH, COLUMNS), nth);
    gl_pool_run(FN(recurrent_backward_task), &job, GL_CEIL_DIV(a->B, job.rows), nth);
    for (ptrdiff_t b = 0; b < a->B;) {
        const ptrdiff_t at = b*a->T, rows = FN(next_span)(a, &b);
        const REAL *da = job.da + at*GH, *du = job.du + at*GH;
        // forward: a = x wx + bias, u = h' wh, m = u_n + bias_hidden
        FN(gl_linear_backward)(a->dx + at*a->I, a->I, a->dwx, a->dbias, da, GH, a->x + at*a->I,
                               a->I, a->wx, 0, rows, a->I, GH, nth);
        FN(gl_linear_backward)(NULL, 0, a->dwh, NULL, du, GH, job.before + at*H, H, NULL, 0, rows,
                               H, GH, nth);
        if (a->G == 3)
            FN(gl_linear_backward)(NULL, 0, NULL, a->dbias_hidden, du + 2*H, GH, NULL, 0, NULL, 0,
                                   rows, H, H, nth);
    }
}
