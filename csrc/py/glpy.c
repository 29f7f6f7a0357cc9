#include "glpy.h"

#include "../core/attention.h"
#include "../core/gl_blas.h"

#include <pthread.h>
#include <stdlib.h>

#define NPY_NO_DEPRECATED_API NPY_1_25_API_VERSION
#define NPY_TARGET_VERSION NPY_1_25_API_VERSION
#include <numpy/arrayobject.h>

int glpy_import_numpy(void) { return PyArray_ImportNumPyAPI(); }

static int type_matches(PyArrayObject *a, glpy_kind kind) {
    const int t = PyArray_TYPE(a);
    switch (kind) {
    case GLPY_REAL: return t == NPY_FLOAT32 || t == NPY_FLOAT64;
    case GLPY_INT64: return t == NPY_INT64 || (t == NPY_LONGLONG && sizeof(npy_longlong) == 8);
    default: return t == NPY_UINT8 || t == NPY_BOOL;
    }
}

static const char *kind_name(glpy_kind kind) {
    switch (kind) {
    case GLPY_REAL: return "float32 or float64";
    case GLPY_INT64: return "int64";
    default: return "uint8 or bool";
    }
}

// dtype, byte order, alignment, number of dimensions.
static int check_type(glpy_call *c, const glpy_spec *s, PyObject *obj, int *real_seen) {
    if (!PyArray_Check(obj)) {
        PyErr_Format(PyExc_TypeError, "%s: %s is %.100s, expected a NumPy array", c->function,
                     s->name, Py_TYPE(obj)->tp_name);
        return -1;
    }
    PyArrayObject *a = (PyArrayObject *)obj;
    if (!type_matches(a, s->kind)) {
        PyErr_Format(PyExc_TypeError, "%s: %s has dtype %S, expected %s", c->function, s->name,
                     (PyObject *)PyArray_DESCR(a), kind_name(s->kind));
        return -1;
    }
    if (s->kind == GLPY_REAL) {
        const int is_f32 = PyArray_TYPE(a) == NPY_FLOAT32;
        if (*real_seen && is_f32 != c->is_f32) {
            PyErr_Format(PyExc_TypeError, "%s: %s has dtype %S, expected %s as the arguments before",
                         c->function, s->name, (PyObject *)PyArray_DESCR(a),
                         c->is_f32 ? "float32" : "float64");
            return -1;
        }
        c->is_f32 = is_f32;
        *real_seen = 1;
    }
    if (!PyArray_ISNOTSWAPPED(a) || !PyArray_ISALIGNED(a)) {
        PyErr_Format(PyExc_ValueError, "%s: %s is %s, expected an aligned array in native byte order",
                     c->function, s->name, PyArray_ISALIGNED(a) ? "byte-swapped" : "not aligned");
        return -1;
    }
    if ((s->flags & GLPY_OUT) && !PyArray_ISWRITEABLE(a)) {
        PyErr_Format(PyExc_ValueError, "%s: %s is read-only, expected a writeable array",
                     c->function, s->name);
        return -1;
    }
    const int ndim = (int)strlen(s->shape);
    if (PyArray_NDIM(a) != ndim) {
        PyErr_Format(PyExc_ValueError, "%s: %s has %d dimensions, expected %d", c->function, s->name,
                     PyArray_NDIM(a), ndim);
        return -1;
    }
    return 0;
}

// Do two items of a share memory? Its strides, ascending, must each step over all that lies below.
static int overlaps_itself(PyArrayObject *a) {
    int axes[GLPY_MAX_DIMS], n = 0;
    for (int d = 0; d < PyArray_NDIM(a); d++) {
        if (PyArray_DIM(a, d) < 2) continue;
        int at = n++;
        for (; at > 0 && PyArray_STRIDE(a, axes[at - 1]) > PyArray_STRIDE(a, d); at--)
            axes[at] = axes[at - 1];
        axes[at] = d;
    }
    ptrdiff_t extent = PyArray_ITEMSIZE(a);
    for (int k = 0; k < n; k++) {
        const ptrdiff_t stride = PyArray_STRIDE(a, axes[k]);
        if (stride < extent) return 1;
        extent = gl_size_add(extent, gl_size_mul(stride, PyArray_DIM(a, axes[k]) - 1));
        if (extent < 0) return 1;
    }
    return 0;
}

// Sizes against the letters, then strides.
static int check_layout(glpy_call *c, const glpy_spec *s, int i, PyArrayObject *a) {
    const int ndim = PyArray_NDIM(a);
    for (int d = 0; d < ndim; d++) {
        ptrdiff_t *dim = &c->dims[s->shape[d] - 'A'];
        const ptrdiff_t has = PyArray_DIM(a, d);
        if (*dim < 0) {
            *dim = has;
        } else if (*dim != has) {
            PyErr_Format(PyExc_ValueError, "%s: %s.shape[%d] is %zd, expected %c = %zd", c->function,
                         s->name, d, has, s->shape[d], *dim);
            return -1;
        }
    }

    // a size of 1 or an empty array leaves strides without meaning: write the natural ones
    const ptrdiff_t itemsize = PyArray_ITEMSIZE(a);
    const int any = PyArray_SIZE(a) > 0;
    ptrdiff_t natural = 1;
    for (int d = ndim - 1; d >= 0; d--) {
        const ptrdiff_t has = PyArray_DIM(a, d), bytes = PyArray_STRIDE(a, d);
        c->stride[i][d] = natural;
        if (any && has > 1) {
            const int free_axis = (s->flags & GLPY_STRIDED) && d < ndim - 1;
            if (bytes % itemsize != 0 || (free_axis ? bytes <= 0 : bytes != natural * itemsize)) {
                PyErr_Format(PyExc_ValueError,
                             free_axis ? "%s: %s has a stride of %zd bytes on axis %d, expected a "
                                         "positive multiple of its item size"
                                       : "%s: %s has a stride of %zd bytes on axis %d, expected "
                                         "it contiguous",
                             c->function, s->name, bytes, d);
                return -1;
            }
            c->stride[i][d] = bytes / itemsize;
        }
        natural = gl_size_mul(c->stride[i][d], GL_MAX(has, 1));
    }
    if (any && (s->flags & GLPY_STRIDED) && overlaps_itself(a)) {
        PyErr_Format(PyExc_ValueError, "%s: %s overlaps itself, expected separate memory for each "
                     "item", c->function, s->name);
        return -1;
    }
    c->data[i] = PyArray_DATA(a);
    return 0;
}

static ptrdiff_t gcd(ptrdiff_t a, ptrdiff_t b) {
    while (b) {
        const ptrdiff_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

// Bytes from the first to behind the last item.
static ptrdiff_t extent(PyArrayObject *a) {
    ptrdiff_t bytes = PyArray_ITEMSIZE(a);
    for (int d = 0; d < PyArray_NDIM(a); d++) bytes += (PyArray_DIM(a, d) - 1) * PyArray_STRIDE(a, d);
    return bytes;
}

// Are all windows of a and b apart, where the axes with strides of at least `wide` step from window
// to window and the others lie inside? All windows start at multiples of a common step, and one of
// each array must fit side by side in it.
static int windows_apart(PyArrayObject *a, PyArrayObject *b, ptrdiff_t wide) {
    ptrdiff_t step = 0, width[2] = {PyArray_ITEMSIZE(a), PyArray_ITEMSIZE(b)};
    PyArrayObject *both[2] = {a, b};
    for (int k = 0; k < 2; k++) {
        for (int d = 0; d < PyArray_NDIM(both[k]); d++) {
            const ptrdiff_t more = PyArray_DIM(both[k], d) - 1, stride = PyArray_STRIDE(both[k], d);
            if (more == 0) continue;
            if (stride >= wide)
                step = gcd(step, stride);
            else
                width[k] += more * stride;
        }
    }
    const ptrdiff_t offset = (char *)PyArray_DATA(b) - (char *)PyArray_DATA(a);
    const ptrdiff_t at = (offset % step + step) % step;
    return at >= width[0] && at + width[1] <= step;
}

// May the two share a byte? Interleaved views, such as dq, dk and dv in one buffer, do not.
static int overlap(PyArrayObject *a, PyArrayObject *b) {
    if (PyArray_SIZE(a) == 0 || PyArray_SIZE(b) == 0) return 0;
    const char *pa = PyArray_DATA(a), *pb = PyArray_DATA(b);
    if (pa + extent(a) <= pb || pb + extent(b) <= pa) return 0;
    PyArrayObject *both[2] = {a, b};
    for (int k = 0; k < 2; k++)
        for (int d = 0; d < PyArray_NDIM(both[k]); d++)
            if (PyArray_DIM(both[k], d) > 1 && windows_apart(a, b, PyArray_STRIDE(both[k], d)))
                return 0;
    return 1;
}

static int same_layout(PyArrayObject *a, PyArrayObject *b) {
    if (PyArray_DATA(a) != PyArray_DATA(b) || PyArray_NDIM(a) != PyArray_NDIM(b)) return 0;
    for (int d = 0; d < PyArray_NDIM(a); d++)
        if (PyArray_DIM(a, d) != PyArray_DIM(b, d) || PyArray_STRIDE(a, d) != PyArray_STRIDE(b, d))
            return 0;
    return 1;
}

static int check_overlap(const glpy_call *c, const glpy_spec *spec, int n, PyObject *const *args) {
    for (int i = 0; i < n; i++) {
        if (!(spec[i].flags & GLPY_OUT) || c->data[i] == NULL) continue;
        for (int j = 0; j < n; j++) {
            if (j == i || spec[j].kind > GLPY_UINT8 || c->data[j] == NULL) continue;
            if ((spec[j].flags & GLPY_OUT) && j < i) continue;
            PyArrayObject *a = (PyArrayObject *)args[i], *b = (PyArrayObject *)args[j];
            if ((spec[j].flags & GLPY_MAY_ALIAS) && strcmp(spec[i].shape, spec[j].shape) == 0 &&
                same_layout(a, b))
                continue;
            if (!overlap(a, b)) continue;
            PyErr_Format(PyExc_ValueError, "%s: %s overlaps %s, expected separate memory",
                         c->function, spec[i].name, spec[j].name);
            return -1;
        }
    }
    return 0;
}

// Put a TypeError or OverflowError into our words; leave any other as it is.
static int refuse_scalar(const glpy_call *c, const glpy_spec *s, PyObject *obj) {
    const char *expected = s->kind == GLPY_FLOAT ? "a number" : "an integer";
    if (PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        PyErr_Format(PyExc_TypeError, "%s: %s is %.100s, expected %s", c->function, s->name,
                     Py_TYPE(obj)->tp_name, expected);
    } else if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Clear();
        PyErr_Format(PyExc_OverflowError, "%s: %s is out of range, expected %s of 64 bits",
                     c->function, s->name, expected);
    }
    return -1;
}

static int parse_scalar(glpy_call *c, const glpy_spec *s, int i, PyObject *obj) {
    if (s->kind == GLPY_FLOAT) {
        c->num[i] = PyFloat_AsDouble(obj);
        return c->num[i] == -1.0 && PyErr_Occurred() ? refuse_scalar(c, s, obj) : 0;
    }
    if (s->kind == GLPY_FLAG) {
        const int truth = PyObject_IsTrue(obj);
        c->integer[i] = truth;
        return truth < 0 ? -1 : 0;
    }
    c->integer[i] = PyNumber_AsSsize_t(obj, PyExc_OverflowError);
    return c->integer[i] == -1 && PyErr_Occurred() ? refuse_scalar(c, s, obj) : 0;
}

int glpy_parse(glpy_call *c, const char *function, const glpy_spec *spec, int n,
               PyObject *const *args, Py_ssize_t nargs) {
    c->function = function;
    c->spec = spec;
    c->n = n;
    c->is_f32 = 0;
    for (int k = 0; k < 26; k++) c->dims[k] = -1;
    if (nargs != n) {
        PyErr_Format(PyExc_TypeError, "%s: takes %d arguments, %zd given", function, n, nargs);
        return -1;
    }
    // numbers first: theirs is the only Python code that may run, and it could resize an array
    for (int i = 0; i < n; i++) {
        c->data[i] = NULL;
        if (spec[i].kind > GLPY_UINT8 && parse_scalar(c, &spec[i], i, args[i]) < 0) return -1;
    }
    int real_seen = 0;
    for (int i = 0; i < n; i++) {
        const glpy_spec *s = &spec[i];
        if (s->kind <= GLPY_UINT8 && !((s->flags & GLPY_OPTIONAL) && args[i] == Py_None)) {
            if (check_type(c, s, args[i], &real_seen) < 0) return -1;
            if (check_layout(c, s, i, (PyArrayObject *)args[i]) < 0) return -1;
        }
    }
    return check_overlap(c, spec, n, args);
}

int glpy_check_blas_dims(const glpy_call *c) {
    for (int k = 0; k < 26; k++)
        if (!gl_blas_fits(c->dims[k])) {
            PyErr_Format(PyExc_ValueError, "%s: %c is %zd, expected at most %d", c->function,
                         'A' + k, c->dims[k], INT32_MAX);
            return -1;
        }
    for (int i = 0; i < c->n; i++)
        for (size_t d = 0; c->data[i] && d < strlen(c->spec[i].shape); d++)
            if ((c->spec[i].flags & GLPY_STRIDED) && !gl_blas_fits(c->stride[i][d])) {
                PyErr_Format(PyExc_ValueError,
                             "%s: %s has a stride of %zd items on axis %d, expected at most %d",
                             c->function, c->spec[i].name, c->stride[i][d], (int)d, INT32_MAX);
                return -1;
            }
    return 0;
}

int glpy_check_blas_size(const glpy_call *c, const char *what, ptrdiff_t n) {
    if (n >= 0 && gl_blas_fits(n)) return 0;
    PyErr_Format(PyExc_ValueError, "%s: %s is too large, expected at most %d", c->function, what,
                 INT32_MAX);
    return -1;
}

int glpy_refuse_size(const glpy_call *c, int i, int axis, const char *expected, ...) {
    va_list values;
    va_start(values, expected);
    PyObject *text = PyUnicode_FromFormatV(expected, values);
    va_end(values);
    if (text == NULL) return -1;
    PyErr_Format(PyExc_ValueError, "%s: %s.shape[%d] is %zd, expected %U", c->function,
                 c->spec[i].name, axis, GLPY_DIM(*c, c->spec[i].shape[axis]), text);
    Py_DECREF(text);
    return -1;
}

int glpy_check_lengths(const glpy_call *c, int i, char letter, const char *expected) {
    const gl_result r = gl_lengths_check(c->data[i], GLPY_DIM(*c, 'B'), GLPY_DIM(*c, letter));
    return glpy_check(c, r, c->spec[i].name, expected);
}

ptrdiff_t glpy_shared(const glpy_call *c, int i, int axis) {
    return c->data[i] && GLPY_DIM(*c, c->spec[i].shape[axis]) == 1 ? 0 : c->stride[i][axis];
}

int glpy_check_shared(const glpy_call *c, int i, int axis, char letter) {
    const ptrdiff_t has = c->data[i] ? GLPY_DIM(*c, c->spec[i].shape[axis]) : 1;
    if (has == 1 || has == GLPY_DIM(*c, letter)) return 0;
    return glpy_refuse_size(c, i, axis, "1 or %c = %zd", letter, GLPY_DIM(*c, letter));
}

// The lease of each thread, freed when the thread ends.
static _Thread_local struct {
    void *memory;
    ptrdiff_t bytes;
} lease;
static pthread_key_t lease_key;
static pthread_once_t lease_once = PTHREAD_ONCE_INIT;

static void make_lease_key(void) { pthread_key_create(&lease_key, free); }

void *glpy_workspace(const glpy_call *c, ptrdiff_t bytes) {
    if (gl_size_add(bytes, GL_ALIGN) < 0) {
        PyErr_Format(PyExc_MemoryError, "%s: the workspace does not fit the address space",
                     c->function);
        return NULL;
    }
#ifdef GL_ASAN
    if (lease.memory) ASAN_UNPOISON_MEMORY_REGION(lease.memory, (size_t)lease.bytes);
#endif
    if (bytes > lease.bytes || lease.memory == NULL) {
        pthread_once(&lease_once, make_lease_key);
        free(lease.memory);
        lease.memory = NULL;
        lease.bytes = 0;
        pthread_setspecific(lease_key, NULL);
        const ptrdiff_t size = (bytes / GL_ALIGN + 1) * GL_ALIGN;
        void *p = aligned_alloc(GL_ALIGN, (size_t)size);
        if (p == NULL) {
            PyErr_Format(PyExc_MemoryError, "%s: a workspace of %zd bytes cannot be had",
                         c->function, bytes);
            return NULL;
        }
        pthread_setspecific(lease_key, p);
        lease.memory = p;
        lease.bytes = size;
    }
#ifdef GL_ASAN
    // what an earlier, larger lease has left behind is out of bounds
    ASAN_POISON_MEMORY_REGION((char *)lease.memory + bytes, (size_t)(lease.bytes - bytes));
#endif
    return lease.memory;
}

PyObject *glpy_return(const glpy_call *c, gl_result result, const char *arg, const char *expected) {
    switch (result.status) {
    case GL_OK: Py_RETURN_NONE;
    case GL_EINDEX:
        return PyErr_Format(PyExc_IndexError, "%s: %s is out of range at row %zd, expected %s",
                            c->function, arg, result.row, expected);
    case GL_ENONFINITE:
        return PyErr_Format(PyExc_FloatingPointError,
                            "%s: %s is not finite at row %zd, expected %s", c->function, arg,
                            result.row, expected);
    case GL_EVALUE:
        return PyErr_Format(PyExc_ValueError, "%s: %s is not allowed at row %zd, expected %s",
                            c->function, arg, result.row, expected);
    default: return PyErr_Format(PyExc_MemoryError, "%s: a size overflows", c->function);
    }
}

int glpy_check(const glpy_call *c, gl_result result, const char *arg, const char *expected) {
    PyObject *none = glpy_return(c, result, arg, expected);
    Py_XDECREF(none);
    return none ? 0 : -1;
}
