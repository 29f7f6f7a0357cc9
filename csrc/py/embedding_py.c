#include "bindings.h"

#include "../core/embedding.h"
#include "../core/gl_pool.h"

static PyObject *embedding_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                   Py_ssize_t nargs) {
    enum { OUT, TABLE, IDX, N };
    static const glpy_spec spec[N] = {
        {"out", "NC", GLPY_REAL, GLPY_OUT},
        {"table", "VC", GLPY_REAL, 0},
        {"idx", "N", GLPY_INT64, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "embedding_forward", spec, N, args, nargs) < 0) return NULL;

    gl_result result;
    Py_BEGIN_ALLOW_THREADS
    result = GLPY_DISPATCH(c, gl_embedding_forward, c.data[OUT], c.data[TABLE], c.data[IDX],
                           GLPY_DIM(c, 'N'), GLPY_DIM(c, 'V'), GLPY_DIM(c, 'C'),
                           gl_pool_threads());
    Py_END_ALLOW_THREADS
    return glpy_return(&c, result, "idx", "0 <= idx < V");
}

static PyObject *embedding_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                    Py_ssize_t nargs) {
    enum { DTABLE, DOUT, IDX, N };
    static const glpy_spec spec[N] = {
        {"dtable", "VC", GLPY_REAL, GLPY_OUT},
        {"dout", "NC", GLPY_REAL, 0},
        {"idx", "N", GLPY_INT64, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "embedding_backward", spec, N, args, nargs) < 0) return NULL;

    gl_result result;
    Py_BEGIN_ALLOW_THREADS
    result = GLPY_DISPATCH(c, gl_embedding_backward, c.data[DTABLE], c.data[DOUT], c.data[IDX],
                           GLPY_DIM(c, 'N'), GLPY_DIM(c, 'V'), GLPY_DIM(c, 'C'),
                           gl_pool_threads());
    Py_END_ALLOW_THREADS
    return glpy_return(&c, result, "idx", "0 <= idx < V");
}

PyMethodDef glpy_embedding_methods[] = {
    GLPY_METHOD(embedding_forward, "out, table, idx, /", "out (N, C) = table (V, C)[idx]."),
    GLPY_METHOD(embedding_backward, "dtable, dout, idx, /",
                "dtable (V, C)[idx] += dout (N, C), row by row."),
    {NULL, NULL, 0, NULL},
};
