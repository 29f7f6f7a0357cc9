// Arguments of the steps; arrays are contiguous.
typedef struct {
    ptrdiff_t B, N, C, H, D;    // samples, new positions, channels, heads, head width
    ptrdiff_t P, S;             // open pairs of sample and head, positions that the cache can hold

    const REAL *norm_weight;    // (C,)
    const REAL *norm_bias;      // (C,)
    const REAL *shift;          // (3, C), or NULL
    const REAL *wqkv;           // (3, C, H, D)
    const REAL *wo;             // (H, D, C)
    const REAL *cosine, *sine;  // (S, D/2) of the rotation by position, or NULL
    REAL eps, scale;

    const int64_t *first;       // (H,)  first pair of each head; the last head ends at P
    const int64_t *sample;      // (P,)  of each pair
    const REAL *factor;         // (P,)  its gate
    const int64_t *lengths;     // (B,)  positions so far, at most S - N

    REAL *x;                    // (B, N, C)  in and out: the layer adds to it
    REAL *keys;                 // (P, S, D)  written at the new positions
    REAL *values;               // (P, S, D)  as keys
    const REAL *previous;       // (B, C)     normalised row before the first new one; 0 at the start
    REAL *last;                 // (B, C)     out, overwritten: the last normalised row
} FN(gl_decode_heads_args);

typedef struct {
    ptrdiff_t B, N, C, F;       // samples, new positions, channels, hidden width

    const REAL *norm_weight;    // (C,)
    const REAL *norm_bias;      // (C,)
    const REAL *w1;             // (C, F)
    const REAL *w2;             // (F, C)
    REAL eps;

    const REAL *gate;           // (B,)
    REAL *x;                    // (B, N, C)  in and out: the layer adds to it
} FN(gl_decode_mlp_args);

typedef struct {
    ptrdiff_t B, C, V;          // rows, channels, vocabulary

    const REAL *norm_weight;    // (C,)
    const REAL *norm_bias;      // (C,)
    const REAL *table;          // (V, C)
    REAL eps;

    const REAL *x;              // (B, C)
    REAL *logits;               // (B, V)  out, overwritten
} FN(gl_decode_logits_args);
