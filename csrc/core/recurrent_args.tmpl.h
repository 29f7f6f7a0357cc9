// All arguments of a recurrent layer; arrays are contiguous. What a call does not use may be left
// 0.
typedef struct {
    ptrdiff_t B, T, I, H;    // samples, time, width of the input, width of the state
    ptrdiff_t G;             // gates, which tell the cell: 1 RNN, 3 GRU, 4 LSTM
    int relu;                // RNN: max(a, 0) in the place of tanh
    int reverse;             // from the last step to the first
    const int64_t *lengths;  // (B,), or NULL: T

    const REAL *wx;          // (I, G, H)
    const REAL *wh;          // (H, G, H)
    const REAL *bias;        // (G, H)
    const REAL *bias_hidden; // (H,)          of a GRU

    const REAL *x;           // (B, T, I)
    const REAL *first;       // (B, S, H)     state before the first step; S is 2 of an LSTM, or 1
    REAL *y;                 // (B, T, H)     overwritten by forward, read by backward
    REAL *trace;             // (B, T, U, H)  as y; U is G + 1; NULL for an RNN, whose y is enough
    REAL *last;              // (B, S, H)     overwritten: state behind the last step

    const REAL *dy;          // (B, T, H)     or NULL: 0
    const REAL *dlast;       // (B, S, H)     or NULL: 0
    REAL *dx;                // (B, T, I)     overwritten
    REAL *dfirst;            // (B, S, H)     overwritten
    REAL *dwx;               // (I, G, H)     accumulated
    REAL *dwh;               // (H, G, H)     accumulated
    REAL *dbias;             // (G, H)        accumulated
    REAL *dbias_hidden;      // (H,)          accumulated; of a GRU
} FN(gl_recurrent);
