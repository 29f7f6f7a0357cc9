// All arguments of the combiner; arrays are contiguous. What a call does not use may be left 0.
typedef struct {
    ptrdiff_t B, M, D;            // samples, models, width of all embeddings together
    ptrdiff_t C, S;               // width of the state, of the scorer's hidden layer: 0 for none
    ptrdiff_t context;            // the model that gives the context
    int weigh_context;            // whether it is one of those that are weighed
    int linear;                   // normalisation by softplus(u) instead of exp(u)
    REAL eps;                     // of the layer norm

    const int64_t *widths;        // (M,)       of the embeddings; their sum is D
    const uint8_t *present;       // (B, M)     0 where a sample lacks a model; or NULL
    const REAL *features;         // (B, D)     what a sample lacks is not read
    const REAL *weight;           // (D, C)     of the adapters, one below the other
    const REAL *bias;             // (M, C)
    const REAL *norm_weight;      // (M, C)     or NULL: linear adapters
    const REAL *norm_bias;        // (M, C)     with norm_weight
    const REAL *hidden_weight;    // (2, C, S)  of the context, of a model; NULL where S is 0
    const REAL *hidden_bias;      // (S,)
    const REAL *score_weight;     // (S,), or (2C,) where S is 0: of the context, of a model
    const REAL *score_bias;       // (1,)

    // overwritten by forward, read by backward
    REAL *weights;                // (B, M)     0 where a model is not weighed
    REAL *saved;                  // (B, gl_combiner_saved_width)
    REAL *state;                  // (B, C)     by forward only

    const REAL *dstate;           // (B, C)
    REAL *dfeatures;              // (B, D)     overwritten, or NULL; 0 where a model is not present
    REAL *dweight;                // (D, C)     accumulated, as all that follow
    REAL *dbias;                  // (M, C)
    REAL *dnorm_weight;           // (M, C)
    REAL *dnorm_bias;             // (M, C)
    REAL *dhidden_weight;         // (2, C, S)
    REAL *dhidden_bias;           // (S,)
    REAL *dscore_weight;          // as score_weight
    REAL *dscore_bias;            // (1,)
} FN(gl_combiner);

// Arrays that both passes use. Those of a model are compact: its row k is the k-th sample that has
// it.
typedef struct {
    ptrdiff_t *position;  // (M, B)     row of a sample in the arrays of a model, or -1
    ptrdiff_t *samples;   // (M, B)     the inverse, as far as a model has rows
    ptrdiff_t *count;     // (M,)       rows of a model
    REAL *z;              // (M, B, C)  before the layer norm; e where there is none
    REAL *e;              // (M, B, C)  adapted embeddings
    REAL *mean, *rstd;    // (M, B)     of the rows of z
    REAL *h;              // (M, B, S)  the scorer's hidden layer
    REAL *score;          // (B, M)
    REAL *q;              // (B, S)     what the context gives to h; in backward its gradient
    REAL *de;             // (M, B, C)  gradient of e, then of z
    REAL *dh;             // (M, B, S)
} FN(gl_combiner_parts);
