// Images: convolution and max-pooling.
#include "bindings.h"

#include "../core/conv.h"
#include "../core/max_pool.h"

static ptrdiff_t size_of(const glpy_call *c, int i, int axis) {
    return GLPY_DIM(*c, c->spec[i].shape[axis]);
}

// Raise unless the integer argument i is `low` to `high`.
static int check_integer(const glpy_call *c, int i, ptrdiff_t low, ptrdiff_t high) {
    if (c->integer[i] >= low && c->integer[i] <= high) return 0;
    PyErr_Format(PyExc_ValueError, "%s: %s is %zd, expected %zd to %zd", c->function,
                 c->spec[i].name, c->integer[i], low, high);
    return -1;
}

// Raise unless y has along `axis` as many places as there are for a kernel on a padded image.
static int check_places(const glpy_call *c, int y, int axis, ptrdiff_t padded, ptrdiff_t kernel,
                        ptrdiff_t stride) {
    const ptrdiff_t places = (padded - kernel) / stride + 1;
    if (size_of(c, y, axis) == places) return 0;
    return glpy_refuse_size(c, y, axis, "%c = %zd", c->spec[y].shape[axis], places);
}

// Arguments that forward and backward have in common stand first, in this order.
enum { X, WEIGHT, STRIDE_H, STRIDE_W, PADDING_H, PADDING_W, COMMON };

// GIVEN is 0, or GLPY_OPTIONAL where a pass may do without x.
#define COMMON_SPEC(GIVEN)                                \
    {"x", "NCHW", GLPY_REAL, GIVEN},                      \
    {"weight", "OCKL", GLPY_REAL, 0},                     \
    {"stride_h", NULL, GLPY_INT, 0},                      \
    {"stride_w", NULL, GLPY_INT, 0},                      \
    {"padding_h", NULL, GLPY_INT, 0},                     \
    {"padding_w", NULL, GLPY_INT, 0}

#define SHARED_FIELDS                                                                           \
    .N = GLPY_DIM(c, 'N'), .C = GLPY_DIM(c, 'C'), .H = GLPY_DIM(c, 'H'), .W = GLPY_DIM(c, 'W'), \
    .O = GLPY_DIM(c, 'O'), .K = GLPY_DIM(c, 'K'), .L = GLPY_DIM(c, 'L'), .P = GLPY_DIM(c, 'P'), \
    .Q = GLPY_DIM(c, 'Q'), .stride = {c.integer[STRIDE_H], c.integer[STRIDE_W]},                \
    .padding = {c.integer[PADDING_H], c.integer[PADDING_W]}, .x = c.data[X],                    \
    .weight = c.data[WEIGHT]

// What the letters cannot say; `y` is the output or its gradient.
static int check_conv(const glpy_call *c, int y) {
    if (glpy_check_blas_dims(c) < 0) return -1;
    for (int d = 0; d < 2; d++) {
        if (check_integer(c, STRIDE_H + d, 1, INT32_MAX) < 0) return -1;
        if (check_integer(c, PADDING_H + d, 0, INT32_MAX) < 0) return -1;
        const ptrdiff_t padded = size_of(c, X, 2 + d) + 2*c->integer[PADDING_H + d];
        const ptrdiff_t kernel = size_of(c, WEIGHT, 2 + d);
        if (padded < 1) return glpy_refuse_size(c, X, 2 + d, "at least 1");
        if (kernel < 1 || kernel > padded)
            return glpy_refuse_size(c, WEIGHT, 2 + d, "1 to %zd", padded);
        if (check_places(c, y, 2 + d, padded, kernel, c->integer[STRIDE_H + d]) < 0) return -1;
    }
    const ptrdiff_t KL = gl_size_mul(GLPY_DIM(*c, 'K'), GLPY_DIM(*c, 'L'));
    const ptrdiff_t HW = gl_size_mul(GLPY_DIM(*c, 'H'), GLPY_DIM(*c, 'W'));
    const ptrdiff_t PQ = gl_size_mul(GLPY_DIM(*c, 'P'), GLPY_DIM(*c, 'Q'));
    if (glpy_check_blas_size(c, "C * K * L", gl_size_mul(GLPY_DIM(*c, 'C'), KL)) < 0) return -1;
    if (glpy_check_blas_size(c, "H * W", HW) < 0) return -1;
    return glpy_check_blas_size(c, "P * Q", PQ);
}

static PyObject *conv2d_forward(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    enum { BIAS = COMMON, Y, N };
    static const glpy_spec spec[N] = {
        COMMON_SPEC(0),
        {"bias", "O", GLPY_REAL, GLPY_OPTIONAL},
        {"y", "NOPQ", GLPY_REAL, GLPY_OUT},
    };
    glpy_call c;
    if (glpy_parse(&c, "conv2d_forward", spec, N, args, nargs) < 0) return NULL;
    if (check_conv(&c, Y) < 0) return NULL;
#define FORWARD(STRUCT, REAL) {SHARED_FIELDS, .bias = c.data[BIAS], .y = c.data[Y]}
    GLPY_RUN(c, gl_conv2d, gl_conv2d_forward, FORWARD);
#undef FORWARD
    Py_RETURN_NONE;
}

static PyObject *conv2d_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                 Py_ssize_t nargs) {
    enum { DY = COMMON, DX, DWEIGHT, DBIAS, N };
    static const glpy_spec spec[N] = {
        COMMON_SPEC(GLPY_OPTIONAL),
        {"dy", "NOPQ", GLPY_REAL, 0},
        {"dx", "NCHW", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dweight", "OCKL", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dbias", "O", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
    };
    glpy_call c;
    if (glpy_parse(&c, "conv2d_backward", spec, N, args, nargs) < 0) return NULL;
    if (c.data[X] == NULL && (c.data[DX] == NULL || c.data[DWEIGHT] != NULL)) {
        PyErr_SetString(PyExc_ValueError, "conv2d_backward: x is None, expected a NumPy array "
                                          "unless dx alone is wanted");
        return NULL;
    }
    if (check_conv(&c, DY) < 0) return NULL;
#define BACKWARD(STRUCT, REAL)                                                           \
    {SHARED_FIELDS, .dy = c.data[DY], .dx = c.data[DX], .dweight = c.data[DWEIGHT],      \
     .dbias = c.data[DBIAS]}
    GLPY_RUN(c, gl_conv2d, gl_conv2d_backward, BACKWARD);
#undef BACKWARD
    Py_RETURN_NONE;
}

static PyObject *max_pool2d_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                    Py_ssize_t nargs) {
    enum { Y, INDEX, IMAGE, KERNEL, STRIDE = KERNEL + 2, PADDING = STRIDE + 2, N = PADDING + 2 };
    static const glpy_spec spec[N] = {
        {"y", "MPQ", GLPY_REAL, GLPY_OUT},   {"index", "MPQ", GLPY_INT64, GLPY_OUT},
        {"x", "MHW", GLPY_REAL, 0},          {"kernel_h", NULL, GLPY_INT, 0},
        {"kernel_w", NULL, GLPY_INT, 0},     {"stride_h", NULL, GLPY_INT, 0},
        {"stride_w", NULL, GLPY_INT, 0},     {"padding_h", NULL, GLPY_INT, 0},
        {"padding_w", NULL, GLPY_INT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "max_pool2d_forward", spec, N, args, nargs) < 0) return NULL;
    gl_window window;
    for (int d = 0; d < 2; d++) {
        const ptrdiff_t kernel = window.kernel[d] = c.integer[KERNEL + d];
        const ptrdiff_t stride = window.stride[d] = c.integer[STRIDE + d];
        const ptrdiff_t padding = window.padding[d] = c.integer[PADDING + d];
        if (size_of(&c, IMAGE, 1 + d) < 1) {
            glpy_refuse_size(&c, IMAGE, 1 + d, "at least 1");
            return NULL;
        }
        if (check_integer(&c, KERNEL + d, 1, INT32_MAX) < 0) return NULL;
        if (check_integer(&c, STRIDE + d, 1, INT32_MAX) < 0) return NULL;
        if (check_integer(&c, PADDING + d, 0, kernel / 2) < 0) return NULL;
        const ptrdiff_t padded = size_of(&c, IMAGE, 1 + d) + 2*padding;
        if (check_integer(&c, KERNEL + d, 1, padded) < 0) return NULL;
        if (check_places(&c, Y, 1 + d, padded, kernel, stride) < 0) return NULL;
    }

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_max_pool2d_forward, c.data[Y], c.data[INDEX], c.data[IMAGE], window,
                  GLPY_DIM(c, 'M'), GLPY_DIM(c, 'H'), GLPY_DIM(c, 'W'), GLPY_DIM(c, 'P'),
                  GLPY_DIM(c, 'Q'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *max_pool2d_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                     Py_ssize_t nargs) {
    enum { DX, DY, INDEX, N };
    static const glpy_spec spec[N] = {
        {"dx", "MHW", GLPY_REAL, GLPY_OUT},
        {"dy", "MPQ", GLPY_REAL, 0},
        {"index", "MPQ", GLPY_INT64, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "max_pool2d_backward", spec, N, args, nargs) < 0) return NULL;

    gl_result result;
    Py_BEGIN_ALLOW_THREADS
    result = GLPY_DISPATCH(c, gl_max_pool2d_backward, c.data[DX], c.data[DY], c.data[INDEX],
                           GLPY_DIM(c, 'M'), GLPY_DIM(c, 'H'), GLPY_DIM(c, 'W'),
                           GLPY_DIM(c, 'P'), GLPY_DIM(c, 'Q'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    return glpy_return(&c, result, "index", "0 <= index < H * W");
}

PyMethodDef glpy_conv_methods[] = {
    GLPY_METHOD(conv2d_forward,
                "x, weight, stride_h, stride_w, padding_h, padding_w, bias, y, /",
                "y (N, O, P, Q) = x (N, C, H, W) convolved with weight (O, C, K, L), + bias.\n\n"
                "bias may be None."),
    GLPY_METHOD(conv2d_backward,
                "x, weight, stride_h, stride_w, padding_h, padding_w, dy, dx, dweight, dbias, /",
                "Gradients of conv2d_forward; dweight and dbias are accumulated.\n\n"
                "Gradients that are None are not computed."),
    GLPY_METHOD(max_pool2d_forward,
                "y, index, x, kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w, /",
                "The largest value of each window of x (M, H, W), and its place h * W + w."),
    GLPY_METHOD(max_pool2d_backward, "dx, dy, index, /",
                "dx (M, H, W) from dy (M, P, Q) and the index of max_pool2d_forward."),
    {NULL, NULL, 0, NULL},
};
