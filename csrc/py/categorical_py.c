#include "bindings.h"

#include "../core/categorical.h"
#include "../core/gl_pool.h"

// Without actions there is no log-probability to ask for.
static int check_actions(const glpy_call *c, const char *name, const void *asked,
                         const void *actions) {
    if (asked == NULL || actions != NULL) return 0;
    PyErr_Format(PyExc_TypeError, "%s: actions is None, expected an array where %s is given",
                 c->function, name);
    return -1;
}

static PyObject *categorical_sample(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                    Py_ssize_t nargs) {
    enum { ACTIONS, LOGP, LOGITS, UNIFORMS, N };
    static const glpy_spec spec[N] = {
        {"actions", "B", GLPY_INT64, GLPY_OUT},
        {"logp", "B", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"logits", "BK", GLPY_REAL, 0},
        {"uniforms", "B", GLPY_REAL, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "categorical_sample", spec, N, args, nargs) < 0) return NULL;

    gl_result r;
    Py_BEGIN_ALLOW_THREADS
    r = GLPY_DISPATCH(c, gl_categorical_sample, c.data[ACTIONS], c.data[LOGP], c.data[LOGITS],
                      c.data[UNIFORMS], GLPY_DIM(c, 'B'), GLPY_DIM(c, 'K'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    if (r.status == GL_EVALUE) return glpy_return(&c, r, "uniforms", "numbers in [0, 1)");
    return glpy_return(&c, r, "logits", "at least one finite logit, and neither NaN nor +inf");
}

static PyObject *categorical_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                     Py_ssize_t nargs) {
    enum { LOGP, ENTROPY, LOGITS, ACTIONS, N };
    static const glpy_spec spec[N] = {
        {"logp", "B", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"entropy", "B", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"logits", "BK", GLPY_REAL, 0},
        {"actions", "B", GLPY_INT64, GLPY_OPTIONAL},
    };
    glpy_call c;
    if (glpy_parse(&c, "categorical_forward", spec, N, args, nargs) < 0) return NULL;
    if (check_actions(&c, "logp", c.data[LOGP], c.data[ACTIONS]) < 0) return NULL;

    gl_result r;
    Py_BEGIN_ALLOW_THREADS
    r = GLPY_DISPATCH(c, gl_categorical_forward, c.data[LOGP], c.data[ENTROPY], c.data[LOGITS],
                      c.data[ACTIONS], GLPY_DIM(c, 'B'), GLPY_DIM(c, 'K'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    return glpy_return(&c, r, "actions", "0 <= action < K");
}

static PyObject *categorical_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                      Py_ssize_t nargs) {
    enum { DLOGITS, DLOGP, DENTROPY, LOGITS, ACTIONS, N };
    static const glpy_spec spec[N] = {
        {"dlogits", "BK", GLPY_REAL, GLPY_OUT},
        {"dlogp", "B", GLPY_REAL, GLPY_OPTIONAL},
        {"dentropy", "B", GLPY_REAL, GLPY_OPTIONAL},
        {"logits", "BK", GLPY_REAL, GLPY_MAY_ALIAS},
        {"actions", "B", GLPY_INT64, GLPY_OPTIONAL},
    };
    glpy_call c;
    if (glpy_parse(&c, "categorical_backward", spec, N, args, nargs) < 0) return NULL;
    if (check_actions(&c, "dlogp", c.data[DLOGP], c.data[ACTIONS]) < 0) return NULL;

    gl_result r;
    Py_BEGIN_ALLOW_THREADS
    r = GLPY_DISPATCH(c, gl_categorical_backward, c.data[DLOGITS], c.data[DLOGP], c.data[DENTROPY],
                      c.data[LOGITS], c.data[ACTIONS], GLPY_DIM(c, 'B'),
                      GLPY_DIM(c, 'K'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    return glpy_return(&c, r, "actions", "0 <= action < K");
}

static PyObject *categorical_kl(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    enum { KL, LOGITS_P, LOGITS_Q, N };
    static const glpy_spec spec[N] = {
        {"kl", "B", GLPY_REAL, GLPY_OUT},
        {"logits_p", "BK", GLPY_REAL, 0},
        {"logits_q", "BK", GLPY_REAL, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "categorical_kl", spec, N, args, nargs) < 0) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_categorical_kl, c.data[KL], c.data[LOGITS_P], c.data[LOGITS_Q],
                  GLPY_DIM(c, 'B'), GLPY_DIM(c, 'K'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *categorical_kl_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                         Py_ssize_t nargs) {
    enum { DLOGITS_P, DLOGITS_Q, DKL, LOGITS_P, LOGITS_Q, N };
    static const glpy_spec spec[N] = {
        {"dlogits_p", "BK", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dlogits_q", "BK", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dkl", "B", GLPY_REAL, 0},
        {"logits_p", "BK", GLPY_REAL, 0},
        {"logits_q", "BK", GLPY_REAL, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "categorical_kl_backward", spec, N, args, nargs) < 0) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_categorical_kl_backward, c.data[DLOGITS_P], c.data[DLOGITS_Q], c.data[DKL],
                  c.data[LOGITS_P], c.data[LOGITS_Q], GLPY_DIM(c, 'B'),
                  GLPY_DIM(c, 'K'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyMethodDef glpy_categorical_methods[] = {
    GLPY_METHOD(categorical_sample, "actions, logp, logits, uniforms, /",
                "Draw actions (B,) in [0, K), and their log-probability unless logp is None."),
    GLPY_METHOD(categorical_forward, "logp, entropy, logits, actions, /",
                "Log-probability of actions and entropy; either output may be None."),
    GLPY_METHOD(categorical_backward, "dlogits, dlogp, dentropy, logits, actions, /",
                "Gradient of categorical_forward; dlogp and dentropy may be None."),
    GLPY_METHOD(categorical_kl, "kl, logits_p, logits_q, /", "KL(p || q) of each row."),
    GLPY_METHOD(categorical_kl_backward, "dlogits_p, dlogits_q, dkl, logits_p, logits_q, /",
                "Gradients of categorical_kl; either output may be None."),
    {NULL, NULL, 0, NULL},
};
