// All arguments of a convolution; arrays are contiguous. What a call does not use may be left 0.
typedef struct {
    ptrdiff_t N, C, H, W;             // images, channels, height, width
    ptrdiff_t O, K, L;                // channels of the output, height and width of the kernel
    ptrdiff_t P, Q;                   // height and width of the output
    ptrdiff_t stride[2], padding[2];  // along height, along width

    const REAL *x;                    // (N, C, H, W)
    const REAL *weight;               // (O, C, K, L)
    const REAL *bias;                 // (O,)          or NULL
    REAL *y;                          // (N, O, P, Q)  overwritten

    const REAL *dy;                   // (N, O, P, Q)
    REAL *dx;                         // (N, C, H, W)  overwritten, or NULL: not computed
    REAL *dweight;                    // (O, C, K, L)  accumulated, or NULL
    REAL *dbias;                      // (O,)          accumulated, or NULL
} FN(gl_conv2d);
