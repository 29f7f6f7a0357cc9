#include "bindings.h"

#include "../core/attention.h"
#include "../core/hard.h"

// Arguments that all three functions have in common stand first, in this order.
enum { Q, K, KEY_LENGTHS, MASK, SCALE, CAUSAL, COMMON };

// M, N and U: B, H and Q, or 1 where one serves all.
#define COMMON_SPEC                                                                           \
    {"query", "BHQD", GLPY_REAL, GLPY_STRIDED},                                               \
    {"key", "BHKD", GLPY_REAL, GLPY_STRIDED},                                                 \
    {"key_lengths", "B", GLPY_INT64, GLPY_OPTIONAL},                                          \
    {"mask", "MNUK", GLPY_UINT8, GLPY_OPTIONAL},                                              \
    {"scale", NULL, GLPY_FLOAT, 0},                                                           \
    {"is_causal", NULL, GLPY_FLAG, 0}

// The members of attention's struct that all calls fill.
#define HEADS(TYPE)                                                                           \
    .B = GLPY_DIM(c, 'B'), .H = GLPY_DIM(c, 'H'), .G = GLPY_DIM(c, 'H'),                      \
    .Tq = GLPY_DIM(c, 'Q'), .Tk = GLPY_DIM(c, 'K'), .D = GLPY_DIM(c, 'D'),                    \
    .q = GLPY_HEADS(c, Q), .k = GLPY_HEADS(c, K), .scale = (TYPE)c.num[SCALE],                \
    .key_lengths = c.data[KEY_LENGTHS], .left = -1, .right = c.integer[CAUSAL] ? 0 : -1,      \
    .mask = GLPY_SHARED(c, MASK)

// What letters cannot say.
static int check_options(const glpy_call *c) {
    if (glpy_check_shared(c, MASK, 0, 'B') < 0 || glpy_check_shared(c, MASK, 1, 'H') < 0 ||
        glpy_check_shared(c, MASK, 2, 'Q') < 0)
        return -1;
    return glpy_check_lengths(c, KEY_LENGTHS, 'K', "0 to the number of keys");
}

// None, or what a forward pass has refused.
static PyObject *done(const glpy_call *c, gl_result r) {
    if (r.status == GL_EVALUE) return glpy_return(c, r, "uniforms", "numbers in [0, 1)");
    if (r.status == GL_EINDEX) return glpy_return(c, r, "actions", "0 <= action < K");
    return glpy_return(c, r, "query @ key^T",
                       "finite scores and at least one key that the query may see");
}

static PyObject *hard_attention_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                        Py_ssize_t nargs) {
    enum { V = COMMON, UNIFORMS, OUT, ACTIONS, LOGP, ENTROPY, LSE, N };
    static const glpy_spec spec[N] = {
        COMMON_SPEC,
        {"value", "BHKE", GLPY_REAL, GLPY_STRIDED},
        {"uniforms", "BHQ", GLPY_REAL, 0},
        {"out", "BHQE", GLPY_REAL, GLPY_OUT | GLPY_STRIDED},
        {"actions", "BHQ", GLPY_INT64, GLPY_OUT},
        {"logp", "BHQ", GLPY_REAL, GLPY_OUT},
        {"entropy", "BHQ", GLPY_REAL, GLPY_OUT},
        {"lse", "BHQ", GLPY_REAL, GLPY_OUT},
    };
    glpy_call c;
    if (glpy_parse(&c, "hard_attention_forward", spec, N, args, nargs) < 0 ||
        check_options(&c) < 0)
        return NULL;

#define FORWARD(STRUCT, TYPE)                                                                 \
    {.heads = {HEADS(TYPE), .E = GLPY_DIM(c, 'E'), .v = GLPY_HEADS(c, V),                     \
               .out = GLPY_HEADS(c, OUT), .lse = c.data[LSE]},                                \
     .uniforms = c.data[UNIFORMS], .actions = c.data[ACTIONS], .logp = c.data[LOGP],          \
     .entropy = c.data[ENTROPY]}
    gl_result r;
    GLPY_RUN_TO(r =, c, gl_hard, gl_hard_forward, FORWARD);
    return done(&c, r);
}

static PyObject *hard_attention_log_prob(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                         Py_ssize_t nargs) {
    enum { ACTIONS = COMMON, LOGP, ENTROPY, LSE, N };
    static const glpy_spec spec[N] = {
        COMMON_SPEC,
        {"actions", "BHQ", GLPY_INT64, 0},
        {"logp", "BHQ", GLPY_REAL, GLPY_OUT},
        {"entropy", "BHQ", GLPY_REAL, GLPY_OUT},
        {"lse", "BHQ", GLPY_REAL, GLPY_OUT},
    };
    glpy_call c;
    if (glpy_parse(&c, "hard_attention_log_prob", spec, N, args, nargs) < 0 ||
        check_options(&c) < 0)
        return NULL;

#define LOG_PROB(STRUCT, TYPE)                                                                \
    {.heads = {HEADS(TYPE), .lse = c.data[LSE]}, .actions = c.data[ACTIONS],                  \
     .logp = c.data[LOGP], .entropy = c.data[ENTROPY]}
    gl_result r;
    GLPY_RUN_TO(r =, c, gl_hard, gl_hard_forward, LOG_PROB);
    return done(&c, r);
}

static PyObject *hard_attention_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                         Py_ssize_t nargs) {
    enum { V = COMMON, ACTIONS, LSE, ENTROPY, DOUT, DLOGP, DENTROPY, DQ, DK, DV, N };
    static const glpy_spec spec[N] = {
        COMMON_SPEC,
        {"value", "BHKE", GLPY_REAL, GLPY_STRIDED},
        {"actions", "BHQ", GLPY_INT64, 0},
        {"lse", "BHQ", GLPY_REAL, 0},
        {"entropy", "BHQ", GLPY_REAL, 0},
        {"dout", "BHQE", GLPY_REAL, GLPY_STRIDED | GLPY_OPTIONAL},
        {"dlogp", "BHQ", GLPY_REAL, GLPY_OPTIONAL},
        {"dentropy", "BHQ", GLPY_REAL, GLPY_OPTIONAL},
        {"dquery", "BHQD", GLPY_REAL, GLPY_OUT | GLPY_STRIDED},
        {"dkey", "BHKD", GLPY_REAL, GLPY_OUT | GLPY_STRIDED},
        {"dvalue", "BHKE", GLPY_REAL, GLPY_OUT | GLPY_STRIDED},
    };
    glpy_call c;
    if (glpy_parse(&c, "hard_attention_backward", spec, N, args, nargs) < 0 ||
        check_options(&c) < 0)
        return NULL;

#define BACKWARD(STRUCT, TYPE)                                                                \
    {.heads = {HEADS(TYPE), .E = GLPY_DIM(c, 'E'), .lse = c.data[LSE],                        \
               .dout = GLPY_HEADS(c, DOUT), .dq = GLPY_HEADS(c, DQ),                          \
               .dk = GLPY_HEADS(c, DK), .dv = GLPY_HEADS(c, DV)},                             \
     .actions = c.data[ACTIONS], .entropy = c.data[ENTROPY], .dlogp = c.data[DLOGP],          \
     .dentropy = c.data[DENTROPY]}
    gl_result r;
    GLPY_RUN_TO(r =, c, gl_hard, gl_hard_backward, BACKWARD);
    return glpy_return(&c, r, "actions", "0 <= action < K");
}

#define COMMON_NAMES "query, key, key_lengths, mask, scale, is_causal, "

PyMethodDef glpy_hard_methods[] = {
    GLPY_METHOD(hard_attention_forward,
                COMMON_NAMES "value, uniforms, out, actions, logp, entropy, lse, /",
                "Each query draws one key and takes its value; no other value is read."),
    GLPY_METHOD(hard_attention_log_prob, COMMON_NAMES "actions, logp, entropy, lse, /",
                "Log-probability of given actions, and entropy."),
    GLPY_METHOD(hard_attention_backward,
                COMMON_NAMES "value, actions, lse, entropy, dout, dlogp, dentropy, dquery, dkey, "
                             "dvalue, /",
                "Gradients of both; dvalue is accumulated; dout, dlogp, dentropy may be None."),
    {NULL, NULL, 0, NULL},
};
