// All arguments of additive attention. What a call does not use may be left 0.
typedef struct {
    ptrdiff_t B, Tq, Tk;  // samples, queries, keys
    ptrdiff_t A, E;       // width of queries and keys, width of values

    const REAL *query;    // (B, Tq, A)
    const REAL *key;      // (B, Tk, A)
    const REAL *value;    // (B, Tk, E)
    const REAL *weight;   // (A,)
    int causal;           // query t sees keys 0 .. t only
    const uint8_t *mask;  // (B, Tq, Tk)  0 where the query does not see the key; or NULL
    const int64_t *query_lengths, *key_lengths;  // (B,), or NULL: Tq and Tk

    REAL *out;            // (B, Tq, E)   overwritten by forward, read by backward
    REAL *lse;            // (B, Tq)      log-sum-exp of the scores; as out
    REAL *p;              // (B, Tq, Tk)  overwritten by forward: the weights of the keys

    const REAL *dout;     // (B, Tq, E)
    REAL *dquery;         // (B, Tq, A)   overwritten
    REAL *dkey;           // (B, Tk, A)   overwritten
    REAL *dvalue;         // (B, Tk, E)   overwritten
    REAL *dweight;        // (A,)         accumulated
} FN(gl_additive);
