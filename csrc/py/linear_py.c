#include "bindings.h"

#include "../core/gl_pool.h"
#include "../core/linear.h"

static PyObject *linear_forward(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    enum { Y, X, WEIGHT, BIAS, TRANSPOSED, N };
    static const glpy_spec plain[N] = {
        {"y", "NO", GLPY_REAL, GLPY_OUT | GLPY_STRIDED},
        {"x", "NI", GLPY_REAL, GLPY_STRIDED},
        {"weight", "IO", GLPY_REAL, 0},
        {"bias", "O", GLPY_REAL, GLPY_OPTIONAL},
        {"transposed", NULL, GLPY_FLAG, 0},
    };
    static const glpy_spec transposed[N] = {
        {"y", "NO", GLPY_REAL, GLPY_OUT | GLPY_STRIDED},
        {"x", "NI", GLPY_REAL, GLPY_STRIDED},
        {"weight", "OI", GLPY_REAL, 0},
        {"bias", "O", GLPY_REAL, GLPY_OPTIONAL},
        {"transposed", NULL, GLPY_FLAG, 0},
    };
    const int swap = nargs == N ? PyObject_IsTrue(args[TRANSPOSED]) : 0;
    if (swap < 0) return NULL;
    const glpy_spec *spec = swap ? transposed : plain;
    glpy_call c;
    if (glpy_parse(&c, "linear_forward", spec, N, args, nargs) < 0) return NULL;
    if (glpy_check_blas_dims(&c) < 0) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_linear_forward, c.data[Y], c.stride[Y][0], c.data[X], c.stride[X][0],
                  c.data[WEIGHT], c.data[BIAS], swap, GLPY_DIM(c, 'N'),
                  GLPY_DIM(c, 'I'), GLPY_DIM(c, 'O'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *linear_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                Py_ssize_t nargs) {
    enum { DX, DWEIGHT, DBIAS, DY, X, WEIGHT, TRANSPOSED, N };
    static const glpy_spec plain[N] = {
        {"dx", "NI", GLPY_REAL, GLPY_OUT | GLPY_STRIDED | GLPY_OPTIONAL},
        {"dweight", "IO", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dbias", "O", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dy", "NO", GLPY_REAL, GLPY_STRIDED},
        {"x", "NI", GLPY_REAL, GLPY_STRIDED},
        {"weight", "IO", GLPY_REAL, 0},
        {"transposed", NULL, GLPY_FLAG, 0},
    };
    static const glpy_spec transposed[N] = {
        {"dx", "NI", GLPY_REAL, GLPY_OUT | GLPY_STRIDED | GLPY_OPTIONAL},
        {"dweight", "OI", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dbias", "O", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dy", "NO", GLPY_REAL, GLPY_STRIDED},
        {"x", "NI", GLPY_REAL, GLPY_STRIDED},
        {"weight", "OI", GLPY_REAL, 0},
        {"transposed", NULL, GLPY_FLAG, 0},
    };
    const int swap = nargs == N ? PyObject_IsTrue(args[TRANSPOSED]) : 0;
    if (swap < 0) return NULL;
    const glpy_spec *spec = swap ? transposed : plain;
    glpy_call c;
    if (glpy_parse(&c, "linear_backward", spec, N, args, nargs) < 0) return NULL;
    if (glpy_check_blas_dims(&c) < 0) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_linear_backward, c.data[DX], c.stride[DX][0], c.data[DWEIGHT],
                  c.data[DBIAS], c.data[DY], c.stride[DY][0], c.data[X], c.stride[X][0],
                  c.data[WEIGHT], swap, GLPY_DIM(c, 'N'), GLPY_DIM(c, 'I'),
                  GLPY_DIM(c, 'O'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyMethodDef glpy_linear_methods[] = {
    GLPY_METHOD(linear_forward, "y, x, weight, bias, transposed, /",
                "y (N, O) = x (N, I) weight (I, O) + bias; weight is (O, I) if transposed.\n\n"
                "bias may be None; rows of x and y may be strided."),
    GLPY_METHOD(linear_backward, "dx, dweight, dbias, dy, x, weight, transposed, /",
                "Gradients of linear_forward; dweight and dbias are accumulated.\n\n"
                "Gradients that are None are not computed; rows of dx, dy and x may be strided."),
    {NULL, NULL, 0, NULL},
};
