// Weight Sharing Attention.
#include "bindings.h"

#include "../core/combiner.h"

// Arguments that forward and backward have in common stand first, in this order.
enum { FEATURES, WIDTHS, PRESENT, WEIGHT, BIAS, NORM_WEIGHT, NORM_BIAS, HIDDEN_WEIGHT, HIDDEN_BIAS,
       SCORE_WEIGHT, SCORE_BIAS, CONTEXT, WEIGH_CONTEXT, LINEAR, EPS, WEIGHTS, SAVED, COMMON };

#define COMMON_SPEC                                             \
    {"features", "BD", GLPY_REAL, 0},                           \
    {"widths", "M", GLPY_INT64, 0},                             \
    {"present", "BM", GLPY_UINT8, GLPY_OPTIONAL},               \
    {"weight", "DC", GLPY_REAL, 0},                             \
    {"bias", "MC", GLPY_REAL, 0},                               \
    {"norm_weight", "MC", GLPY_REAL, GLPY_OPTIONAL},            \
    {"norm_bias", "MC", GLPY_REAL, GLPY_OPTIONAL},              \
    {"hidden_weight", "PCS", GLPY_REAL, GLPY_OPTIONAL},         \
    {"hidden_bias", "S", GLPY_REAL, GLPY_OPTIONAL},             \
    {"score_weight", "V", GLPY_REAL, 0},                        \
    {"score_bias", "N", GLPY_REAL, 0},                          \
    {"context", NULL, GLPY_INT, 0},                             \
    {"weigh_context", NULL, GLPY_FLAG, 0},                      \
    {"linear", NULL, GLPY_FLAG, 0},                             \
    {"eps", NULL, GLPY_FLOAT, 0}

#define FIELDS(REAL)                                                                            \
    .B = GLPY_DIM(c, 'B'), .M = GLPY_DIM(c, 'M'), .D = GLPY_DIM(c, 'D'), .C = GLPY_DIM(c, 'C'), \
    .S = c.data[HIDDEN_WEIGHT] ? GLPY_DIM(c, 'S') : 0, .context = c.integer[CONTEXT],           \
    .weigh_context = (int)c.integer[WEIGH_CONTEXT], .linear = (int)c.integer[LINEAR],           \
    .eps = (REAL)c.num[EPS], .widths = c.data[WIDTHS], .present = c.data[PRESENT],              \
    .features = c.data[FEATURES], .weight = c.data[WEIGHT], .bias = c.data[BIAS],               \
    .norm_weight = c.data[NORM_WEIGHT], .norm_bias = c.data[NORM_BIAS],                         \
    .hidden_weight = c.data[HIDDEN_WEIGHT], .hidden_bias = c.data[HIDDEN_BIAS],                 \
    .score_weight = c.data[SCORE_WEIGHT], .score_bias = c.data[SCORE_BIAS],                     \
    .weights = c.data[WEIGHTS], .saved = c.data[SAVED]

// Both or neither; -1 with an exception.
static int check_pair(const glpy_call *c, int i, int j) {
    if ((c->data[i] == NULL) == (c->data[j] == NULL)) return 0;
    PyErr_Format(PyExc_ValueError, "%s: %s and %s are not both given", c->function,
                 c->spec[i].name, c->spec[j].name);
    return -1;
}

static int check_widths(const glpy_call *c) {
    const int64_t *widths = c->data[WIDTHS];
    const ptrdiff_t M = GLPY_DIM(*c, 'M'), D = GLPY_DIM(*c, 'D');
    ptrdiff_t left = D;
    for (ptrdiff_t i = 0; i < M; i++) {
        if (widths[i] < 1 || widths[i] > left) {
            PyErr_Format(PyExc_ValueError,
                         "%s: widths[%zd] is %lld, expected at least 1 and a sum of D = %zd",
                         c->function, i, (long long)widths[i], D);
            return -1;
        }
        left -= (ptrdiff_t)widths[i];
    }
    if (left == 0) return 0;
    PyErr_Format(PyExc_ValueError, "%s: the sum of widths is %zd, expected D = %zd", c->function,
                 D - left, D);
    return -1;
}

// What the letters cannot say.
static int check(const glpy_call *c) {
    const ptrdiff_t M = GLPY_DIM(*c, 'M'), C = GLPY_DIM(*c, 'C'), context = c->integer[CONTEXT];
    const int hidden = c->data[HIDDEN_WEIGHT] != NULL, norm = c->data[NORM_WEIGHT] != NULL;
    const ptrdiff_t S = hidden ? GLPY_DIM(*c, 'S') : 0;
    if (glpy_check_blas_dims(c) < 0) return -1;
    if (check_pair(c, NORM_WEIGHT, NORM_BIAS) < 0) return -1;
    if (check_pair(c, HIDDEN_WEIGHT, HIDDEN_BIAS) < 0) return -1;
    if (check_widths(c) < 0) return -1;
    if (C < 1) return glpy_refuse_size(c, WEIGHT, 1, "at least 1");
    if (hidden && GLPY_DIM(*c, 'P') != 2) return glpy_refuse_size(c, HIDDEN_WEIGHT, 0, "2");
    if (hidden && S < 1) return glpy_refuse_size(c, HIDDEN_WEIGHT, 2, "at least 1");
    if (GLPY_DIM(*c, 'V') != (hidden ? S : 2*C))
        return glpy_refuse_size(c, SCORE_WEIGHT, 0, hidden ? "S = %zd" : "2 C = %zd",
                                hidden ? S : 2*C);
    if (GLPY_DIM(*c, 'N') != 1) return glpy_refuse_size(c, SCORE_BIAS, 0, "1");
    if (context < 0 || context >= M) {
        PyErr_Format(PyExc_ValueError, "%s: context is %zd, expected 0 to %zd", c->function,
                     context, M - 1);
        return -1;
    }
    if (M == 1 && !c->integer[WEIGH_CONTEXT]) {
        PyErr_Format(PyExc_ValueError,
                     "%s: widths has the context alone, expected a model to weigh", c->function);
        return -1;
    }
    const ptrdiff_t saved = gl_combiner_saved_width(M, C, S, norm);
    if (GLPY_DIM(*c, 'K') != saved) return glpy_refuse_size(c, SAVED, 1, "K = %zd", saved);
    const gl_result result = gl_combiner_check_present(
        c->data[PRESENT], GLPY_DIM(*c, 'B'), M, context, (int)c->integer[WEIGH_CONTEXT]);
    return glpy_check(c, result, "present", "0 or 1, the context and a model to weigh");
}

static PyObject *combiner_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                  Py_ssize_t nargs) {
    enum { STATE = COMMON, N };
    static const glpy_spec spec[N] = {
        COMMON_SPEC,
        {"weights", "BM", GLPY_REAL, GLPY_OUT},
        {"saved", "BK", GLPY_REAL, GLPY_OUT},
        {"state", "BC", GLPY_REAL, GLPY_OUT},
    };
    glpy_call c;
    if (glpy_parse(&c, "combiner_forward", spec, N, args, nargs) < 0) return NULL;
    if (check(&c) < 0) return NULL;
#define FORWARD(STRUCT, REAL) {FIELDS(REAL), .state = c.data[STATE]}
    GLPY_RUN(c, gl_combiner, gl_combiner_forward, FORWARD);
#undef FORWARD
    Py_RETURN_NONE;
}

static PyObject *combiner_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                   Py_ssize_t nargs) {
    enum { DSTATE = COMMON, DFEATURES, DWEIGHT, DBIAS, DNORM_WEIGHT, DNORM_BIAS, DHIDDEN_WEIGHT,
           DHIDDEN_BIAS, DSCORE_WEIGHT, DSCORE_BIAS, N };
    static const glpy_spec spec[N] = {
        COMMON_SPEC,
        {"weights", "BM", GLPY_REAL, 0},
        {"saved", "BK", GLPY_REAL, 0},
        {"dstate", "BC", GLPY_REAL, 0},
        {"dfeatures", "BD", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dweight", "DC", GLPY_REAL, GLPY_OUT},
        {"dbias", "MC", GLPY_REAL, GLPY_OUT},
        {"dnorm_weight", "MC", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dnorm_bias", "MC", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dhidden_weight", "PCS", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dhidden_bias", "S", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dscore_weight", "V", GLPY_REAL, GLPY_OUT},
        {"dscore_bias", "N", GLPY_REAL, GLPY_OUT},
    };
    glpy_call c;
    if (glpy_parse(&c, "combiner_backward", spec, N, args, nargs) < 0) return NULL;
    if (check(&c) < 0) return NULL;
    for (int i = DNORM_WEIGHT; i <= DHIDDEN_BIAS; i++)
        if (check_pair(&c, NORM_WEIGHT + i - DNORM_WEIGHT, i) < 0) return NULL;
#define BACKWARD(STRUCT, REAL)                                                                  \
    {FIELDS(REAL), .dstate = c.data[DSTATE], .dfeatures = c.data[DFEATURES],                    \
     .dweight = c.data[DWEIGHT], .dbias = c.data[DBIAS], .dnorm_weight = c.data[DNORM_WEIGHT],  \
     .dnorm_bias = c.data[DNORM_BIAS], .dhidden_weight = c.data[DHIDDEN_WEIGHT],                \
     .dhidden_bias = c.data[DHIDDEN_BIAS], .dscore_weight = c.data[DSCORE_WEIGHT],              \
     .dscore_bias = c.data[DSCORE_BIAS]}
    GLPY_RUN(c, gl_combiner, gl_combiner_backward, BACKWARD);
#undef BACKWARD
    Py_RETURN_NONE;
}

PyMethodDef glpy_combiner_methods[] = {
    GLPY_METHOD(combiner_forward,
                "features, widths, present, weight, bias, norm_weight, norm_bias, hidden_weight, "
                "hidden_bias, score_weight, score_bias, context, weigh_context, linear, eps, "
                "weights, saved, state, /",
                "Weight Sharing Attention; present and the pairs norm and hidden may be None."),
    GLPY_METHOD(combiner_backward,
                "features, widths, present, weight, bias, norm_weight, norm_bias, hidden_weight, "
                "hidden_bias, score_weight, score_bias, context, weigh_context, linear, eps, "
                "weights, saved, dstate, dfeatures, dweight, dbias, dnorm_weight, dnorm_bias, "
                "dhidden_weight, dhidden_bias, dscore_weight, dscore_bias, /",
                "Gradients of combiner_forward; those of the parameters are accumulated."),
    {NULL, NULL, 0, NULL},
};
