#include "bindings.h"

#include "../core/additive.h"
#include "../core/attention.h"

// Arguments that forward and backward have in common stand first, in this order.
enum { QUERY, KEY, VALUE, WEIGHT, QUERY_LENGTHS, KEY_LENGTHS, MASK, CAUSAL, OUT, LSE, COMMON };

#define COMMON_SPEC                                       \
    {"query", "BQA", GLPY_REAL, 0},                       \
    {"key", "BKA", GLPY_REAL, 0},                         \
    {"value", "BKE", GLPY_REAL, 0},                       \
    {"weight", "A", GLPY_REAL, 0},                        \
    {"query_lengths", "B", GLPY_INT64, GLPY_OPTIONAL},    \
    {"key_lengths", "B", GLPY_INT64, GLPY_OPTIONAL},      \
    {"mask", "BQK", GLPY_UINT8, GLPY_OPTIONAL},           \
    {"is_causal", NULL, GLPY_FLAG, 0}

#define FIELDS                                                                                  \
    .B = GLPY_DIM(c, 'B'), .Tq = GLPY_DIM(c, 'Q'), .Tk = GLPY_DIM(c, 'K'),                      \
    .A = GLPY_DIM(c, 'A'), .E = GLPY_DIM(c, 'E'), .query = c.data[QUERY], .key = c.data[KEY],   \
    .value = c.data[VALUE], .weight = c.data[WEIGHT], .query_lengths = c.data[QUERY_LENGTHS],   \
    .key_lengths = c.data[KEY_LENGTHS], .mask = c.data[MASK],                                   \
    .causal = (int)c.integer[CAUSAL], .out = c.data[OUT], .lse = c.data[LSE]

static int check_lengths(const glpy_call *c) {
    if (glpy_check_lengths(c, QUERY_LENGTHS, 'Q', "0 to the number of queries") < 0) return -1;
    return glpy_check_lengths(c, KEY_LENGTHS, 'K', "0 to the number of keys");
}

static PyObject *additive_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                  Py_ssize_t nargs) {
    enum { WEIGHTS = COMMON, N };
    static const glpy_spec spec[N] = {
        COMMON_SPEC,
        {"out", "BQE", GLPY_REAL, GLPY_OUT},
        {"lse", "BQ", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"weights", "BQK", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
    };
    glpy_call c;
    if (glpy_parse(&c, "additive_forward", spec, N, args, nargs) < 0) return NULL;
    if (check_lengths(&c) < 0) return NULL;
#define FORWARD(STRUCT, REAL) {FIELDS, .p = c.data[WEIGHTS]}
    GLPY_RUN(c, gl_additive, gl_additive_forward, FORWARD);
    Py_RETURN_NONE;
}

static PyObject *additive_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                   Py_ssize_t nargs) {
    enum { DOUT = COMMON, DQUERY, DKEY, DVALUE, DWEIGHT, N };
    static const glpy_spec spec[N] = {
        COMMON_SPEC,
        {"out", "BQE", GLPY_REAL, 0},
        {"lse", "BQ", GLPY_REAL, 0},
        {"dout", "BQE", GLPY_REAL, 0},
        {"dquery", "BQA", GLPY_REAL, GLPY_OUT},
        {"dkey", "BKA", GLPY_REAL, GLPY_OUT},
        {"dvalue", "BKE", GLPY_REAL, GLPY_OUT},
        {"dweight", "A", GLPY_REAL, GLPY_OUT},
    };
    glpy_call c;
    if (glpy_parse(&c, "additive_backward", spec, N, args, nargs) < 0) return NULL;
    if (check_lengths(&c) < 0) return NULL;
#define BACKWARD(STRUCT, REAL)                                                              \
    {FIELDS, .dout = c.data[DOUT], .dquery = c.data[DQUERY], .dkey = c.data[DKEY],   \
     .dvalue = c.data[DVALUE], .dweight = c.data[DWEIGHT]}
    GLPY_RUN(c, gl_additive, gl_additive_backward, BACKWARD);
    Py_RETURN_NONE;
}

PyMethodDef glpy_additive_methods[] = {
    GLPY_METHOD(additive_forward,
                "query, key, value, weight, query_lengths, key_lengths, mask, is_causal, out, lse, "
                "weights, /",
                "Additive attention; lse and weights may be None."),
    GLPY_METHOD(additive_backward,
                "query, key, value, weight, query_lengths, key_lengths, mask, is_causal, out, lse, "
                "dout, dquery, dkey, dvalue, dweight, /",
                "Gradients of additive_forward; dweight is accumulated."),
    {NULL, NULL, 0, NULL},
};
