// All arguments of the combiner; arrays are contiguous. What a call does not use may be left 0.
// Rows of e, z, mean, rstd and hidden are the samples that have the model, one behind the other.
typedef struct {
    ptrdiff_t B, M, D, C, S;      // samples, models, columns of all, width, width of the scorer
    const int64_t *columns;       // (M + 1,)  where each model's columns begin; the last is D
    const uint8_t *present;       // (B, M)    which models a sample has, or NULL: all
    ptrdiff_t context;            // the model whose embedding is the context
    int weigh_context;            // whether it is weighed, too
    int linear;                   // weights softplus(u) / sum instead of softmax(u)
    REAL eps;                     // of the layer norms

    const REAL *weight;           // (D, C)
    const REAL *bias;             // (M, C)
    const REAL *norm_weight;      // (M, C)    or NULL: adapters are linear
    const REAL *norm_bias;        // (M, C)
    const REAL *context_weight;   // (C, S)
    const REAL *model_weight;     // (C, S)
    const REAL *hidden_bias;      // (S,)      or NULL, with score_weight
    const REAL *score_weight;     // (S,)      or NULL: the scorer is linear, S is 1
    const REAL *score_bias;       // (1,)

    const REAL *x;                // (B, D)
    REAL *state;                  // (B, C)    overwritten
    REAL *weights;                // (B, M)    overwritten by forward, read by backward
    REAL *scores;                 // (B, M)    as weights
    REAL *e;                      // (M, B, C) as weights: embeddings
    REAL *z;                      // (M, B, C) as weights: before the norm; NULL without
    REAL *mean, *rstd;            // (M, B)    as weights: of the norm; NULL without
    REAL *hidden;                 // (M, B, S) as weights

    const REAL *dstate;           // (B, C)
    const REAL *dweights;         // (B, M)    or NULL: 0
    REAL *dx;                     // (B, D)    overwritten, or NULL
    REAL *dweight;                // (D, C)    accumulated, as all below
    REAL *dbias;                  // (M, C)
    REAL *dnorm_weight;           // (M, C)    or NULL, as norm_weight
    REAL *dnorm_bias;             // (M, C)
    REAL *dcontext_weight;        // (C, S)
    REAL *dmodel_weight;          // (C, S)
    REAL *dhidden_bias;           // (S,)      or NULL, as hidden_bias
    REAL *dscore_weight;          // (S,)
    REAL *dscore_bias;            // (1,)
} FN(gl_combine);
