// Sample, head and time axes may be strided (in items); the last axis is contiguous.
typedef struct {
    const REAL *data;
    ptrdiff_t b, h, t;
} FN(gl_heads_in);

typedef struct {
    REAL *data;
    ptrdiff_t b, h, t;
} FN(gl_heads_out);

// All arguments of attention. What a call does not use may be left 0.
typedef struct {
    ptrdiff_t B, H;         // samples, heads
    ptrdiff_t Tq, Tk;       // queries, keys
    ptrdiff_t D, E;         // width of queries and keys, width of values

    FN(gl_heads_in) q;      // (B, H, Tq, D)
    FN(gl_heads_in) k;      // (B, H, Tk, D)
    FN(gl_heads_in) v;      // (B, H, Tk, E)
    REAL scale;
    int causal;             // query t sees keys 0 .. t only
    const REAL *gate;       // (B, H), or NULL: all open
    const int64_t *query_lengths, *key_lengths;  // (B,), or NULL: Tq and Tk

    FN(gl_heads_out) out;   // (B, H, Tq, E)  overwritten by forward, read by backward
    REAL *lse;              // (B, H, Tq)     log-sum-exp of the scores; as out

    FN(gl_heads_in) dout;   // (B, H, Tq, E)
    FN(gl_heads_out) dq;    // (B, H, Tq, D)  overwritten
    FN(gl_heads_out) dk;    // (B, H, Tk, D)  overwritten
    FN(gl_heads_out) dv;    // (B, H, Tk, E)  overwritten
    REAL *dgate;            // (B, H)         overwritten; 0 where the head is closed
} FN(gl_attention);
