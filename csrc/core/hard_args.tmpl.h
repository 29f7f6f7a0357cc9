// All arguments of hard attention. What a call does not use may be left 0.
typedef struct {
    // Of attention: sizes, with G = H; q, k, v, scale; key_lengths, left = -1, right and mask; out
    // and lse; dout, dq and dk, and dv, which is accumulated. Forward takes out.data NULL for "not
    // wanted", backward dout.data NULL for 0.
    FN(gl_attention) heads;

    const REAL *uniforms;   // (B, H, Tq)  in [0, 1); NULL: actions are given
    int64_t *actions;       // (B, H, Tq)  overwritten by a draw, else read: in [0, Tk)
    REAL *logp;             // (B, H, Tq)  overwritten; -inf for a hidden action
    REAL *entropy;          // (B, H, Tq)  overwritten by forward, read by backward

    const REAL *dlogp;      // (B, H, Tq)  or NULL: 0
    const REAL *dentropy;   // (B, H, Tq)  or NULL: 0
} FN(gl_hard);
