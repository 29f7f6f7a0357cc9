// Sample, head and time axes may be strided (in items); the last axis is contiguous.
typedef struct {
    const REAL *data;
    ptrdiff_t b, h, t;
} FN(gl_heads_in);

typedef struct {
    REAL *data;
    ptrdiff_t b, h, t;
} FN(gl_heads_out);

// All arguments of attention. What a call does not use may be left 0, but for `left` and `right`.
typedef struct {
    ptrdiff_t B, H, G;      // samples, heads, heads of keys and values; H is a multiple of G
    ptrdiff_t Tq, Tk;       // queries, keys
    ptrdiff_t D, E;         // width of queries and keys, width of values

    FN(gl_heads_in) q;      // (B, H, Tq, D)
    FN(gl_heads_in) k;      // (B, G, Tk, D)
    FN(gl_heads_in) v;      // (B, G, Tk, E)
    REAL scale;
    const REAL *gate;       // (B, H), or NULL: all open

    // which keys a query sees
    const int64_t *query_lengths, *key_lengths;  // (B,), or NULL: Tq and Tk
    ptrdiff_t left, right;  // query t sees keys t - left .. t + right; -1 for no bound
    gl_heads_mask mask;     // (B, H, Tq, Tk) 0 hides; data NULL: all seen
    const uint8_t *blocks;  // (H, ceil(Tq / block), ceil(Tk / block)) 0 hides, or NULL
    ptrdiff_t block, blocks_h;  // length of a block; stride between heads, 0 for one pattern

    // what is added to the scores
    FN(gl_heads_in) bias;   // (B, H, Tq, Tk); data NULL: nothing
    const REAL *slopes;     // (H,) score_s loses slope * |t - s|, or NULL

    double dropout;         // share of the weights that become 0; the others grow
    uint64_t seed;

    FN(gl_heads_out) out;   // (B, H, Tq, E)  overwritten by forward, read by backward
    REAL *lse;              // (B, H, Tq)     log-sum-exp of the scores; as out

    FN(gl_heads_in) dout;   // (B, H, Tq, E)
    FN(gl_heads_out) dq;    // (B, H, Tq, D)  overwritten
    FN(gl_heads_out) dk;    // (B, G, Tk, D)  overwritten
    FN(gl_heads_out) dv;    // (B, G, Tk, E)  overwritten
    REAL *dgate;            // (B, H)         overwritten; 0 where the head is closed

    // (biases_b, biases_h, Tq, Tk) overwritten: sums over the samples and heads that share a bias,
    // where a size is 1; NULL: not wanted
    REAL *dbias;
    ptrdiff_t biases_b, biases_h;
    REAL *dkey_bias;        // (Tk,) of one sample: accumulated over heads and queries, or NULL

    // attention_weights: of the queries `rows`, in [0, Tq)
    const int64_t *rows;    // (R,)
    ptrdiff_t R;
    REAL *weights;          // (B, H, R, Tk)  overwritten
} FN(gl_attention);
