#include "bindings.h"

#include "../core/gaussian.h"
#include "../core/gl_pool.h"

static int check_std(const glpy_call *c, double std) {
    const double held = c->is_f32 ? (double)(float)std : std;
    if (held > 0 && held - held == 0) return 0;
    PyObject *has = PyFloat_FromDouble(std);
    if (has == NULL) return -1;
    PyErr_Format(PyExc_ValueError, "%s: std is %R, expected above 0 and finite as %s", c->function,
                 has, c->is_f32 ? "float32" : "float64");
    Py_DECREF(has);
    return -1;
}

static PyObject *gaussian_sample(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                 Py_ssize_t nargs) {
    enum { ACTIONS, LOGP, MEAN, NORMALS, STD, N };
    static const glpy_spec spec[N] = {
        {"actions", "BK", GLPY_REAL, GLPY_OUT},
        {"logp", "B", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"mean", "BK", GLPY_REAL, 0},
        {"normals", "BK", GLPY_REAL, 0},
        {"std", NULL, GLPY_FLOAT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "gaussian_sample", spec, N, args, nargs) < 0) return NULL;
    if (check_std(&c, c.num[STD]) < 0) return NULL;

    gl_result r;
    Py_BEGIN_ALLOW_THREADS
    r = GLPY_DISPATCH(c, gl_gaussian_sample, c.data[ACTIONS], c.data[LOGP], c.data[MEAN],
                      c.data[NORMALS], c.num[STD], GLPY_DIM(c, 'B'), GLPY_DIM(c, 'K'),
                      gl_pool_threads());
    Py_END_ALLOW_THREADS
    if (r.status == GL_EVALUE)
        return glpy_return(&c, r, "normals", "numbers that give finite actions");
    return glpy_return(&c, r, "mean", "finite means");
}

static PyObject *gaussian_log_prob(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                   Py_ssize_t nargs) {
    enum { LOGP, MEAN, ACTIONS, STD, N };
    static const glpy_spec spec[N] = {
        {"logp", "B", GLPY_REAL, GLPY_OUT},
        {"mean", "BK", GLPY_REAL, 0},
        {"actions", "BK", GLPY_REAL, 0},
        {"std", NULL, GLPY_FLOAT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "gaussian_log_prob", spec, N, args, nargs) < 0) return NULL;
    if (check_std(&c, c.num[STD]) < 0) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_gaussian_log_prob, c.data[LOGP], c.data[MEAN], c.data[ACTIONS], c.num[STD],
                  GLPY_DIM(c, 'B'), GLPY_DIM(c, 'K'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *gaussian_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                   Py_ssize_t nargs) {
    enum { DMEAN, DLOGP, MEAN, ACTIONS, STD, N };
    static const glpy_spec spec[N] = {
        {"dmean", "BK", GLPY_REAL, GLPY_OUT},
        {"dlogp", "B", GLPY_REAL, 0},
        {"mean", "BK", GLPY_REAL, GLPY_MAY_ALIAS},
        {"actions", "BK", GLPY_REAL, 0},
        {"std", NULL, GLPY_FLOAT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "gaussian_backward", spec, N, args, nargs) < 0) return NULL;
    if (check_std(&c, c.num[STD]) < 0) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_gaussian_backward, c.data[DMEAN], c.data[DLOGP], c.data[MEAN],
                  c.data[ACTIONS], c.num[STD], GLPY_DIM(c, 'B'), GLPY_DIM(c, 'K'),
                  gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *gaussian_kl(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    enum { KL, MEAN_P, MEAN_Q, STD, N };
    static const glpy_spec spec[N] = {
        {"kl", "B", GLPY_REAL, GLPY_OUT},
        {"mean_p", "BK", GLPY_REAL, 0},
        {"mean_q", "BK", GLPY_REAL, 0},
        {"std", NULL, GLPY_FLOAT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "gaussian_kl", spec, N, args, nargs) < 0) return NULL;
    if (check_std(&c, c.num[STD]) < 0) return NULL;

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_gaussian_kl, c.data[KL], c.data[MEAN_P], c.data[MEAN_Q], c.num[STD],
                  GLPY_DIM(c, 'B'), GLPY_DIM(c, 'K'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyMethodDef glpy_gaussian_methods[] = {
    GLPY_METHOD(gaussian_sample, "actions, logp, mean, normals, std, /",
                "Draw actions (B, K), and their log-density unless logp is None."),
    GLPY_METHOD(gaussian_log_prob, "logp, mean, actions, std, /",
                "Log-density of each row of actions."),
    GLPY_METHOD(gaussian_backward, "dmean, dlogp, mean, actions, std, /",
                "Gradient of gaussian_log_prob with respect to the mean."),
    GLPY_METHOD(gaussian_kl, "kl, mean_p, mean_q, std, /", "KL(p || q) of each row."),
    {NULL, NULL, 0, NULL},
};
