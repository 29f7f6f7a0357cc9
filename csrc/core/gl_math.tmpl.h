// Scalar functions that gcc vectorises, and sums over fixed lanes.

// A function that gcc leaves as a call, for the size of the whole file, keeps its loop from being
// vectorised.
#define ALWAYS_INLINE static inline __attribute__((always_inline))

static inline REAL FN(from_bits)(UINT u) {
    REAL x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline UINT FN(to_bits)(REAL x) {
    UINT u;
    memcpy(&u, &x, sizeof u);
    return u;
}

// a * b + c, fused where the instruction set has it.
static inline REAL FN(fma_)(REAL a, REAL b, REAL c) {
#if VECTOR_BYTES > 16 || defined(__aarch64__)
    return MATH(fma)(a, b, c);
#else
    return a * b + c;
#endif
}

// exp(x) as 2^n * exp(r), |r| <= log(2)/2. Within 1.1 ulp for normal results; results below the
// smallest normal number are 0, above the largest inf; NaN stays NaN.
ALWAYS_INLINE REAL FN(exp_)(REAL x) {
    const int single = sizeof(REAL) == 4;
    const REAL shift = single ? (REAL)12582912.0 : (REAL)6755399441055744.0;  // 1.5 * 2^mantissa
    const REAL lo = single ? (REAL)-87.33654 : (REAL)-708.3964185322641;
    const REAL hi = single ? (REAL)88.72283 : (REAL)709.782712893384;

    // n lands in the low bits of z; log(2) is split so that r loses nothing
    const REAL z = FN(fma_)(x, (REAL)1.4426950408889634, shift);
    const REAL n = z - shift;
    const REAL ln2_hi = single ? (REAL)0.693359375 : (REAL)6.93147180369123816490e-01;
    const REAL ln2_lo = single ? (REAL)-2.12194440e-4 : (REAL)1.90821492927058770002e-10;
    const REAL r = FN(fma_)(-n, ln2_lo, FN(fma_)(-n, ln2_hi, x));

    REAL p;
    if (single) {
        p = (REAL)1.9875691500e-4;
        p = FN(fma_)(p, r, (REAL)1.3981999507e-3);
        p = FN(fma_)(p, r, (REAL)8.3334519073e-3);
        p = FN(fma_)(p, r, (REAL)4.1665795894e-2);
        p = FN(fma_)(p, r, (REAL)1.6666665459e-1);
        p = FN(fma_)(p, r, (REAL)5.0000001201e-1);
    } else {
        p = (REAL)(1.0 / 6227020800.0);
        p = FN(fma_)(p, r, (REAL)(1.0 / 479001600.0));
        p = FN(fma_)(p, r, (REAL)(1.0 / 39916800.0));
        p = FN(fma_)(p, r, (REAL)(1.0 / 3628800.0));
        p = FN(fma_)(p, r, (REAL)(1.0 / 362880.0));
        p = FN(fma_)(p, r, (REAL)(1.0 / 40320.0));
        p = FN(fma_)(p, r, (REAL)(1.0 / 5040.0));
        p = FN(fma_)(p, r, (REAL)(1.0 / 720.0));
        p = FN(fma_)(p, r, (REAL)(1.0 / 120.0));
        p = FN(fma_)(p, r, (REAL)(1.0 / 24.0));
        p = FN(fma_)(p, r, (REAL)(1.0 / 6.0));
        p = FN(fma_)(p, r, (REAL)0.5);
    }
    p = FN(fma_)(p * r, r, r) + 1;

    // 2^n in two halves, so that n = 128 (1024) does not overflow before the product does
    const UINT bits = FN(to_bits)(z);
    const int mantissa = single ? 23 : 52;
    const UINT bias = single ? 127 : 1023;
    const REAL half = FN(from_bits)((bits + bias - 1) << mantissa);
    const REAL y = p * half * 2;
    return x < lo ? 0 : x > hi ? (REAL)INFINITY : y;
}

// 2^x for x <= 0: what a softmax needs, in half the steps of exp_. Within 1.1 ulp for normal
// results; results below the smallest normal number are 0; NaN stays NaN.
ALWAYS_INLINE REAL FN(exp2_below_)(REAL x) {
    const int single = sizeof(REAL) == 4;
    const REAL shift = single ? (REAL)12582912.0 : (REAL)6755399441055744.0;  // 1.5 * 2^mantissa
    const REAL lo = single ? -126 : -1022;

    // n lands in the low bits of z
    const REAL z = x + shift;
    const REAL r = x - (z - shift);
    REAL p;
    if (single) {
        p = (REAL)1.5453163360e-04;
        p = FN(fma_)(p, r, (REAL)1.3390863314e-03);
        p = FN(fma_)(p, r, (REAL)9.6180830151e-03);
        p = FN(fma_)(p, r, (REAL)5.5503569543e-02);
        p = FN(fma_)(p, r, (REAL)2.4022650719e-01);
    } else {
        p = (REAL)2.5729324177362304214e-11;
        p = FN(fma_)(p, r, (REAL)4.455817908336064493e-10);
        p = FN(fma_)(p, r, (REAL)7.0548973041554992774e-9);
        p = FN(fma_)(p, r, (REAL)1.0178057087733941105e-7);
        p = FN(fma_)(p, r, (REAL)1.321548680870556279e-6);
        p = FN(fma_)(p, r, (REAL)1.5252733841556772589e-5);
        p = FN(fma_)(p, r, (REAL)1.5403530393370733411e-4);
        p = FN(fma_)(p, r, (REAL)1.3333558146406470697e-3);
        p = FN(fma_)(p, r, (REAL)9.6181291076284794928e-3);
        p = FN(fma_)(p, r, (REAL)5.5504108664821627039e-2);
        p = FN(fma_)(p, r, (REAL)2.4022650695910071233e-1);
    }
    p = FN(fma_)(p, r, (REAL)0.69314718055994530942);
    p = FN(fma_)(p, r, 1);
    const UINT bias = single ? 127 : 1023;
    const REAL y = p * FN(from_bits)((FN(to_bits)(z) + bias) << (single ? 23 : 52));
    return x < lo ? 0 : y;
}

// log(x) as k log(2) + log(m), m in [sqrt(1/2), sqrt(2)), by the series of atanh. Within 1 ulp;
// log(0) is -inf, of a negative number or NaN NaN.
static inline REAL FN(log_)(REAL x) {
    const int single = sizeof(REAL) == 4;
    const int mantissa = single ? 23 : 52;
    const UINT one = (UINT)(single ? 0x3f800000 : 0x3ff0000000000000);
    const UINT root_half = (UINT)(single ? 0x3f3504f3 : 0x3fe6a09e667f3bcd);
    const REAL smallest = single ? (REAL)1.17549435e-38 : (REAL)2.2250738585072014e-308;
    const REAL lift = single ? (REAL)33554432.0 : (REAL)18014398509481984.0;

    // below the smallest normal number the exponent's bits say nothing: scale up first
    const int low = x < smallest;
    const UINT bits = FN(to_bits)(low ? x * lift : x) + (one - root_half);
    const REAL m = FN(from_bits)((bits & (((UINT)1 << mantissa) - 1)) + root_half);

    // the exponent becomes a number in the mantissa of 2^23 (2^52)
    const UINT magic = (UINT)(single ? 0x4b000000 : 0x4330000000000000);
    const REAL offset = single ? (REAL)(8388608.0 + 127) : (REAL)(4503599627370496.0 + 1023);
    const REAL k = FN(from_bits)((bits >> mantissa) | magic) - offset -
                   (low ? (REAL)(single ? 25 : 54) : 0);

    const REAL f = m - 1, s = f / (2 + f), z = s * s, half = f * f * (REAL)0.5;
    REAL r;
    if (single) {
        r = (REAL)0.24279078841;
        r = r * z + (REAL)0.28498786688;
        r = r * z + (REAL)0.40000972152;
        r = r * z + (REAL)0.66666662693;
    } else {
        r = (REAL)1.479819860511658591e-01;
        r = r * z + (REAL)1.531383769920937332e-01;
        r = r * z + (REAL)1.818357216161805012e-01;
        r = r * z + (REAL)2.222219843214978396e-01;
        r = r * z + (REAL)2.857142874366239149e-01;
        r = r * z + (REAL)3.999999999940941908e-01;
        r = r * z + (REAL)6.666666666666735130e-01;
    }
    const REAL ln2_hi = single ? (REAL)6.9313812256e-01 : (REAL)6.93147180369123816490e-01;
    const REAL ln2_lo = single ? (REAL)9.0580006145e-06 : (REAL)1.90821492927058770002e-10;
    const REAL y = s * (half + r * z) + k * ln2_lo - half + f + k * ln2_hi;
    const REAL inf = (REAL)INFINITY;
    return x > 0 ? (x < inf ? y : x) : x == 0 ? -inf : (REAL)NAN;
}

// log(1 + x) for x in [-1/2, 1]: log of the rounded sum, and what the rounding lost. Within
// 1.5 ulp.
static inline REAL FN(log1p_)(REAL x) {
    const REAL u = 1 + x;
    return FN(log_)(u) + (x - (u - 1)) / u;
}

// tanh through exp of a number <= 0, so that nothing overflows.
ALWAYS_INLINE REAL FN(tanh_)(REAL x) {
    const REAL a = x < 0 ? -x : x;
    const REAL e = FN(exp_)(-2 * a);
    const REAL big = (1 - e) / (1 + e);
    const REAL x2 = x * x;

    // near 0 the quotient cancels: the odd series instead
    REAL p = (REAL)(-929569.0 / 638512875);
    p = FN(fma_)(p, x2, (REAL)(21844.0 / 6081075));
    p = FN(fma_)(p, x2, (REAL)(-1382.0 / 155925));
    p = FN(fma_)(p, x2, (REAL)(62.0 / 2835));
    p = FN(fma_)(p, x2, (REAL)(-17.0 / 315));
    p = FN(fma_)(p, x2, (REAL)(2.0 / 15));
    p = FN(fma_)(p, x2, (REAL)(-1.0 / 3));
    const REAL small = FN(fma_)(p * x2, a, a);
    const REAL y = a < (REAL)(sizeof(REAL) == 4 ? 0.25 : 0.15) ? small : big;
    return x < 0 ? -y : y;
}

// Where exp overflows the result is 0, as it should be.
ALWAYS_INLINE REAL FN(sigmoid_)(REAL x) {
    return 1 / (1 + FN(exp_)(-x));
}

// Sum and dot product over LANES accumulators: gcc vectorises them without changing the order,
// so every instruction set gives the same bits.
static inline REAL FN(sum_)(const REAL *x, ptrdiff_t n) {
    REAL lane[LANES] = {0};
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        EACH_LANE(k) lane[k] += x[i + k];
    for (; i < n; i++) lane[i % LANES] += x[i];
    return FN(fold_add)(lane);
}

static inline REAL FN(dot_)(const REAL *x, const REAL *y, ptrdiff_t n) {
    REAL lane[LANES] = {0};
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        EACH_LANE(k) lane[k] += x[i + k] * y[i + k];
    for (; i < n; i++) lane[i % LANES] += x[i] * y[i];
    return FN(fold_add)(lane);
}

// The largest of n values; NaN is passed over.
static inline REAL FN(row_max)(const REAL *x, ptrdiff_t n) {
    REAL lane[LANES];
    if (n < LANES) {
        lane[0] = -(REAL)INFINITY;
        for (ptrdiff_t i = 0; i < n; i++) lane[0] = x[i] > lane[0] ? x[i] : lane[0];
        return lane[0];
    }
    EACH_LANE(k) lane[k] = -(REAL)INFINITY;
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES)
        EACH_LANE(k) lane[k] = x[i + k] > lane[k] ? x[i + k] : lane[k];
    for (int k = 0; i < n; i++, k++) lane[k] = x[i] > lane[k] ? x[i] : lane[k];
    return FN(fold_max)(lane);
}
