#include "bindings.h"

#include "../core/gl_pool.h"
#include "../core/norm.h"

static PyObject *layer_norm_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                    Py_ssize_t nargs) {
    enum { OUT, MEAN, RSTD, X, WEIGHT, BIAS, EPS, N };
    static const glpy_spec spec[N] = {
        {"out", "NC", GLPY_REAL, GLPY_OUT},      {"mean", "N", GLPY_REAL, GLPY_OUT},
        {"rstd", "N", GLPY_REAL, GLPY_OUT},      {"x", "NC", GLPY_REAL, GLPY_MAY_ALIAS},
        {"weight", "C", GLPY_REAL, 0},           {"bias", "C", GLPY_REAL, 0},
        {"eps", NULL, GLPY_FLOAT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "layer_norm_forward", spec, N, args, nargs) < 0) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_layer_norm_forward, c.data[OUT], c.data[MEAN], c.data[RSTD], c.data[X],
                  c.data[WEIGHT], c.data[BIAS], c.num[EPS], GLPY_DIM(c, 'N'), GLPY_DIM(c, 'C'),
                  gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *layer_norm_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                     Py_ssize_t nargs) {
    enum { DX, DWEIGHT, DBIAS, DOUT, X, MEAN, RSTD, WEIGHT, N };
    static const glpy_spec spec[N] = {
        {"dx", "NC", GLPY_REAL, GLPY_OUT},         {"dweight", "C", GLPY_REAL, GLPY_OUT},
        {"dbias", "C", GLPY_REAL, GLPY_OUT},       {"dout", "NC", GLPY_REAL, GLPY_MAY_ALIAS},
        {"x", "NC", GLPY_REAL, 0},                 {"mean", "N", GLPY_REAL, 0},
        {"rstd", "N", GLPY_REAL, 0},               {"weight", "C", GLPY_REAL, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "layer_norm_backward", spec, N, args, nargs) < 0) return NULL;
    const ptrdiff_t n = gl_layer_norm_backward_workspace(GLPY_DIM(c, 'N'), GLPY_DIM(c, 'C'));
    void *work = glpy_workspace(&c, gl_size_mul(n, GLPY_ITEMSIZE(c)));
    if (work == NULL) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_layer_norm_backward, c.data[DX], c.data[DWEIGHT], c.data[DBIAS],
                  c.data[DOUT], c.data[X], c.data[MEAN], c.data[RSTD], c.data[WEIGHT], work,
                  GLPY_DIM(c, 'N'), GLPY_DIM(c, 'C'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyMethodDef glpy_norm_methods[] = {
    GLPY_METHOD(layer_norm_forward, "out, mean, rstd, x, weight, bias, eps, /",
                "Rows of x (N, C), normalised, scaled and shifted."),
    GLPY_METHOD(layer_norm_backward, "dx, dweight, dbias, dout, x, mean, rstd, weight, /",
                "Gradients of layer_norm_forward; dweight and dbias are accumulated."),
    {NULL, NULL, 0, NULL},
};
