#include "bindings.h"

#include "../core/activation.h"
#include "../core/gl_pool.h"

static PyObject *forward(const char *name, gl_activation f, PyObject *const *args,
                         Py_ssize_t nargs) {
    enum { Y, X, N };
    static const glpy_spec spec[N] = {
        {"y", "N", GLPY_REAL, GLPY_OUT},
        {"x", "N", GLPY_REAL, GLPY_MAY_ALIAS},
    };
    glpy_call c;
    if (glpy_parse(&c, name, spec, N, args, nargs) < 0) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_activation_forward, c.data[Y], c.data[X], f, GLPY_DIM(c, 'N'),
                  gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

// Two tables, so that a message calls the last argument by its name.
static PyObject *backward(const char *name, gl_activation f, PyObject *const *args,
                          Py_ssize_t nargs) {
    enum { DX, DY, XY, N };
    static const glpy_spec from_x[N] = {
        {"dx", "N", GLPY_REAL, GLPY_OUT},
        {"dy", "N", GLPY_REAL, GLPY_MAY_ALIAS},
        {"x", "N", GLPY_REAL, GLPY_MAY_ALIAS},
    };
    static const glpy_spec from_y[N] = {
        {"dx", "N", GLPY_REAL, GLPY_OUT},
        {"dy", "N", GLPY_REAL, GLPY_MAY_ALIAS},
        {"y", "N", GLPY_REAL, GLPY_MAY_ALIAS},
    };
    const glpy_spec *spec = f == GL_GELU || f == GL_GELU_EXACT ? from_x : from_y;
    glpy_call c;
    if (glpy_parse(&c, name, spec, N, args, nargs) < 0) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_activation_backward, c.data[DX], c.data[DY], c.data[XY], f,
                  GLPY_DIM(c, 'N'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

#define BINDINGS(name, f)                                                                \
    static PyObject *name##_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,     \
                                    Py_ssize_t nargs) {                                  \
        return forward(#name "_forward", f, args, nargs);                                \
    }                                                                                    \
    static PyObject *name##_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,    \
                                     Py_ssize_t nargs) {                                 \
        return backward(#name "_backward", f, args, nargs);                              \
    }

BINDINGS(gelu, GL_GELU)
BINDINGS(gelu_exact, GL_GELU_EXACT)
BINDINGS(tanh, GL_TANH)
BINDINGS(relu, GL_RELU)
BINDINGS(sigmoid, GL_SIGMOID)

#define FROM_X(name)                                                                          \
    GLPY_METHOD(name##_forward, "y, x, /", "y = " #name "(x), element by element; y may be x."), \
    GLPY_METHOD(name##_backward, "dx, dy, x, /", "Gradient of " #name "; dx may be dy or x.")
#define FROM_Y(name)                                                                          \
    GLPY_METHOD(name##_forward, "y, x, /", "y = " #name "(x), element by element; y may be x."), \
    GLPY_METHOD(name##_backward, "dx, dy, y, /", "Gradient of " #name "; dx may be dy or y.")

PyMethodDef glpy_activation_methods[] = {
    FROM_X(gelu), FROM_X(gelu_exact), FROM_Y(tanh), FROM_Y(relu), FROM_Y(sigmoid),
    {NULL, NULL, 0, NULL},
};
