#include "bindings.h"

#include "../core/bernoulli.h"
#include "../core/gl_pool.h"

static int check_bound(const glpy_call *c, double bound) {
    if (bound >= 0 && bound < 0.5) return 0;
    PyObject *has = PyFloat_FromDouble(bound);
    if (has == NULL) return -1;
    PyErr_Format(PyExc_ValueError, "%s: bound is %R, expected 0 <= bound < 0.5", c->function, has);
    Py_DECREF(has);
    return -1;
}

// Without actions there is no log-probability to ask for.
static int check_actions(const glpy_call *c, const char *name, const void *asked,
                         const void *actions) {
    if (asked == NULL || actions != NULL) return 0;
    PyErr_Format(PyExc_TypeError, "%s: actions is None, expected an array where %s is given",
                 c->function, name);
    return -1;
}

static PyObject *bernoulli_sample(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                  Py_ssize_t nargs) {
    enum { ACTIONS, LOGP, LOGITS, UNIFORMS, BOUND, N };
    static const glpy_spec spec[N] = {
        {"actions", "BK", GLPY_UINT8, GLPY_OUT},
        {"logp", "B", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"logits", "BK", GLPY_REAL, 0},
        {"uniforms", "BK", GLPY_REAL, 0},
        {"bound", NULL, GLPY_FLOAT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "bernoulli_sample", spec, N, args, nargs) < 0) return NULL;
    if (check_bound(&c, c.num[BOUND]) < 0) return NULL;

    gl_result r;
    Py_BEGIN_ALLOW_THREADS
    r = GLPY_DISPATCH(c, gl_bernoulli_sample, c.data[ACTIONS], c.data[LOGP], c.data[LOGITS],
                      c.data[UNIFORMS], c.num[BOUND], GLPY_DIM(c, 'B'), GLPY_DIM(c, 'K'),
                      gl_pool_threads());
    Py_END_ALLOW_THREADS
    if (r.status == GL_EVALUE) return glpy_return(&c, r, "uniforms", "numbers in [0, 1)");
    return glpy_return(&c, r, "logits", "finite logits");
}

static PyObject *bernoulli_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                   Py_ssize_t nargs) {
    enum { LOGP, ENTROPY, LOGITS, ACTIONS, BOUND, N };
    static const glpy_spec spec[N] = {
        {"logp", "B", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"entropy", "B", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"logits", "BK", GLPY_REAL, 0},
        {"actions", "BK", GLPY_UINT8, GLPY_OPTIONAL},
        {"bound", NULL, GLPY_FLOAT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "bernoulli_forward", spec, N, args, nargs) < 0) return NULL;
    if (check_bound(&c, c.num[BOUND]) < 0) return NULL;
    if (check_actions(&c, "logp", c.data[LOGP], c.data[ACTIONS]) < 0) return NULL;

    gl_result r;
    Py_BEGIN_ALLOW_THREADS
    r = GLPY_DISPATCH(c, gl_bernoulli_forward, c.data[LOGP], c.data[ENTROPY], c.data[LOGITS],
                      c.data[ACTIONS], c.num[BOUND], GLPY_DIM(c, 'B'), GLPY_DIM(c, 'K'),
                      gl_pool_threads());
    Py_END_ALLOW_THREADS
    return glpy_return(&c, r, "actions", "0 or 1");
}

static PyObject *bernoulli_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                    Py_ssize_t nargs) {
    enum { DLOGITS, DLOGP, DENTROPY, LOGITS, ACTIONS, BOUND, N };
    static const glpy_spec spec[N] = {
        {"dlogits", "BK", GLPY_REAL, GLPY_OUT},       {"dlogp", "B", GLPY_REAL, GLPY_OPTIONAL},
        {"dentropy", "B", GLPY_REAL, GLPY_OPTIONAL},  {"logits", "BK", GLPY_REAL, GLPY_MAY_ALIAS},
        {"actions", "BK", GLPY_UINT8, GLPY_OPTIONAL}, {"bound", NULL, GLPY_FLOAT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "bernoulli_backward", spec, N, args, nargs) < 0) return NULL;
    if (check_bound(&c, c.num[BOUND]) < 0) return NULL;
    if (check_actions(&c, "dlogp", c.data[DLOGP], c.data[ACTIONS]) < 0) return NULL;

    gl_result r;
    Py_BEGIN_ALLOW_THREADS
    r = GLPY_DISPATCH(c, gl_bernoulli_backward, c.data[DLOGITS], c.data[DLOGP], c.data[DENTROPY],
                      c.data[LOGITS], c.data[ACTIONS], c.num[BOUND], GLPY_DIM(c, 'B'),
                      GLPY_DIM(c, 'K'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    return glpy_return(&c, r, "actions", "0 or 1");
}

static PyObject *bernoulli_kl(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    enum { KL, LOGITS_P, LOGITS_Q, BOUND, N };
    static const glpy_spec spec[N] = {
        {"kl", "B", GLPY_REAL, GLPY_OUT},
        {"logits_p", "BK", GLPY_REAL, 0},
        {"logits_q", "BK", GLPY_REAL, 0},
        {"bound", NULL, GLPY_FLOAT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "bernoulli_kl", spec, N, args, nargs) < 0) return NULL;
    if (check_bound(&c, c.num[BOUND]) < 0) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_bernoulli_kl, c.data[KL], c.data[LOGITS_P], c.data[LOGITS_Q], c.num[BOUND],
                  GLPY_DIM(c, 'B'), GLPY_DIM(c, 'K'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *bernoulli_kl_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                       Py_ssize_t nargs) {
    enum { DLOGITS_P, DLOGITS_Q, DKL, LOGITS_P, LOGITS_Q, BOUND, N };
    static const glpy_spec spec[N] = {
        {"dlogits_p", "BK", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dlogits_q", "BK", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dkl", "B", GLPY_REAL, 0},
        {"logits_p", "BK", GLPY_REAL, 0},
        {"logits_q", "BK", GLPY_REAL, 0},
        {"bound", NULL, GLPY_FLOAT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "bernoulli_kl_backward", spec, N, args, nargs) < 0) return NULL;
    if (check_bound(&c, c.num[BOUND]) < 0) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_bernoulli_kl_backward, c.data[DLOGITS_P], c.data[DLOGITS_Q], c.data[DKL],
                  c.data[LOGITS_P], c.data[LOGITS_Q], c.num[BOUND], GLPY_DIM(c, 'B'),
                  GLPY_DIM(c, 'K'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyMethodDef glpy_bernoulli_methods[] = {
    GLPY_METHOD(bernoulli_sample, "actions, logp, logits, uniforms, bound, /",
                "Draw actions (B, K) of 0 and 1, and their log-probability unless logp is None."),
    GLPY_METHOD(bernoulli_forward, "logp, entropy, logits, actions, bound, /",
                "Log-probability of actions and entropy; either output may be None."),
    GLPY_METHOD(bernoulli_backward, "dlogits, dlogp, dentropy, logits, actions, bound, /",
                "Gradient of bernoulli_forward; dlogp and dentropy may be None."),
    GLPY_METHOD(bernoulli_kl, "kl, logits_p, logits_q, bound, /", "KL(p || q) of each row."),
    GLPY_METHOD(bernoulli_kl_backward, "dlogits_p, dlogits_q, dkl, logits_p, logits_q, bound, /",
                "Gradients of bernoulli_kl; either output may be None."),
    {NULL, NULL, 0, NULL},
};
