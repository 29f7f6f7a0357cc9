// One number from LANES: the upper half is folded onto the lower one until one lane is left, in
// registers where there are wide ones. The order is the same everywhere.

#if VECTOR_BYTES == 64

static inline float fold_add_f32(const float *lane) {
    return _mm512_reduce_add_ps(_mm512_loadu_ps(lane));
}

static inline float fold_max_f32(const float *lane) {
    return _mm512_reduce_max_ps(_mm512_loadu_ps(lane));
}

static inline double fold_add_f64(const double *lane) {
    return _mm512_reduce_add_pd(_mm512_add_pd(_mm512_loadu_pd(lane), _mm512_loadu_pd(lane + 8)));
}

static inline double fold_max_f64(const double *lane) {
    return _mm512_reduce_max_pd(_mm512_max_pd(_mm512_loadu_pd(lane), _mm512_loadu_pd(lane + 8)));
}

#elif VECTOR_BYTES == 32

#define FOLD_F32(op)                                                                          \
    {                                                                                         \
        const __m256 a = _mm256_##op##_ps(_mm256_loadu_ps(lane), _mm256_loadu_ps(lane + 8));  \
        const __m128 b =                                                                      \
            _mm_##op##_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));            \
        const __m128 c = _mm_##op##_ps(b, _mm_movehl_ps(b, b));                               \
        return _mm_cvtss_f32(_mm_##op##_ss(c, _mm_movehdup_ps(c)));                           \
    }
#define FOLD_F64(op)                                                                          \
    {                                                                                         \
        const __m256d a = _mm256_##op##_pd(                                                   \
            _mm256_##op##_pd(_mm256_loadu_pd(lane), _mm256_loadu_pd(lane + 8)),               \
            _mm256_##op##_pd(_mm256_loadu_pd(lane + 4), _mm256_loadu_pd(lane + 12)));         \
        const __m128d b =                                                                     \
            _mm_##op##_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));            \
        return _mm_cvtsd_f64(_mm_##op##_sd(b, _mm_unpackhi_pd(b, b)));                        \
    }
static inline float fold_add_f32(const float *lane) FOLD_F32(add)
static inline float fold_max_f32(const float *lane) FOLD_F32(max)
static inline double fold_add_f64(const double *lane) FOLD_F64(add)
static inline double fold_max_f64(const double *lane) FOLD_F64(max)

#else

#define FOLD(type, step)                                    \
    {                                                       \
        type x[LANES];                                      \
        for (int k = 0; k < LANES; k++) x[k] = lane[k];     \
        for (int w = LANES / 2; w > 0; w /= 2)              \
            for (int k = 0; k < w; k++) x[k] = step;        \
        return x[0];                                        \
    }
static inline float fold_add_f32(const float *lane) FOLD(float, x[k] + x[k + w])
static inline double fold_add_f64(const double *lane) FOLD(double, x[k] + x[k + w])
static inline float fold_max_f32(const float *lane) FOLD(float, x[k + w] > x[k] ? x[k + w] : x[k])
static inline double fold_max_f64(const double *lane)
    FOLD(double, x[k + w] > x[k] ? x[k + w] : x[k])

#endif
