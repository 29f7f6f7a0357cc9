// One member a hot kernel. What a kernel computes is said where it is defined.
typedef void FN(gl_map)(REAL *y, const REAL *x, ptrdiff_t n);
typedef void FN(gl_map_backward)(REAL *dx, const REAL *dy, const REAL *xy, ptrdiff_t n);

// What a step of AdamW needs beside its arrays; optim.tmpl.h fills it.
typedef struct {
    REAL beta1, beta2, rest1, rest2, rate, root_scale, eps, shrink, grad_scale;
} FN(gl_adamw_coef);

typedef struct {
    // product_kernels
    void (*product)(REAL *C, ptrdiff_t ldc, const REAL *A, ptrdiff_t rsa, ptrdiff_t csa,
                    const REAL *B, ptrdiff_t ldb, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K,
                    int accumulate);
    REAL (*dot)(const REAL *x, const REAL *y, ptrdiff_t n);

    // activation_kernels
    FN(gl_map) *gelu, *gelu_exact, *tanh_map, *relu, *sigmoid;
    FN(gl_map_backward) *gelu_backward, *gelu_exact_backward, *tanh_backward, *relu_backward,
        *sigmoid_backward;

    // loss_kernels
    void (*softmax_rows)(REAL *y, const REAL *x, ptrdiff_t N, ptrdiff_t V);
    void (*softmax_rows_backward)(REAL *dx, const REAL *dy, const REAL *y, ptrdiff_t N,
                                  ptrdiff_t V);
    void (*log_softmax_rows)(REAL *y, const REAL *x, ptrdiff_t N, ptrdiff_t V);
    void (*log_softmax_rows_backward)(REAL *dx, const REAL *dy, const REAL *y, ptrdiff_t N,
                                      ptrdiff_t V);
    void (*cross_entropy_rows)(REAL *loss, REAL *dlogits, const REAL *logits,
                               const int64_t *targets, const REAL *dloss, int64_t ignore_index,
                               ptrdiff_t N, ptrdiff_t V);

    // norm_kernels
    void (*layer_norm_rows)(REAL *out, REAL *mean, REAL *rstd, const REAL *x, const REAL *weight,
                            const REAL *bias, REAL eps, ptrdiff_t N, ptrdiff_t C);
    void (*layer_norm_rows_backward)(REAL *dx, REAL *dweight, REAL *dbias, const REAL *dout,
                                     const REAL *x, const REAL *mean, const REAL *rstd,
                                     const REAL *weight, const REAL *residual, ptrdiff_t N,
                                     ptrdiff_t C);

    // position_kernels
    void (*token_shift)(REAL *restrict m, const REAL *restrict n, const REAL *restrict shift,
                        ptrdiff_t apart, ptrdiff_t T, ptrdiff_t C);
    void (*token_shift_backward)(REAL *restrict dn, REAL *restrict dshift, const REAL *restrict dm,
                                 const REAL *restrict n, const REAL *restrict shift,
                                 ptrdiff_t apart, ptrdiff_t T, ptrdiff_t C);
    void (*rotate)(REAL *x, ptrdiff_t stride, const REAL *cosine, const REAL *sine, int inverse,
                   ptrdiff_t T, ptrdiff_t D);

    // attention_kernels, attention_backward_kernels: scratch in bytes, aligned to GL_ALIGN
    ptrdiff_t (*attention_forward_scratch)(ptrdiff_t D, ptrdiff_t E);
    ptrdiff_t (*attention_backward_scratch)(ptrdiff_t D, ptrdiff_t E);
    ptrdiff_t (*attention_weights_scratch)(ptrdiff_t D);
    void (*attention_forward_block)(const FN(gl_attention) *a, ptrdiff_t b, ptrdiff_t h,
                                    ptrdiff_t q0, void *scratch);
    void (*attention_weights_block)(const FN(gl_attention) *a, ptrdiff_t b, ptrdiff_t h,
                                    ptrdiff_t r0, void *scratch);
    void (*attention_backward_head)(const FN(gl_attention) *a, ptrdiff_t b, ptrdiff_t g,
                                    void *scratch);
    void (*attention_bias_block)(const FN(gl_attention) *a, ptrdiff_t i, ptrdiff_t j, ptrdiff_t q0,
                                 void *scratch);

    // additive_kernels
    void (*additive_forward_row)(const FN(gl_additive) *a, const REAL *packed, ptrdiff_t b,
                                 ptrdiff_t t, REAL *p);
    void (*additive_backward_rows)(const FN(gl_additive) *a, const REAL *packed, ptrdiff_t b,
                                   ptrdiff_t t0, ptrdiff_t t1, REAL *dpacked, REAL *dvalue,
                                   REAL *dweight, REAL *scratch);

    // combiner_kernels
    void (*combiner_row)(const FN(gl_combiner) *a, const FN(gl_combiner_parts) *p, ptrdiff_t b);
    void (*combiner_row_backward)(const FN(gl_combiner) *a, const FN(gl_combiner_parts) *p,
                                  ptrdiff_t b, REAL *restrict dv, REAL *dc, REAL *dw);

    // hard_kernels: scratch in bytes, aligned to GL_ALIGN
    ptrdiff_t (*hard_scratch)(ptrdiff_t D);
    void (*hard_score_rows)(REAL *scores, ptrdiff_t ld, const FN(gl_hard) *a, ptrdiff_t head,
                            ptrdiff_t t, ptrdiff_t m, ptrdiff_t k0, ptrdiff_t k1, void *scratch);
    gl_result (*hard_draw_rows)(REAL *scores, ptrdiff_t ld, const FN(gl_hard) *a, ptrdiff_t head,
                                ptrdiff_t t, ptrdiff_t m);
    void (*hard_backward_keys)(REAL *dq, ptrdiff_t ldq, const FN(gl_hard) *a, ptrdiff_t head,
                               ptrdiff_t k0, ptrdiff_t k1, void *scratch);

    // decode_kernels
    void (*decode_block)(REAL *part, REAL *p, const REAL *q, const REAL *k, const REAL *v,
                         REAL scale, ptrdiff_t n, ptrdiff_t D);
    void (*decode_combine)(REAL *restrict out, const REAL *part, ptrdiff_t stride, REAL factor,
                           ptrdiff_t n, ptrdiff_t D);

    // bernoulli_kernels
    gl_result (*bernoulli_rows)(REAL *logp, REAL *entropy, const REAL *logits,
                                const uint8_t *actions, REAL bound, ptrdiff_t N, ptrdiff_t K);
    gl_result (*bernoulli_sample_rows)(uint8_t *actions, REAL *logp, const REAL *logits,
                                       const REAL *uniforms, REAL bound, ptrdiff_t N, ptrdiff_t K);
    gl_result (*bernoulli_rows_backward)(REAL *dlogits, const REAL *dlogp, const REAL *dentropy,
                                         const REAL *logits, const uint8_t *actions, REAL bound,
                                         ptrdiff_t N, ptrdiff_t K);
    void (*bernoulli_kl_rows)(REAL *kl, REAL *dp, REAL *dq, const REAL *dkl, const REAL *logits_p,
                              const REAL *logits_q, REAL bound, ptrdiff_t N, ptrdiff_t K);

    // categorical_kernels
    gl_result (*categorical_rows)(REAL *logp, REAL *entropy, const REAL *logits,
                                  const int64_t *actions, ptrdiff_t N, ptrdiff_t K);
    gl_result (*categorical_sample_rows)(int64_t *actions, REAL *logp, const REAL *logits,
                                         const REAL *uniforms, ptrdiff_t N, ptrdiff_t K);
    gl_result (*categorical_rows_backward)(REAL *dlogits, const REAL *dlogp, const REAL *dentropy,
                                           const REAL *logits, const int64_t *actions, ptrdiff_t N,
                                           ptrdiff_t K);
    void (*categorical_kl_rows)(REAL *kl, REAL *dp, REAL *dq, const REAL *dkl,
                                const REAL *logits_p, const REAL *logits_q, ptrdiff_t N,
                                ptrdiff_t K);

    // plackett_luce_kernels
    void (*gumbel_scores)(double *restrict score, const REAL *restrict x, const REAL *restrict u,
                          ptrdiff_t K);
    double (*exp_sum)(REAL *max, const REAL *x, ptrdiff_t K);
    void (*exp_scaled)(REAL *restrict y, const REAL *restrict x, REAL max, REAL scale,
                       ptrdiff_t K);

    // gaussian_kernels
    void (*gaussian_rows)(REAL *out, const REAL *x, const REAL *y, REAL std, REAL factor,
                          REAL offset, ptrdiff_t N, ptrdiff_t K);
    gl_result (*gaussian_sample_rows)(REAL *restrict actions, const REAL *mean,
                                      const REAL *normals, REAL std, ptrdiff_t N, ptrdiff_t K);
    void (*gaussian_rows_backward)(REAL *dmean, const REAL *dlogp, const REAL *mean,
                                   const REAL *actions, REAL std, ptrdiff_t N, ptrdiff_t K);

    // glimpse_kernels
    void (*glimpse_patch)(REAL *restrict patch, const REAL *restrict image, REAL *restrict column,
                          double row, double col, ptrdiff_t f, ptrdiff_t H, ptrdiff_t W,
                          ptrdiff_t P);
    void (*glimpse_patch_backward)(REAL *restrict dimage, const REAL *restrict dpatch,
                                   REAL *restrict column, double row, double col, ptrdiff_t f,
                                   ptrdiff_t H, ptrdiff_t W, ptrdiff_t P);

    // advantage_kernels
    void (*gae_columns)(REAL *advantages, REAL *returns, const REAL *rewards, const REAL *values,
                        const REAL *last, const REAL *final, const uint8_t *terminated,
                        const uint8_t *truncated, REAL gamma, REAL lambda, ptrdiff_t T,
                        ptrdiff_t stride, ptrdiff_t n);
    void (*leave_one_out_columns)(REAL *advantages, const REAL *rewards, REAL *scratch, ptrdiff_t S,
                                  ptrdiff_t stride, ptrdiff_t n);

    // ppo_kernels
    void (*ppo_rows)(double *sums, REAL *dlogp, const REAL *logp, const REAL *logp_old,
                     const REAL *advantage, REAL clip, REAL scale, ptrdiff_t N);
    void (*ppo_value_rows)(double *sum, REAL *dvalue, const REAL *value, const REAL *value_old,
                           const REAL *returns, REAL clip, REAL scale, ptrdiff_t N);

    // recurrent_kernels
    void (*rnn_step)(REAL *y, REAL *h, const REAL *u, int relu, ptrdiff_t H);
    void (*lstm_step)(REAL *y, REAL *state, REAL *trace, const REAL *u, ptrdiff_t H);
    void (*gru_step)(REAL *y, REAL *h, REAL *trace, const REAL *u, const REAL *bias_hidden,
                     ptrdiff_t H);
    void (*rnn_step_backward)(REAL *da, const REAL *dh, const REAL *y, int relu, ptrdiff_t H);
    void (*lstm_step_backward)(REAL *da, REAL *dstate, const REAL *trace, const REAL *c_before,
                               ptrdiff_t H);
    void (*gru_step_backward)(REAL *da, REAL *du, REAL *dh, const REAL *trace,
                              const REAL *h_before, ptrdiff_t H);

    // optim_kernels
    void (*adamw)(REAL *param, REAL *m, REAL *v, const REAL *grad, const REAL *decay,
                  const FN(gl_adamw_coef) *coef, ptrdiff_t n);
    double (*sum_squares)(const REAL *x, ptrdiff_t n);
} FN(gl_kernels);
