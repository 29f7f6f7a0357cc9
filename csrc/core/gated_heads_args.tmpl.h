// All arguments of the gated multi-head layer; arrays are contiguous. What a call does not use may
// be left 0.
typedef struct {
    ptrdiff_t B, T, C, H, D;          // samples, time, channels, heads, head width

    const REAL *norm_weight;          // (C,)
    const REAL *norm_bias;            // (C,)
    const REAL *shift;                // (3, C), or NULL
    const REAL *wqkv;                 // (3, C, H, D)
    const REAL *wo;                   // (H, D, C)
    const REAL *cosine, *sine;        // (T, D/2) of the rotation by position, or NULL
    REAL eps, scale;
    int causal;
    const int64_t *lengths;           // (B,), or NULL: T
    const REAL *bias;                 // (B, T) added to the scores of each key, or NULL

    const REAL *x;                    // (B, T, C)
    const REAL *gate;                 // (B, H)
    REAL *y;                          // (B, T, C)  overwritten; may be x

    // Written by forward, or all NULL; read by backward. A sample's open heads stand side by side
    // in qkv and out: (T, 3, open, D) and (T, open, D), then what is left unused.
    REAL *qkv;                        // (B, T, 3, H, D)
    REAL *out;                        // (B, T, H, D)  times gate
    REAL *lse;                        // (B, H, T)

    const REAL *dy;                   // (B, T, C)
    REAL *dx;                         // (B, T, C)  overwritten; may be dy
    REAL *dgate;                      // (B, H)     overwritten; 0 where a head is closed
    REAL *dbias;                      // (B, T)     overwritten, or NULL
    REAL *dnorm_weight, *dnorm_bias;  // (C,)       accumulated
    REAL *dshift;                     // (3, C)     accumulated
    REAL *dwqkv;                      // (3, C, H, D)  accumulated
    REAL *dwo;                        // (H, D, C)     accumulated
} FN(gl_gated_heads);
