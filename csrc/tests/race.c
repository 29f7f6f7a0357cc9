// The core from several threads at once, without Python: for ThreadSanitizer, AddressSanitizer and
// UndefinedBehaviorSanitizer.
//
// A plain run on one thread is the oracle; then CALLERS threads, each with arrays of its own, run
// every topic TURNS times on the pool. Every result must be the oracle's, bit for bit.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../core/additive.h"
#include "../core/advantage.h"
#include "../core/attention.h"
#include "../core/bernoulli.h"
#include "../core/combiner.h"
#include "../core/conv.h"
#include "../core/decode.h"
#include "../core/embedding.h"
#include "../core/gated_heads.h"
#include "../core/gated_mlp.h"
#include "../core/gaussian.h"
#include "../core/gl_isa.h"
#include "../core/gl_pool.h"
#include "../core/glimpse.h"
#include "../core/hard.h"
#include "../core/linear.h"
#include "../core/loss.h"
#include "../core/max_pool.h"
#include "../core/norm.h"
#include "../core/optim.h"
#include "../core/position.h"
#include "../core/recurrent.h"
#include "../core/warp.h"

enum { CALLERS = 4, TURNS = 4, NTH = 3, ARENA = 1 << 21, GAP = 32 };

// Memory of one caller: what is filled counts as a result.
typedef struct {
    float *next, *end;
    unsigned seed;
} arena;

static float *take(arena *a, ptrdiff_t n) {
    float *p = a->next;
    a->next += n + GAP;
    if (a->next > a->end) {
        fprintf(stderr, "the arena is too small\n");
        exit(2);
    }
#ifdef GL_ASAN
    ASAN_POISON_MEMORY_REGION(p + n, GAP * sizeof(float));
#endif
    return p;
}

static float *draw(arena *a, ptrdiff_t n) {
    float *p = take(a, n);
    for (ptrdiff_t i = 0; i < n; i++) {
        a->seed = a->seed * 1664525u + 1013904223u;
        p[i] = (float)(a->seed >> 8) / (float)(1 << 23) - 1;
    }
    return p;
}

// Of exactly the size asked for, so that AddressSanitizer sees an overrun.
static void *scratch(ptrdiff_t bytes) {
    void *p = bytes < 0 ? NULL : aligned_alloc(GL_ALIGN, (size_t)(bytes / GL_ALIGN + 1) * GL_ALIGN);
    if (p == NULL) {
        fprintf(stderr, "no workspace of %td bytes\n", bytes);
        exit(2);
    }
    return p;
}

static void release(void *work, ptrdiff_t bytes) {
#ifdef GL_ASAN
    ASAN_UNPOISON_MEMORY_REGION(work, (size_t)bytes);
#else
    (void)bytes;
#endif
    free(work);
}

#define CALL(FN, args, nth)                                  \
    do {                                                     \
        const ptrdiff_t bytes = FN##_workspace_f32(args, nth); \
        void *work = scratch(bytes);                         \
        FN##_f32(args, work, nth);                           \
        release(work, bytes);                                \
    } while (0)

static void run_attention(arena *m, int nth) {
    enum { B = 2, H = 3, T = 150, D = 17 };
    const ptrdiff_t b = H*T*D, h = T*D, n = B*b;
    static const int64_t lengths[B] = {T, 101};
    float *gate = draw(m, B*H);
    gate[1] = 0;
    static const int64_t rows[3] = {0, 149, 70};
    gl_attention_f32 a = {
        .B = B, .H = H, .G = H, .Tq = T, .Tk = T, .D = D, .E = D, .scale = 0.25f, .left = 90,
        .right = 0, .gate = gate, .query_lengths = lengths, .key_lengths = lengths,
        .bias = {draw(m, T*T), 0, 0, T}, .dropout = 0.1, .seed = 7,
        .q = {draw(m, n), b, h, D}, .k = {draw(m, n), b, h, D}, .v = {draw(m, n), b, h, D},
        .dout = {draw(m, n), b, h, D}, .out = {take(m, n), b, h, D}, .lse = take(m, B*H*T),
        .dq = {take(m, n), b, h, D}, .dk = {take(m, n), b, h, D}, .dv = {take(m, n), b, h, D},
        .dgate = take(m, B*H), .dbias = take(m, T*T), .biases_b = 1, .biases_h = 1,
        .rows = rows, .R = 3, .weights = take(m, B*H*3*T),
    };
    CALL(gl_attention_forward, &a, nth);
    CALL(gl_attention_backward, &a, nth);
    CALL(gl_attention_weights, &a, nth);
}

static void run_additive(arena *m, int nth) {
    enum { B = 2, Tq = 70, Tk = 37, A = 18, E = 5 };
    static const int64_t lengths[B] = {Tk, 20};
    gl_additive_f32 a = {
        .B = B, .Tq = Tq, .Tk = Tk, .A = A, .E = E, .causal = 1, .key_lengths = lengths,
        .query = draw(m, B*Tq*A), .key = draw(m, B*Tk*A), .value = draw(m, B*Tk*E),
        .weight = draw(m, A), .out = take(m, B*Tq*E), .lse = take(m, B*Tq), .p = take(m, B*Tq*Tk),
        .dout = draw(m, B*Tq*E), .dquery = take(m, B*Tq*A), .dkey = take(m, B*Tk*A),
        .dvalue = take(m, B*Tk*E), .dweight = take(m, A),
    };
    CALL(gl_additive_forward, &a, nth);
    CALL(gl_additive_backward, &a, nth);

    // again without the weights
    a.p = NULL;
    CALL(gl_additive_forward, &a, nth);
}

// Queries enough for a task each, then one whose keys are shared; the first draw is refused.
static void run_hard(arena *m, int nth) {
    enum { B = 2, T = 70, S = 75, D = 6, E = 3, LONG = 2100 };
    static const int64_t lengths[B] = {S, 40}, all[B] = {LONG, LONG};
    int64_t actions[B*T];
    for (int few = 0; few < 2; few++) {
        const ptrdiff_t Tq = few ? 1 : T, Tk = few ? LONG : S, rows = B*Tq;
        float *uniforms = draw(m, rows);
        gl_hard_f32 a = {
            .heads = {.B = B, .H = 1, .G = 1, .Tq = Tq, .Tk = Tk, .D = D, .E = E, .scale = 0.25f,
                      .q = {draw(m, rows*D), Tq*D, Tq*D, D}, .k = {draw(m, B*Tk*D), Tk*D, Tk*D, D},
                      .v = {draw(m, B*Tk*E), Tk*E, Tk*E, E}, .key_lengths = few ? all : lengths,
                      .left = -1, .right = few ? -1 : 0, .out = {take(m, rows*E), Tq*E, Tq*E, E},
                      .lse = take(m, rows), .dout = {draw(m, rows*E), Tq*E, Tq*E, E},
                      .dq = {take(m, rows*D), Tq*D, Tq*D, D},
                      .dk = {take(m, B*Tk*D), Tk*D, Tk*D, D},
                      .dv = {take(m, B*Tk*E), Tk*E, Tk*E, E}},
            .uniforms = uniforms, .actions = actions, .logp = take(m, rows),
            .entropy = take(m, rows), .dlogp = draw(m, rows), .dentropy = draw(m, rows),
        };
        uniforms[rows - 1] = -1;
        CALL(gl_hard_forward, &a, nth);
        for (ptrdiff_t i = 0; i < rows; i++) uniforms[i] = uniforms[i] < 0 ? 0.25f : uniforms[i];
        CALL(gl_hard_forward, &a, nth);
        CALL(gl_hard_backward, &a, nth);
    }
}

static void run_rotary(arena *m, int nth) {
    enum { B = 2, H = 3, T = 300, D = 6 };
    static const ptrdiff_t strides[3] = {H*T*D, T*D, D};
    gl_rotary_f32(take(m, B*H*T*D), strides, draw(m, B*H*T*D), strides, draw(m, T*D/2),
                  draw(m, T*D/2), 0, B, H, T, D, nth);
}

static void run_heads(arena *m, int nth) {
    enum { B = 4, T = 20, C = 18, H = 3, D = 6 };
    static const int64_t lengths[B] = {T, 3, 0, T};
    float *gate = draw(m, B*H);
    gate[0] = gate[5] = 0;
    gl_gated_heads_f32 a = {
        .B = B, .T = T, .C = C, .H = H, .D = D, .eps = 1e-5f, .scale = 0.4f, .causal = 1,
        .lengths = lengths, .bias = draw(m, B*T), .dbias = take(m, B*T), .gate = gate,
        .norm_weight = draw(m, C), .norm_bias = draw(m, C), .shift = draw(m, 3*C),
        .wqkv = draw(m, 3*C*H*D), .wo = draw(m, H*D*C),
        .cosine = draw(m, T*D/2), .sine = draw(m, T*D/2), .x = draw(m, B*T*C),
        .y = take(m, B*T*C), .qkv = take(m, B*T*3*H*D), .out = take(m, B*T*H*D),
        .lse = take(m, B*H*T), .dy = draw(m, B*T*C), .dx = take(m, B*T*C), .dgate = take(m, B*H),
        .dnorm_weight = take(m, C), .dnorm_bias = take(m, C), .dshift = take(m, 3*C),
        .dwqkv = take(m, 3*C*H*D), .dwo = take(m, H*D*C),
    };
    CALL(gl_gated_heads_forward, &a, nth);
    CALL(gl_gated_heads_backward, &a, nth);

    // again without saving, over its own input
    a.qkv = a.out = a.lse = NULL;
    a.y = memcpy(take(m, B*T*C), a.x, sizeof(float) * B*T*C);
    a.x = a.y;
    CALL(gl_gated_heads_forward, &a, nth);
}

static void run_mlp(arena *m, int nth) {
    enum { B = 3, T = 140, C = 9, F = 70 };
    float *gate = draw(m, B);
    gate[1] = 0;
    gl_gated_mlp_f32 a = {
        .B = B, .T = T, .C = C, .F = F, .eps = 1e-5f, .gate = gate, .norm_weight = draw(m, C),
        .norm_bias = draw(m, C), .w1 = draw(m, C*F), .w2 = draw(m, F*C), .x = draw(m, B*T*C),
        .y = take(m, B*T*C), .hidden = take(m, B*T*F), .dy = draw(m, B*T*C), .dx = take(m, B*T*C),
        .dgate = take(m, B), .dnorm_weight = take(m, C), .dnorm_bias = take(m, C),
        .dw1 = take(m, C*F), .dw2 = take(m, F*C),
    };
    CALL(gl_gated_mlp_forward, &a, nth);
    CALL(gl_gated_mlp_backward, &a, nth);
}

// Two steps of three samples, of which each head has other ones open; then the logits.
static void run_decode(arena *m, int nth) {
    enum { B = 3, N = 2, C = 70, H = 2, D = 6, P = 4, S = 310, F = 75, V = 130 };
    static const int64_t first[H] = {0, 3}, sample[P] = {0, 1, 2, 1};
    static const int64_t lengths[B] = {0, 300, 5};
    gl_decode_heads_args_f32 a = {
        .B = B, .N = N, .C = C, .H = H, .D = D, .P = P, .S = S, .eps = 1e-5f, .scale = 0.4f,
        .first = first, .sample = sample, .factor = draw(m, P), .lengths = lengths,
        .norm_weight = draw(m, C), .norm_bias = draw(m, C), .shift = draw(m, 3*C),
        .wqkv = draw(m, 3*C*H*D), .wo = draw(m, H*D*C), .cosine = draw(m, S*D/2),
        .sine = draw(m, S*D/2), .x = draw(m, B*N*C), .keys = draw(m, P*S*D),
        .values = draw(m, P*S*D), .previous = draw(m, B*C), .last = take(m, B*C),
    };
    CALL(gl_decode_heads, &a, nth);

    float *gate = draw(m, B);
    gate[1] = 0;
    gl_decode_mlp_args_f32 mlp = {
        .B = B, .N = N, .C = C, .F = F, .eps = 1e-5f, .norm_weight = draw(m, C),
        .norm_bias = draw(m, C), .w1 = draw(m, C*F), .w2 = draw(m, F*C), .gate = gate, .x = a.x,
    };
    CALL(gl_decode_mlp, &mlp, nth);

    gl_decode_logits_args_f32 logits = {
        .B = B*N, .C = C, .V = V, .eps = 1e-5f, .norm_weight = draw(m, C),
        .norm_bias = draw(m, C), .table = draw(m, V*C), .x = a.x, .logits = take(m, B*N*V),
    };
    CALL(gl_decode_logits, &logits, nth);
}

static void run_norm(arena *m, int nth) {
    enum { N = 300, C = 21 };
    float *x = draw(m, N*C), *weight = draw(m, C), *mean = take(m, N), *rstd = take(m, N);
    gl_layer_norm_forward_f32(take(m, N*C), mean, rstd, x, weight, draw(m, C), 1e-5f, N, C, nth);
    const ptrdiff_t bytes = gl_layer_norm_backward_workspace(N, C) * (ptrdiff_t)sizeof(float);
    void *work = scratch(bytes);
    gl_layer_norm_backward_f32(take(m, N*C), take(m, C), take(m, C), draw(m, N*C), x, mean, rstd,
                               weight, work, N, C, nth);
    release(work, bytes);
}

static void run_linear(arena *m, int nth) {
    enum { N = 260, I = 33, O = 70 };
    for (int transposed = 0; transposed < 2; transposed++) {
        float *x = draw(m, N*I), *weight = draw(m, I*O);
        gl_linear_forward_f32(take(m, N*O), O, x, I, weight, draw(m, O), transposed, N, I, O, nth);
        gl_linear_backward_f32(take(m, N*I), I, take(m, I*O), take(m, O), draw(m, N*O), O, x, I,
                               weight, transposed, N, I, O, nth);
    }
}

static void run_recurrent(arena *m, int nth) {
    enum { B = 19, T = 7, I = 5, H = 18 };
    static const ptrdiff_t gates[] = {1, 3, 4};
    int64_t lengths[B];
    for (int b = 0; b < B; b++) lengths[b] = b * 5 % (T + 1);
    for (int k = 0; k < 3; k++) {
        const ptrdiff_t G = gates[k], S = G == 4 ? 2 : 1;
        gl_recurrent_f32 a = {
            .B = B, .T = T, .I = I, .H = H, .G = G, .reverse = k == 1, .lengths = lengths,
            .wx = draw(m, I*G*H), .wh = draw(m, H*G*H), .bias = draw(m, G*H),
            .bias_hidden = draw(m, H), .x = draw(m, B*T*I), .first = draw(m, B*S*H),
            .y = take(m, B*T*H), .trace = take(m, B*T*(G + 1)*H), .last = take(m, B*S*H),
            .dy = draw(m, B*T*H), .dlast = draw(m, B*S*H), .dx = take(m, B*T*I),
            .dfirst = take(m, B*S*H), .dwx = take(m, I*G*H), .dwh = take(m, H*G*H),
            .dbias = take(m, G*H), .dbias_hidden = take(m, H),
        };
        CALL(gl_recurrent_forward, &a, nth);
        CALL(gl_recurrent_backward, &a, nth);
    }
}

static void run_combiner(arena *m, int nth) {
    enum { B = 200, M = 3, D = 60, C = 70, S = 9 };
    static const int64_t widths[M] = {20, 15, 25};
    uint8_t present[B*M];
    for (int b = 0; b < B; b++)
        for (int i = 0; i < M; i++) present[b*M + i] = i < 2 || b % 3 > 0;
    for (int masked = 0; masked < 2; masked++) {
        gl_combiner_f32 a = {
            .B = B, .M = M, .D = D, .C = C, .S = S, .linear = masked, .eps = 1e-5F,
            .widths = widths, .present = masked ? present : NULL, .features = draw(m, B*D),
            .weight = draw(m, D*C), .bias = draw(m, M*C), .norm_weight = draw(m, M*C),
            .norm_bias = draw(m, M*C), .hidden_weight = draw(m, 2*C*S),
            .hidden_bias = draw(m, S), .score_weight = draw(m, S), .score_bias = draw(m, 1),
            .weights = take(m, B*M), .saved = take(m, B*gl_combiner_saved_width(M, C, S, 1)),
            .state = take(m, B*C), .dstate = draw(m, B*C), .dfeatures = take(m, B*D),
            .dweight = take(m, D*C), .dbias = take(m, M*C), .dnorm_weight = take(m, M*C),
            .dnorm_bias = take(m, M*C), .dhidden_weight = take(m, 2*C*S),
            .dhidden_bias = take(m, S), .dscore_weight = take(m, S), .dscore_bias = take(m, 1),
        };
        CALL(gl_combiner_forward, &a, nth);
        CALL(gl_combiner_backward, &a, nth);
    }
}

static void run_images(arena *m, int nth) {
    enum { N = 18, C = 3, H = 11, W = 9, O = 5, K = 4, L = 3, P = 5, Q = 9 };
    gl_conv2d_f32 a = {
        .N = N, .C = C, .H = H, .W = W, .O = O, .K = K, .L = L, .P = P, .Q = Q, .stride = {2, 1},
        .padding = {1, 1}, .x = draw(m, N*C*H*W), .weight = draw(m, O*C*K*L), .bias = draw(m, O),
        .y = take(m, N*O*P*Q), .dy = draw(m, N*O*P*Q), .dx = take(m, N*C*H*W),
        .dweight = take(m, O*C*K*L), .dbias = take(m, O),
    };
    CALL(gl_conv2d_forward, &a, nth);
    CALL(gl_conv2d_backward, &a, nth);

    enum { M = 400, R = 6, S = 5 };  // planes, height and width of the pooled ones
    const gl_window window = {.kernel = {2, 3}, .stride = {2, 2}, .padding = {1, 1}};
    int64_t index[M*R*S];
    gl_max_pool2d_forward_f32(take(m, M*R*S), index, draw(m, M*H*W), window, M, H, W, R, S, nth);
    gl_max_pool2d_backward_f32(take(m, M*H*W), draw(m, M*R*S), index, M, H, W, R, S, nth);
}

static void run_loss(arena *m, int nth) {
    enum { N = 900, V = 37, C = 5 };
    int64_t targets[N];
    for (int n = 0; n < N; n++) targets[n] = n * 7 % V;
    float *logits = draw(m, N*V), *table = draw(m, V*C);
    gl_embedding_forward_f32(take(m, N*C), table, targets, N, V, C, nth);
    gl_embedding_backward_f32(table, draw(m, N*C), targets, N, V, C, nth);
    gl_cross_entropy_f32(take(m, N), take(m, N*V), logits, targets, NULL, -1, N, V, nth);
    gl_softmax_forward_f32(logits, logits, N, V, nth);
}

static void run_glimpse(arena *m, int nth) {
    enum { B = 9, N = 2, S = 3, C = 2, H = 11, W = 14, P = 6 };
    float *images = draw(m, B*C*H*W), *locations = draw(m, B*N*2);
    float *patches = take(m, B*N*S*C*P*P);
    const ptrdiff_t bytes = gl_glimpse_workspace_f32(W, nth);
    void *work = scratch(bytes);
    gl_glimpse_forward_f32(patches, images, locations, work, B, N, S, C, H, W, P, nth);
    gl_glimpse_backward_f32(images, patches, locations, work, B, N, S, C, H, W, P, nth);
    release(work, bytes);
}

static void run_warp(arena *m, int nth) {
    enum { B = 9, C = 2, H = 11, W = 14 };
    float *image = draw(m, B*C*H*W), *flow = draw(m, 2*B*H*W), *y = take(m, B*C*H*W);
    gl_warp_forward_f32(y, image, flow, B, C, H, W, nth);
    gl_warp_backward_f32(take(m, B*C*H*W), take(m, 2*B*H*W), y, image, flow, B, C, H, W, nth);
}

// A step of training by policy gradient; the first draw is refused, from several tasks at once.
static void run_policy(arena *m, int nth) {
    enum { B = 3000, K = 9, P = 40000 };
    float *logits = draw(m, B*K), *uniforms = draw(m, B*K), *logp = take(m, B);
    uint8_t *actions = (uint8_t *)take(m, B*K / 4);
    gl_result r = gl_bernoulli_sample_f32(actions, logp, logits, uniforms, 0.05f, B, K, nth);
    *take(m, 1) = (float)r.row;
    for (int i = 0; i < B*K; i++) uniforms[i] = uniforms[i] < 0 ? -uniforms[i] / 2 : uniforms[i] / 2;
    r = gl_bernoulli_sample_f32(actions, logp, logits, uniforms, 0.05f, B, K, nth);
    *take(m, 1) = (float)r.row;
    gl_bernoulli_backward_f32(take(m, B*K), logp, NULL, logits, actions, 0.05f, B, K, nth);
    gl_leave_one_out_f32(take(m, B), logp, 3, B/3, nth);

    float *drawn = take(m, B*K);
    r = gl_gaussian_sample_f32(drawn, logp, logits, uniforms, 0.5f, B, K, nth);
    *take(m, 1) = (float)r.row;
    gl_gaussian_backward_f32(take(m, B*K), logp, logits, drawn, 0.5f, B, K, nth);
    gl_gaussian_kl_f32(take(m, B), logits, drawn, 0.5f, B, K, nth);

    float *param = draw(m, P), *grad = draw(m, P);
    const ptrdiff_t bytes = gl_grad_norm_workspace(P) * (ptrdiff_t)sizeof(double);
    void *work = scratch(bytes);
    const gl_adamw_opts opts = {.lr = 0.1, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .step = 1,
                                .grad_scale = 1 / gl_grad_norm_f32(grad, work, P, nth)};
    release(work, bytes);
    gl_adamw_step_f32(param, take(m, P), take(m, P), grad, NULL, &opts, P, nth);
}

// Zero the arena, then run every topic into it.
static void run_all(float *memory, int nth) {
    memset(memory, 0, ARENA * sizeof(float));
    arena m = {memory, memory + ARENA, 1};
    run_attention(&m, nth);
    run_additive(&m, nth);
    run_hard(&m, nth);
    run_rotary(&m, nth);
    run_heads(&m, nth);
    run_mlp(&m, nth);
    run_decode(&m, nth);
    run_norm(&m, nth);
    run_linear(&m, nth);
    run_recurrent(&m, nth);
    run_combiner(&m, nth);
    run_images(&m, nth);
    run_loss(&m, nth);
    run_glimpse(&m, nth);
    run_warp(&m, nth);
    run_policy(&m, nth);
#ifdef GL_ASAN
    ASAN_UNPOISON_MEMORY_REGION(memory, ARENA * sizeof(float));
#endif
}

static float *fresh(void) {
    float *p = malloc(ARENA * sizeof(float));
    if (p == NULL) exit(2);
    return p;
}

static const float *oracle;

static void *caller(void *arg) {
    float *memory = fresh();
    int wrong = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        run_all(memory, 1 + (turn + *(int *)arg) % NTH);
        if (memcmp(memory, oracle, ARENA * sizeof(float)) != 0) wrong++;
    }
    free(memory);
    *(int *)arg = wrong;
    return NULL;
}

static int run_callers(void) {
    pthread_t threads[CALLERS];
    int wrong[CALLERS], sum = 0;
    for (int i = 0; i < CALLERS; i++) {
        wrong[i] = i;
        if (pthread_create(&threads[i], NULL, caller, &wrong[i]) != 0) exit(2);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        sum += wrong[i];
    }
    return sum;
}

#ifndef __SANITIZE_THREAD__  // it does not follow a fork of several threads

// A child runs everything on a pool of its own.
static int run_child(void) {
    const pid_t child = fork();
    if (child == 0) {
        alarm(120);
        float *memory = fresh();
        run_all(memory, NTH);
        _exit(memcmp(memory, oracle, ARENA * sizeof(float)) != 0);
    }
    int status;
    return child < 0 || waitpid(child, &status, 0) != child || status != 0;
}

#endif

int main(int argc, char **argv) {
    if (gl_isa_select(argc > 1 ? argv[1] : NULL) != GL_OK) {
        printf("this processor has no %s\n", argv[1]);
        return 0;
    }
    gl_pool_init();
    float *expected = fresh();
    run_all(expected, 1);
    oracle = expected;
    int wrong = run_callers();
#ifndef __SANITIZE_THREAD__
    wrong += run_child();
#endif
    printf("%s: %d callers, %d turns, %d wrong\n", gl_isa_active->name, CALLERS, TURNS, wrong);
    free(expected);
    return wrong != 0;
}
