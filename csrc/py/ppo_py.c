#include "bindings.h"

#include "../core/gl_pool.h"
#include "../core/ppo.h"

static PyObject *ppo(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    enum { STATS, DLOGP, DVALUE, DENTROPY, LOGP, LOGP_OLD, ADVANTAGE, VALUE, VALUE_OLD, RETURNS,
           ENTROPY, CLIP, VALUE_CLIP, VALUE_COEFFICIENT, ENTROPY_COEFFICIENT, N };
    static const glpy_spec spec[N] = {
        {"stats", "M", GLPY_REAL, GLPY_OUT},
        {"dlogp", "B", GLPY_REAL, GLPY_OUT},
        {"dvalue", "B", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dentropy", "B", GLPY_REAL, GLPY_OUT},
        {"logp", "B", GLPY_REAL, 0},
        {"logp_old", "B", GLPY_REAL, 0},
        {"advantage", "B", GLPY_REAL, 0},
        {"value", "B", GLPY_REAL, GLPY_OPTIONAL},
        {"value_old", "B", GLPY_REAL, GLPY_OPTIONAL},
        {"returns", "B", GLPY_REAL, GLPY_OPTIONAL},
        {"entropy", "B", GLPY_REAL, 0},
        {"clip", NULL, GLPY_FLOAT, 0},
        {"value_clip", NULL, GLPY_FLOAT, 0},
        {"value_coefficient", NULL, GLPY_FLOAT, 0},
        {"entropy_coefficient", NULL, GLPY_FLOAT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "ppo", spec, N, args, nargs) < 0) return NULL;
    if (GLPY_DIM(c, 'M') != GL_PPO_STATS)
        return PyErr_Format(PyExc_ValueError, "ppo: stats.shape[0] is %zd, expected %d",
                            GLPY_DIM(c, 'M'), (int)GL_PPO_STATS);
    if (!c.data[VALUE] != !c.data[RETURNS] || !c.data[VALUE] != !c.data[DVALUE] ||
        (!c.data[VALUE] && c.data[VALUE_OLD]))
        return PyErr_Format(PyExc_TypeError,
                            "ppo: expected dvalue, value and returns together or all None, and "
                            "value_old only with them");
    const gl_ppo_opts opts = {
        .clip = c.num[CLIP],
        .value_clip = c.num[VALUE_CLIP],
        .value_coefficient = c.num[VALUE_COEFFICIENT],
        .entropy_coefficient = c.num[ENTROPY_COEFFICIENT],
    };

    Py_BEGIN_ALLOW_THREADS
    GLPY_DISPATCH(c, gl_ppo, c.data[STATS], c.data[DLOGP], c.data[DVALUE], c.data[DENTROPY],
                  c.data[LOGP], c.data[LOGP_OLD], c.data[ADVANTAGE], c.data[VALUE],
                  c.data[VALUE_OLD], c.data[RETURNS], c.data[ENTROPY], opts, GLPY_DIM(c, 'B'),
                  gl_pool_threads());
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyMethodDef glpy_ppo_methods[] = {
    GLPY_METHOD(ppo,
                "stats, dlogp, dvalue, dentropy, logp, logp_old, advantage, value, value_old, "
                "returns, entropy, clip, value_clip, value_coefficient, entropy_coefficient, /",
                "Clipped loss of PPO and its gradient; stats is loss, policy, value, entropy, KL, "
                "share clipped."),
    {NULL, NULL, 0, NULL},
};
