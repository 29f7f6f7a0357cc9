#include "bindings.h"

#include "../core/advantage.h"
#include "../core/gl_pool.h"

static PyObject *gae(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    enum { ADVANTAGES, RETURNS, REWARDS, VALUES, LAST, FINAL, TERMINATED, TRUNCATED, GAMMA, LAMBDA,
           N };
    static const glpy_spec spec[N] = {
        {"advantages", "TN", GLPY_REAL, GLPY_OUT},
        {"returns", "TN", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"rewards", "TN", GLPY_REAL, 0},
        {"values", "TN", GLPY_REAL, 0},
        {"last", "N", GLPY_REAL, 0},
        {"final", "TN", GLPY_REAL, GLPY_OPTIONAL},
        {"terminated", "TN", GLPY_UINT8, GLPY_OPTIONAL},
        {"truncated", "TN", GLPY_UINT8, GLPY_OPTIONAL},
        {"gamma", NULL, GLPY_FLOAT, 0},
        {"lam", NULL, GLPY_FLOAT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "gae", spec, N, args, nargs) < 0) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_gae, c.data[ADVANTAGES], c.data[RETURNS], c.data[REWARDS], c.data[VALUES],
                  c.data[LAST], c.data[FINAL], c.data[TERMINATED], c.data[TRUNCATED],
                  c.num[GAMMA], c.num[LAMBDA], GLPY_DIM(c, 'T'), GLPY_DIM(c, 'N'),
                  gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *leave_one_out(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    enum { ADVANTAGES, REWARDS, N };
    static const glpy_spec spec[N] = {
        {"advantages", "SB", GLPY_REAL, GLPY_OUT},
        {"rewards", "SB", GLPY_REAL, GLPY_MAY_ALIAS},
    };
    glpy_call c;
    if (glpy_parse(&c, "leave_one_out", spec, N, args, nargs) < 0) return NULL;
    if (GLPY_DIM(c, 'S') < 2)
        return PyErr_Format(PyExc_ValueError, "leave_one_out: S is %zd, expected at least 2",
                            GLPY_DIM(c, 'S'));

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_leave_one_out, c.data[ADVANTAGES], c.data[REWARDS], GLPY_DIM(c, 'S'),
                  GLPY_DIM(c, 'B'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyMethodDef glpy_advantage_methods[] = {
    GLPY_METHOD(gae,
                "advantages, returns, rewards, values, last, final, terminated, truncated, "
                "gamma, lam, /",
                "Generalised advantage estimates; returns, final and both flags may be None."),
    GLPY_METHOD(leave_one_out, "advantages, rewards, /",
                "Rewards (S, B) less the mean of the others in their column."),
    {NULL, NULL, 0, NULL},
};
