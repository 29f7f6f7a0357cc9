// One axis of a patch: output p is the sum of the pixels first + p f + m, m = 0 .. f, times their
// weights: near for m = 0, far for m = f, inner between them. The three are the shares of a mean.
typedef struct {
    ptrdiff_t first, f, n;  // n is the size of the image
    REAL near, inner, far;
} FN(glimpse_axis);

// What output p sees of the image: its pixels at + m with m in [from, to).
typedef struct {
    ptrdiff_t at, from, to;
} FN(glimpse_span);

// `centre` is finite, in pixels.
static FN(glimpse_axis) FN(glimpse_axis_of)(double centre, ptrdiff_t f, ptrdiff_t P, ptrdiff_t n) {
    // beyond the image all places are alike, and their number need not fit an integer
    const double width = (double)(P * f), start = centre - (width - 1) / 2;
    const double held = GL_MIN(GL_MAX(start, -width - 1), (double)n);
    const double first = floor(held), t = held - first;
    const REAL inner = 1 / (REAL)f;
    return (FN(glimpse_axis)){.first = (ptrdiff_t)first, .f = f, .n = n,
                              .near = (REAL)(1 - t) * inner, .inner = inner,
                              .far = (REAL)t * inner};
}

// Pixels outside of the image and those of weight 0 are left out.
static FN(glimpse_span) FN(glimpse_span_of)(const FN(glimpse_axis) *a, ptrdiff_t p) {
    const ptrdiff_t at = a->first + p * a->f, skip = a->near == 0, end = a->f + (a->far > 0);
    return (FN(glimpse_span)){at, GL_MAX(skip, -at), GL_MIN(end, a->n - at)};
}

ALWAYS_INLINE REAL FN(glimpse_weight)(const FN(glimpse_axis) *a, ptrdiff_t m) {
    return m == 0 ? a->near : m == a->f ? a->far : a->inner;
}

// patch (P, P) of an image (H, W) round its pixel (row, col); column (W,) is scratch.
static void FN(glimpse_patch)(REAL *restrict patch, const REAL *restrict image,
                              REAL *restrict column, double row, double col, ptrdiff_t f,
                              ptrdiff_t H, ptrdiff_t W, ptrdiff_t P) {
    const FN(glimpse_axis) y = FN(glimpse_axis_of)(row, f, P, H);
    const FN(glimpse_axis) x = FN(glimpse_axis_of)(col, f, P, W);
    const ptrdiff_t x0 = GL_MAX(x.first, 0), x1 = GL_MIN(x.first + P*f + (x.far > 0), W);
    for (ptrdiff_t p = 0; p < P; p++, patch += P) {
        // the columns under the patch, each a mean over the rows of this output
        for (ptrdiff_t i = x0; i < x1; i++) column[i] = 0;
        const FN(glimpse_span) rows = FN(glimpse_span_of)(&y, p);
        for (ptrdiff_t m = rows.from; m < rows.to; m++) {
            const REAL w = FN(glimpse_weight)(&y, m), *from = image + (rows.at + m)*W;
            for (ptrdiff_t i = x0; i < x1; i++) column[i] += w * from[i];
        }

        // each output a mean over its columns
        for (ptrdiff_t q = 0; q < P; q++) {
            const FN(glimpse_span) cols = FN(glimpse_span_of)(&x, q);
            REAL sum = 0;
            for (ptrdiff_t m = cols.from; m < cols.to; m++)
                sum += FN(glimpse_weight)(&x, m) * column[cols.at + m];
            patch[q] = sum;
        }
    }
}

// Add to dimage (H, W) what dpatch (P, P) gives it.
static void FN(glimpse_patch_backward)(REAL *restrict dimage, const REAL *restrict dpatch,
                                       REAL *restrict column, double row, double col, ptrdiff_t f,
                                       ptrdiff_t H, ptrdiff_t W, ptrdiff_t P) {
    const FN(glimpse_axis) y = FN(glimpse_axis_of)(row, f, P, H);
    const FN(glimpse_axis) x = FN(glimpse_axis_of)(col, f, P, W);
    const ptrdiff_t x0 = GL_MAX(x.first, 0), x1 = GL_MIN(x.first + P*f + (x.far > 0), W);
    for (ptrdiff_t p = 0; p < P; p++, dpatch += P) {
        // forward: patch[q] += weight(x, m) * column[cols.at + m]
        for (ptrdiff_t i = x0; i < x1; i++) column[i] = 0;
        for (ptrdiff_t q = 0; q < P; q++) {
            const FN(glimpse_span) cols = FN(glimpse_span_of)(&x, q);
            for (ptrdiff_t m = cols.from; m < cols.to; m++)
                column[cols.at + m] += FN(glimpse_weight)(&x, m) * dpatch[q];
        }

        // forward: column[i] += weight(y, m) * image[rows.at + m, i]
        const FN(glimpse_span) rows = FN(glimpse_span_of)(&y, p);
        for (ptrdiff_t m = rows.from; m < rows.to; m++) {
            const REAL w = FN(glimpse_weight)(&y, m);
            REAL *to = dimage + (rows.at + m)*W;
            for (ptrdiff_t i = x0; i < x1; i++) to[i] += w * column[i];
        }
    }
}
