// Status codes, small helpers and the template names that every file of the core uses.
//
// The core is plain C11 over caller-owned arrays. It allocates nothing, prints nothing and keeps
// no state but the thread pool, the BLAS table and the kernel table, each set once.
#ifndef GL_COMMON_H
#define GL_COMMON_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    GL_OK = 0,
    GL_EINDEX,      // an index is outside its range
    GL_ENONFINITE,  // a value that must be finite is NaN or infinite
    GL_ESIZE,       // a size overflows ptrdiff_t or a BLAS integer
    GL_EVALUE,      // a value is outside its domain
} gl_status;

// Where a value was refused: the lowest flat row, or -1.
typedef struct {
    gl_status status;
    ptrdiff_t row;
} gl_result;

static inline gl_result gl_ok(void) { return (gl_result){GL_OK, -1}; }

#define GL_MIN(a, b) ((a) < (b) ? (a) : (b))
#define GL_MAX(a, b) ((a) > (b) ? (a) : (b))
#define GL_CEIL_DIV(a, b) (((a) + (b) - 1) / (b))

// A cache line; sub-buffers of a workspace start on one.
enum { GL_ALIGN = 64 };

// Sizes are summed in bytes through these, so that an overflow is seen once and reported.
// A negative size means "does not fit" and stays negative.
static inline ptrdiff_t gl_size_mul(ptrdiff_t a, ptrdiff_t b) {
    ptrdiff_t r;
    return a < 0 || b < 0 || __builtin_mul_overflow(a, b, &r) ? -1 : r;
}

static inline ptrdiff_t gl_size_add(ptrdiff_t a, ptrdiff_t b) {
    ptrdiff_t r;
    return a < 0 || b < 0 || __builtin_add_overflow(a, b, &r) ? -1 : r;
}

// Under AddressSanitizer each sub-buffer is followed by a poisoned gap, so that an overrun from
// one into the next is seen.
#if defined(__SANITIZE_ADDRESS__)
#define GL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GL_ASAN 1
#endif
#endif
#ifdef GL_ASAN
#include <sanitizer/asan_interface.h>
enum { GL_GAP = 256 };
#else
enum { GL_GAP = 0 };
#endif

// Bytes that gl_carve takes for n items of the given size.
static inline ptrdiff_t gl_carve_size(ptrdiff_t n, ptrdiff_t itemsize) {
    ptrdiff_t bytes = gl_size_mul(n, itemsize);
    bytes = gl_size_add(bytes, GL_ALIGN - 1 + GL_GAP);
    return bytes < 0 ? -1 : bytes / GL_ALIGN * GL_ALIGN;
}

// Cut the next sub-buffer off a workspace whose cursor is aligned to GL_ALIGN.
static inline void *gl_carve(char **cursor, ptrdiff_t n, ptrdiff_t itemsize) {
    void *p = *cursor;
    *cursor += gl_carve_size(n, itemsize);
#ifdef GL_ASAN
    ASAN_UNPOISON_MEMORY_REGION(p, (size_t)(*cursor - (char *)p));
    ASAN_POISON_MEMORY_REGION((char *)p + n * itemsize, (size_t)(*cursor - (char *)p - n * itemsize));
#endif
    return p;
}

// Templates: a .tmpl.h is included twice, with REAL and SUFFIX set to float, f32 and double, f64.
#define GL_PASTE_(a, b) a##_##b
#define GL_PASTE(a, b) GL_PASTE_(a, b)
#define FN(name) GL_PASTE(name, SUFFIX)

#endif
