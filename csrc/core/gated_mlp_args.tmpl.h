// All arguments of the gated MLP layer; arrays are contiguous. What a call does not use may be left
// 0.
typedef struct {
    ptrdiff_t B, T, C, F;             // samples, time, channels, hidden width

    const REAL *norm_weight;          // (C,)
    const REAL *norm_bias;            // (C,)
    const REAL *w1;                   // (C, F)
    const REAL *w2;                   // (F, C)
    REAL eps;
    const int64_t *lengths;           // (B,), or NULL: T

    const REAL *x;                    // (B, T, C)
    const REAL *gate;                 // (B,)
    REAL *y;                          // (B, T, C)  overwritten; may be x

    // written by forward, or NULL; read by backward
    REAL *hidden;                     // (B, T, F)  before gelu

    const REAL *dy;                   // (B, T, C)
    REAL *dx;                         // (B, T, C)  overwritten; may be dy
    REAL *dgate;                      // (B,)       overwritten; 0 where the sample is closed
    REAL *dnorm_weight, *dnorm_bias;  // (C,)       accumulated
    REAL *dw1;                        // (C, F)     accumulated
    REAL *dw2;                        // (F, C)     accumulated
} FN(gl_gated_mlp);
