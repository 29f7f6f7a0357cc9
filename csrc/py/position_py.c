#include "bindings.h"

#include "../core/gl_pool.h"
#include "../core/position.h"

static PyObject *rotary(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    enum { OUT, X, COSINE, SINE, INVERSE, N };
    static const glpy_spec spec[N] = {
        {"out", "BHTD", GLPY_REAL, GLPY_OUT | GLPY_STRIDED},
        {"x", "BHTD", GLPY_REAL, GLPY_MAY_ALIAS | GLPY_STRIDED},
        {"cosine", "TR", GLPY_REAL, 0},
        {"sine", "TR", GLPY_REAL, 0},
        {"inverse", NULL, GLPY_FLAG, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "rotary", spec, N, args, nargs) < 0) return NULL;
    if (GLPY_DIM(c, 'D') != 2*GLPY_DIM(c, 'R'))
        return PyErr_Format(PyExc_ValueError, "rotary: out.shape[3] is %zd, expected 2R = %zd",
                            GLPY_DIM(c, 'D'), 2*GLPY_DIM(c, 'R'));

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_rotary, c.data[OUT], c.stride[OUT], c.data[X], c.stride[X], c.data[COSINE],
                  c.data[SINE], (int)c.integer[INVERSE], GLPY_DIM(c, 'B'), GLPY_DIM(c, 'H'),
                  GLPY_DIM(c, 'T'), GLPY_DIM(c, 'D'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyMethodDef glpy_position_methods[] = {
    GLPY_METHOD(rotary, "out, x, cosine, sine, inverse, /",
                "Rows of x (B, H, T, D), turned by their position; out may be x."),
    {NULL, NULL, 0, NULL},
};
