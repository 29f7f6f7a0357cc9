#include "bindings.h"

#include "../core/gl_pool.h"
#include "../core/loss.h"

static PyObject *softmax_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                 Py_ssize_t nargs) {
    enum { Y, X, N };
    static const glpy_spec spec[N] = {
        {"y", "NV", GLPY_REAL, GLPY_OUT},
        {"x", "NV", GLPY_REAL, GLPY_MAY_ALIAS},
    };
    glpy_call c;
    if (glpy_parse(&c, "softmax_forward", spec, N, args, nargs) < 0) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_softmax_forward, c.data[Y], c.data[X], GLPY_DIM(c, 'N'), GLPY_DIM(c, 'V'),
                  gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *softmax_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                  Py_ssize_t nargs) {
    enum { DX, DY, Y, N };
    static const glpy_spec spec[N] = {
        {"dx", "NV", GLPY_REAL, GLPY_OUT},
        {"dy", "NV", GLPY_REAL, GLPY_MAY_ALIAS},
        {"y", "NV", GLPY_REAL, GLPY_MAY_ALIAS},
    };
    glpy_call c;
    if (glpy_parse(&c, "softmax_backward", spec, N, args, nargs) < 0) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_softmax_backward, c.data[DX], c.data[DY], c.data[Y], GLPY_DIM(c, 'N'),
                  GLPY_DIM(c, 'V'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *log_softmax_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                     Py_ssize_t nargs) {
    enum { Y, X, N };
    static const glpy_spec spec[N] = {
        {"y", "NV", GLPY_REAL, GLPY_OUT},
        {"x", "NV", GLPY_REAL, GLPY_MAY_ALIAS},
    };
    glpy_call c;
    if (glpy_parse(&c, "log_softmax_forward", spec, N, args, nargs) < 0) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_log_softmax_forward, c.data[Y], c.data[X], GLPY_DIM(c, 'N'),
                  GLPY_DIM(c, 'V'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *log_softmax_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                      Py_ssize_t nargs) {
    enum { DX, DY, Y, N };
    static const glpy_spec spec[N] = {
        {"dx", "NV", GLPY_REAL, GLPY_OUT},
        {"dy", "NV", GLPY_REAL, GLPY_MAY_ALIAS},
        {"y", "NV", GLPY_REAL, GLPY_MAY_ALIAS},
    };
    glpy_call c;
    if (glpy_parse(&c, "log_softmax_backward", spec, N, args, nargs) < 0) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_log_softmax_backward, c.data[DX], c.data[DY], c.data[Y], GLPY_DIM(c, 'N'),
                  GLPY_DIM(c, 'V'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *cross_entropy(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    enum { LOSS, DLOGITS, LOGITS, TARGETS, DLOSS, IGNORE_INDEX, N };
    static const glpy_spec spec[N] = {
        {"loss", "N", GLPY_REAL, GLPY_OUT},
        {"dlogits", "NV", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"logits", "NV", GLPY_REAL, GLPY_MAY_ALIAS},
        {"targets", "N", GLPY_INT64, 0},
        {"dloss", "N", GLPY_REAL, GLPY_OPTIONAL},
        {"ignore_index", NULL, GLPY_INT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "cross_entropy", spec, N, args, nargs) < 0) return NULL;

    gl_result result;
    Py_BEGIN_ALLOW_THREADS
    result = GLPY_DISPATCH(c, gl_cross_entropy, c.data[LOSS], c.data[DLOGITS], c.data[LOGITS],
                           c.data[TARGETS], c.data[DLOSS], c.integer[IGNORE_INDEX],
                           GLPY_DIM(c, 'N'), GLPY_DIM(c, 'V'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    return glpy_return(&c, result, "targets", "0 <= targets < V or ignore_index");
}

PyMethodDef glpy_loss_methods[] = {
    GLPY_METHOD(softmax_forward, "y, x, /", "Rows of x (N, V) as probabilities; y may be x."),
    GLPY_METHOD(softmax_backward, "dx, dy, y, /",
                "Gradient of softmax_forward; dx may be dy or y."),
    GLPY_METHOD(log_softmax_forward, "y, x, /",
                "Rows of x (N, V) as log-probabilities; y may be x."),
    GLPY_METHOD(log_softmax_backward, "dx, dy, y, /",
                "Gradient of log_softmax_forward; dx may be dy or y."),
    GLPY_METHOD(cross_entropy, "loss, dlogits, logits, targets, dloss, ignore_index, /",
                "Cross-entropy of each row of logits (N, V) and its gradient times dloss.\n\n"
                "dlogits and dloss may be None; dlogits may be logits."),
    {NULL, NULL, 0, NULL},
};
