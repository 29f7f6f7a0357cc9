#include "bindings.h"

#include "../core/gl_pool.h"
#include "../core/optim.h"

static PyObject *adamw_step(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    enum { PARAM, M, V, GRAD, DECAY, LR, BETA1, BETA2, EPS, WEIGHT_DECAY, GRAD_SCALE, STEP, N };
    static const glpy_spec spec[N] = {
        {"param", "P", GLPY_REAL, GLPY_OUT},
        {"m", "P", GLPY_REAL, GLPY_OUT},
        {"v", "P", GLPY_REAL, GLPY_OUT},
        {"grad", "P", GLPY_REAL, 0},
        {"decay", "P", GLPY_REAL, GLPY_OPTIONAL},
        {"lr", NULL, GLPY_FLOAT, 0},
        {"beta1", NULL, GLPY_FLOAT, 0},
        {"beta2", NULL, GLPY_FLOAT, 0},
        {"eps", NULL, GLPY_FLOAT, 0},
        {"weight_decay", NULL, GLPY_FLOAT, 0},
        {"grad_scale", NULL, GLPY_FLOAT, 0},
        {"step", NULL, GLPY_INT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "adamw_step", spec, N, args, nargs) < 0) return NULL;
    if (c.integer[STEP] < 1)
        return PyErr_Format(PyExc_ValueError, "adamw_step: step is %zd, expected at least 1",
                            c.integer[STEP]);
    const gl_adamw_opts opts = {
        .lr = c.num[LR], .beta1 = c.num[BETA1], .beta2 = c.num[BETA2], .eps = c.num[EPS],
        .weight_decay = c.num[WEIGHT_DECAY], .grad_scale = c.num[GRAD_SCALE],
        .step = c.integer[STEP],
    };

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_adamw_step, c.data[PARAM], c.data[M], c.data[V], c.data[GRAD],
                  c.data[DECAY], &opts, GLPY_DIM(c, 'P'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *grad_norm(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    enum { GRAD, N };
    static const glpy_spec spec[N] = {{"grad", "P", GLPY_REAL, 0}};
    glpy_call c;
    if (glpy_parse(&c, "grad_norm", spec, N, args, nargs) < 0) return NULL;
    const ptrdiff_t n = gl_grad_norm_workspace(GLPY_DIM(c, 'P'));
    double *work = glpy_workspace(&c, gl_size_mul(n, sizeof *work));
    if (work == NULL) return NULL;

    double norm;
    Py_BEGIN_ALLOW_THREADS
    norm = GLPY_DISPATCH(c, gl_grad_norm, c.data[GRAD], work, GLPY_DIM(c, 'P'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    return PyFloat_FromDouble(norm);
}

PyMethodDef glpy_optim_methods[] = {
    GLPY_METHOD(adamw_step,
                "param, m, v, grad, decay, lr, beta1, beta2, eps, weight_decay, grad_scale, "
                "step, /",
                "One step of AdamW on flat arrays (P,), in place; decay may be None."),
    GLPY_METHOD(grad_norm, "grad, /", "The Euclidean norm of grad (P,), summed in double."),
    {NULL, NULL, 0, NULL},
};
