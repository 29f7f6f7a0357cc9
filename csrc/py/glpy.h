// Checking of arguments, once for all bindings.
//
// A binding describes its arguments in a table of glpy_spec and calls glpy_parse. Array data are
// borrowed for the call, so that no error path has anything to release.
#ifndef GLPY_H
#define GLPY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "../core/gl_common.h"

typedef enum {
    GLPY_REAL,   // float32 or float64 array; all of one call alike
    GLPY_INT64,  // int64 array
    GLPY_UINT8,  // uint8 or bool array
    GLPY_FLOAT,  // Python number -> num
    GLPY_INT,    // Python integer -> integer
    GLPY_FLAG,   // Python bool -> integer
} glpy_kind;

enum {
    GLPY_OUT = 1,        // written to: must be writeable and overlap no other argument
    GLPY_MAY_ALIAS = 2,  // may be the same memory as an output of the same letters and layout
    GLPY_OPTIONAL = 4,   // may be None: data is NULL
    GLPY_STRIDED = 8,    // outer axes may be strided, without overlap; the last is contiguous
};

// `shape` has a capital letter an axis; a letter means the same size wherever it stands.
typedef struct {
    const char *name;
    const char *shape;
    glpy_kind kind;
    int flags;
} glpy_spec;

enum { GLPY_MAX_ARGS = 32, GLPY_MAX_DIMS = 5 };

typedef struct {
    const char *function;
    const glpy_spec *spec;
    int n;
    int is_f32;
    ptrdiff_t dims[26];
    void *data[GLPY_MAX_ARGS];
    ptrdiff_t stride[GLPY_MAX_ARGS][GLPY_MAX_DIMS];  // in items
    double num[GLPY_MAX_ARGS];
    ptrdiff_t integer[GLPY_MAX_ARGS];
} glpy_call;

#define GLPY_DIM(c, letter) ((c).dims[(letter) - 'A'])
#define GLPY_ITEMSIZE(c) ((c).is_f32 ? (ptrdiff_t)sizeof(float) : (ptrdiff_t)sizeof(double))

// Call fn_f32 or fn_f64.
#define GLPY_DISPATCH(c, fn, ...) ((c).is_f32 ? fn##_f32(__VA_ARGS__) : fn##_f64(__VA_ARGS__))

// Fill `c`; -1 with an exception where an argument is refused.
int glpy_parse(glpy_call *c, const char *function, const glpy_spec *spec, int n,
               PyObject *const *args, Py_ssize_t nargs);

// Raise unless all sizes and strides may be passed to BLAS; -1 with an exception.
int glpy_check_blas_dims(const glpy_call *c);

// The same of a product of sizes, which `what` names.
int glpy_check_blas_size(const glpy_call *c, const char *what, ptrdiff_t n);

// Raise unless argument i (B,) is None or each of it 0 to the size that `letter` names; -1 with an
// exception.
int glpy_check_lengths(const glpy_call *c, int i, char letter, const char *expected);

// Data and strides of the first three axes, as the core's gl_heads_in and gl_heads_out have them.
#define GLPY_HEADS(c, i) {(c).data[i], (c).stride[i][0], (c).stride[i][1], (c).stride[i][2]}

// The same where axes of length 1 serve all: those have a stride of 0.
#define GLPY_SHARED(c, i)                                                                     \
    {(c).data[i], glpy_shared(&(c), i, 0), glpy_shared(&(c), i, 1), glpy_shared(&(c), i, 2)}

ptrdiff_t glpy_shared(const glpy_call *c, int i, int axis);

// Raise unless axis `axis` of argument i has the size of `letter`, or 1; -1 with an exception.
int glpy_check_shared(const glpy_call *c, int i, int axis, char letter);

// Raise that axis `axis` of argument i has another size than expected, a format as PyErr_Format
// takes it; -1.
int glpy_refuse_size(const glpy_call *c, int i, int axis, const char *expected, ...);

// Scratch of the calling thread, aligned to GL_ALIGN and valid until its next lease. NULL with a
// MemoryError where bytes is negative (an overflow) or memory is short.
void *glpy_workspace(const glpy_call *c, ptrdiff_t bytes);

// None, or an exception that names `arg`, the lowest row that was refused and what was expected.
PyObject *glpy_return(const glpy_call *c, gl_result result, const char *arg, const char *expected);

// The same for a check before the call: 0, or -1 with an exception.
int glpy_check(const glpy_call *c, gl_result result, const char *arg, const char *expected);

// NumPy's C API; called once from module exec.
int glpy_import_numpy(void);

#endif
