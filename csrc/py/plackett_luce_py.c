#include "bindings.h"

#include "../core/plackett_luce.h"

// Scratch for nth threads, once the length of the rankings is checked; NULL with an exception.
static void *workspace(const glpy_call *c, int rankings, int nth) {
    const ptrdiff_t K = GLPY_DIM(*c, 'K'), R = GLPY_DIM(*c, 'R');
    if (R < 1 || R > K) {
        glpy_refuse_size(c, rankings, 1, "at least 1 and at most K = %zd", K);
        return NULL;
    }
    return glpy_workspace(c, GLPY_DISPATCH(*c, gl_plackett_luce_workspace, K, R, nth));
}

static PyObject *refuse_rankings(const glpy_call *c, gl_result r) {
    return glpy_return(c, r, "rankings", r.status == GL_EVALUE ? "no choice twice"
                                                               : "0 <= choice < K");
}

static PyObject *plackett_luce_sample(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                      Py_ssize_t nargs) {
    enum { RANKINGS, LOGP, LOGITS, UNIFORMS, N };
    static const glpy_spec spec[N] = {
        {"rankings", "BR", GLPY_INT64, GLPY_OUT},
        {"logp", "B", GLPY_REAL, GLPY_OUT},
        {"logits", "BK", GLPY_REAL, 0},
        {"uniforms", "BK", GLPY_REAL, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "plackett_luce_sample", spec, N, args, nargs) < 0) return NULL;
    const int nth = gl_pool_threads();
    void *work = workspace(&c, RANKINGS, nth);
    if (work == NULL) return NULL;

    gl_result r;
    Py_BEGIN_ALLOW_THREADS
    r = GLPY_DISPATCH(c, gl_plackett_luce_sample, c.data[RANKINGS], c.data[LOGP], c.data[LOGITS],
                      c.data[UNIFORMS], work, GLPY_DIM(c, 'B'), GLPY_DIM(c, 'K'),
                      GLPY_DIM(c, 'R'), nth);
    Py_END_ALLOW_THREADS
    if (r.status == GL_EVALUE) return glpy_return(&c, r, "uniforms", "numbers in [0, 1)");
    return glpy_return(&c, r, "logits",
                       "as many finite logits as are ranked, and neither NaN nor +inf");
}

static PyObject *plackett_luce_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                       Py_ssize_t nargs) {
    enum { LOGP, LOGITS, RANKINGS, N };
    static const glpy_spec spec[N] = {
        {"logp", "B", GLPY_REAL, GLPY_OUT},
        {"logits", "BK", GLPY_REAL, 0},
        {"rankings", "BR", GLPY_INT64, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "plackett_luce_forward", spec, N, args, nargs) < 0) return NULL;
    const int nth = gl_pool_threads();
    void *work = workspace(&c, RANKINGS, nth);
    if (work == NULL) return NULL;

    gl_result r;
    Py_BEGIN_ALLOW_THREADS
    r = GLPY_DISPATCH(c, gl_plackett_luce_forward, c.data[LOGP], c.data[LOGITS], c.data[RANKINGS],
                      work, GLPY_DIM(c, 'B'), GLPY_DIM(c, 'K'), GLPY_DIM(c, 'R'), nth);
    Py_END_ALLOW_THREADS
    return refuse_rankings(&c, r);
}

static PyObject *plackett_luce_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                        Py_ssize_t nargs) {
    enum { DLOGITS, DLOGP, LOGITS, RANKINGS, N };
    static const glpy_spec spec[N] = {
        {"dlogits", "BK", GLPY_REAL, GLPY_OUT},
        {"dlogp", "B", GLPY_REAL, 0},
        {"logits", "BK", GLPY_REAL, GLPY_MAY_ALIAS},
        {"rankings", "BR", GLPY_INT64, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "plackett_luce_backward", spec, N, args, nargs) < 0) return NULL;
    const int nth = gl_pool_threads();
    void *work = workspace(&c, RANKINGS, nth);
    if (work == NULL) return NULL;

    gl_result r;
    Py_BEGIN_ALLOW_THREADS
    r = GLPY_DISPATCH(c, gl_plackett_luce_backward, c.data[DLOGITS], c.data[DLOGP],
                      c.data[LOGITS], c.data[RANKINGS], work, GLPY_DIM(c, 'B'), GLPY_DIM(c, 'K'),
                      GLPY_DIM(c, 'R'), nth);
    Py_END_ALLOW_THREADS
    return refuse_rankings(&c, r);
}

PyMethodDef glpy_plackett_luce_methods[] = {
    GLPY_METHOD(plackett_luce_sample, "rankings, logp, logits, uniforms, /",
                "Draw rankings (B, R) of R out of K choices, and their log-probability."),
    GLPY_METHOD(plackett_luce_forward, "logp, logits, rankings, /",
                "Log-probability of rankings (B, R)."),
    GLPY_METHOD(plackett_luce_backward, "dlogits, dlogp, logits, rankings, /",
                "Gradient of plackett_luce_forward; dlogits may be logits."),
    {NULL, NULL, 0, NULL},
};
