#include "bindings.h"

#include "../core/combiner.h"

// Arguments that forward and backward have in common stand first, in this order.
enum {
    COLUMNS, PRESENT, CONTEXT, WEIGH_CONTEXT, LINEAR, EPS, WEIGHT, NORM_WEIGHT, CONTEXT_WEIGHT,
    MODEL_WEIGHT, SCORE_WEIGHT, X, WEIGHTS, SCORES, E, Z, MEAN, RSTD, HIDDEN, COMMON,
};

// OUT is GLPY_OUT where the pass fills what the other reads.
#define COMMON_SPEC(OUT)                                      \
    {"columns", "K", GLPY_INT64, 0},                          \
    {"present", "BM", GLPY_UINT8, GLPY_OPTIONAL},             \
    {"context", NULL, GLPY_INT, 0},                           \
    {"weigh_context", NULL, GLPY_FLAG, 0},                    \
    {"linear", NULL, GLPY_FLAG, 0},                           \
    {"eps", NULL, GLPY_FLOAT, 0},                             \
    {"weight", "DC", GLPY_REAL, 0},                           \
    {"norm_weight", "MC", GLPY_REAL, GLPY_OPTIONAL},          \
    {"context_weight", "CS", GLPY_REAL, 0},                   \
    {"model_weight", "CS", GLPY_REAL, 0},                     \
    {"score_weight", "S", GLPY_REAL, GLPY_OPTIONAL},          \
    {"x", "BD", GLPY_REAL, 0},                                \
    {"weights", "BM", GLPY_REAL, OUT},                        \
    {"scores", "BM", GLPY_REAL, OUT},                         \
    {"e", "MBC", GLPY_REAL, OUT},                             \
    {"z", "MBC", GLPY_REAL, (OUT) | GLPY_OPTIONAL},           \
    {"mean", "MB", GLPY_REAL, (OUT) | GLPY_OPTIONAL},         \
    {"rstd", "MB", GLPY_REAL, (OUT) | GLPY_OPTIONAL},         \
    {"hidden", "MBS", GLPY_REAL, OUT}

#define SHARED_FIELDS(REAL)                                                                    \
    .B = GLPY_DIM(c, 'B'), .M = GLPY_DIM(c, 'M'), .D = GLPY_DIM(c, 'D'), .C = GLPY_DIM(c, 'C'), \
    .S = GLPY_DIM(c, 'S'), .columns = c.data[COLUMNS], .present = c.data[PRESENT],             \
    .context = c.integer[CONTEXT], .weigh_context = (int)c.integer[WEIGH_CONTEXT],             \
    .linear = (int)c.integer[LINEAR], .eps = (REAL)c.num[EPS], .weight = c.data[WEIGHT],       \
    .norm_weight = c.data[NORM_WEIGHT], .context_weight = c.data[CONTEXT_WEIGHT],              \
    .model_weight = c.data[MODEL_WEIGHT], .score_weight = c.data[SCORE_WEIGHT],                \
    .x = c.data[X], .weights = c.data[WEIGHTS], .scores = c.data[SCORES], .e = c.data[E],      \
    .z = c.data[Z], .mean = c.data[MEAN], .rstd = c.data[RSTD], .hidden = c.data[HIDDEN]

// Raise unless argument i is given if, and only if, `wanted`.
static int check_given(const glpy_call *c, int i, int wanted) {
    if (wanted == (c->data[i] != NULL)) return 0;
    PyErr_Format(PyExc_ValueError, "%s: %s is %s", c->function, c->spec[i].name,
                 wanted ? "None, expected a NumPy array" : "an array, expected None");
    return -1;
}

// What the letters cannot say. `norms` and `scorers` go with norm_weight and score_weight.
static int check_options(const glpy_call *c, const int *norms, const int *scorers) {
    const ptrdiff_t M = GLPY_DIM(*c, 'M');
    if (GLPY_DIM(*c, 'K') != M + 1) return glpy_refuse_size(c, COLUMNS, 0, "M + 1 = %zd", M + 1);
    if (glpy_check(c, gl_combine_columns_check(c->data[COLUMNS], M, GLPY_DIM(*c, 'D')), "columns",
                   "numbers that begin at 0, do not fall, and end at D") < 0)
        return -1;
    if (c->integer[CONTEXT] < 0 || c->integer[CONTEXT] >= M) {
        PyErr_Format(PyExc_ValueError, "%s: context is %zd, expected 0 <= context < %zd",
                     c->function, c->integer[CONTEXT], M);
        return -1;
    }
    for (; *norms >= 0; norms++)
        if (check_given(c, *norms, c->data[NORM_WEIGHT] != NULL) < 0) return -1;
    for (; *scorers >= 0; scorers++)
        if (check_given(c, *scorers, c->data[SCORE_WEIGHT] != NULL) < 0) return -1;
    if (c->data[SCORE_WEIGHT] == NULL && GLPY_DIM(*c, 'S') != 1)
        return glpy_refuse_size(c, MODEL_WEIGHT, 1, "1 without score_weight");
    return glpy_check_blas_dims(c);
}

static PyObject *combine_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                 Py_ssize_t nargs) {
    enum { BIAS = COMMON, NORM_BIAS, HIDDEN_BIAS, SCORE_BIAS, STATE, N };
    static const glpy_spec spec[N] = {
        COMMON_SPEC(GLPY_OUT),
        {"bias", "MC", GLPY_REAL, 0},
        {"norm_bias", "MC", GLPY_REAL, GLPY_OPTIONAL},
        {"hidden_bias", "S", GLPY_REAL, GLPY_OPTIONAL},
        {"score_bias", "O", GLPY_REAL, 0},
        {"state", "BC", GLPY_REAL, GLPY_OUT},
    };
    static const int norms[] = {NORM_BIAS, Z, MEAN, RSTD, -1}, scorers[] = {HIDDEN_BIAS, -1};
    glpy_call c;
    if (glpy_parse(&c, "combine_forward", spec, N, args, nargs) < 0 ||
        check_options(&c, norms, scorers) < 0)
        return NULL;
    if (GLPY_DIM(c, 'O') != 1) {
        glpy_refuse_size(&c, SCORE_BIAS, 0, "1");
        return NULL;
    }
#define FORWARD(STRUCT, REAL)                                                                 \
    {SHARED_FIELDS(REAL), .bias = c.data[BIAS], .norm_bias = c.data[NORM_BIAS],               \
     .hidden_bias = c.data[HIDDEN_BIAS], .score_bias = c.data[SCORE_BIAS], .state = c.data[STATE]}
    gl_result r;
    GLPY_RUN_TO(r =, c, gl_combine, gl_combine_forward, FORWARD);
#undef FORWARD
    return glpy_return(&c, r, "present", "a model to weigh in each sample");
}

static PyObject *combine_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                  Py_ssize_t nargs) {
    enum {
        DSTATE = COMMON, DWEIGHTS, DX, DWEIGHT, DBIAS, DNORM_WEIGHT, DNORM_BIAS, DCONTEXT_WEIGHT,
        DMODEL_WEIGHT, DHIDDEN_BIAS, DSCORE_WEIGHT, DSCORE_BIAS, N,
    };
    static const glpy_spec spec[N] = {
        COMMON_SPEC(0),
        {"dstate", "BC", GLPY_REAL, 0},
        {"dweights", "BM", GLPY_REAL, GLPY_OPTIONAL},
        {"dx", "BD", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dweight", "DC", GLPY_REAL, GLPY_OUT},
        {"dbias", "MC", GLPY_REAL, GLPY_OUT},
        {"dnorm_weight", "MC", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dnorm_bias", "MC", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dcontext_weight", "CS", GLPY_REAL, GLPY_OUT},
        {"dmodel_weight", "CS", GLPY_REAL, GLPY_OUT},
        {"dhidden_bias", "S", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dscore_weight", "S", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dscore_bias", "O", GLPY_REAL, GLPY_OUT},
    };
    static const int norms[] = {DNORM_WEIGHT, DNORM_BIAS, Z, MEAN, RSTD, -1};
    static const int scorers[] = {DHIDDEN_BIAS, DSCORE_WEIGHT, -1};
    glpy_call c;
    if (glpy_parse(&c, "combine_backward", spec, N, args, nargs) < 0 ||
        check_options(&c, norms, scorers) < 0)
        return NULL;
    if (GLPY_DIM(c, 'O') != 1) {
        glpy_refuse_size(&c, DSCORE_BIAS, 0, "1");
        return NULL;
    }
#define BACKWARD(STRUCT, REAL)                                                                  \
    {SHARED_FIELDS(REAL), .dstate = c.data[DSTATE], .dweights = c.data[DWEIGHTS],               \
     .dx = c.data[DX], .dweight = c.data[DWEIGHT], .dbias = c.data[DBIAS],                      \
     .dnorm_weight = c.data[DNORM_WEIGHT], .dnorm_bias = c.data[DNORM_BIAS],                    \
     .dcontext_weight = c.data[DCONTEXT_WEIGHT], .dmodel_weight = c.data[DMODEL_WEIGHT],        \
     .dhidden_bias = c.data[DHIDDEN_BIAS], .dscore_weight = c.data[DSCORE_WEIGHT],              \
     .dscore_bias = c.data[DSCORE_BIAS]}
    GLPY_RUN(c, gl_combine, gl_combine_backward, BACKWARD);
#undef BACKWARD
    Py_RETURN_NONE;
}

#define COMMON_NAMES                                                                           \
    "columns, present, context, weigh_context, linear, eps, weight, norm_weight, "            \
    "context_weight, model_weight, score_weight, x, weights, scores, e, z, mean, rstd, hidden, "

PyMethodDef glpy_combiner_methods[] = {
    GLPY_METHOD(combine_forward,
                COMMON_NAMES "bias, norm_bias, hidden_bias, score_bias, state, /",
                "Embeddings of several models, weighed in a context by one shared scorer.\n\n"
                "Without norm_weight adapters are linear, without score_weight the scorer is."),
    GLPY_METHOD(combine_backward,
                COMMON_NAMES "dstate, dweights, dx, dweight, dbias, dnorm_weight, dnorm_bias, "
                             "dcontext_weight, dmodel_weight, dhidden_bias, dscore_weight, "
                             "dscore_bias, /",
                "Gradients of combine_forward; those of the parameters are accumulated.\n\n"
                "dweights and dx may be None."),
    {NULL, NULL, 0, NULL},
};
