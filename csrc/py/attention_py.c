#include "bindings.h"

#include "../core/attention.h"

// Arguments that all three functions have in common stand first, in this order.
enum {
    Q, K, V, GATE, QUERY_LENGTHS, KEY_LENGTHS, MASK, BLOCKS, BIAS, SLOPES, SCALE, LEFT, RIGHT,
    BLOCK, DROPOUT, SEED, COMMON
};
enum { OUT = COMMON, LSE, FORWARD_ARGS };
enum { DOUT = FORWARD_ARGS, DQ, DK, DV, DGATE, DBIAS, BACKWARD_ARGS };
enum { ROWS = COMMON, WEIGHTS, WEIGHTS_ARGS };

// M and N (mask), X and Y (bias), P (blocks): B or H, or 1 where one serves all; U likewise for Q.
#define COMMON_SPEC                                                              \
    {"query", "BHQD", GLPY_REAL, GLPY_STRIDED},                                  \
    {"key", "BGKD", GLPY_REAL, GLPY_STRIDED},                                    \
    {"value", "BGKE", GLPY_REAL, GLPY_STRIDED},                                  \
    {"gate", "BH", GLPY_REAL, GLPY_OPTIONAL},                                    \
    {"query_lengths", "B", GLPY_INT64, GLPY_OPTIONAL},                           \
    {"key_lengths", "B", GLPY_INT64, GLPY_OPTIONAL},                             \
    {"mask", "MNUK", GLPY_UINT8, GLPY_OPTIONAL},                                 \
    {"block_mask", "PIJ", GLPY_UINT8, GLPY_OPTIONAL},                            \
    {"bias", "XYQK", GLPY_REAL, GLPY_OPTIONAL},                                  \
    {"alibi_slopes", "H", GLPY_REAL, GLPY_OPTIONAL},                             \
    {"scale", NULL, GLPY_FLOAT, 0},                                              \
    {"left", NULL, GLPY_INT, 0},                                                 \
    {"right", NULL, GLPY_INT, 0},                                                \
    {"block_size", NULL, GLPY_INT, 0},                                           \
    {"dropout_p", NULL, GLPY_FLOAT, 0},                                          \
    {"seed", NULL, GLPY_INT, 0}

#define HEADS(i) GLPY_HEADS(c, i)
#define SHARED(i) GLPY_SHARED(c, i)

static ptrdiff_t blocks_in(ptrdiff_t T, ptrdiff_t block) {
    return T == 0 ? 0 : (T - 1) / block + 1;
}

// A block longer than everything is as good as one of just that length, and overflows nothing.
static ptrdiff_t block_size(const glpy_call *c) {
    const ptrdiff_t longest = GL_MAX(GLPY_DIM(*c, 'Q'), GLPY_DIM(*c, 'K'));
    return GL_MIN(c->integer[BLOCK], GL_MAX(longest, 1));
}

// The members of the core's struct that all calls fill.
#define INPUTS(TYPE)                                                                          \
    .B = GLPY_DIM(c, 'B'), .H = GLPY_DIM(c, 'H'), .G = GLPY_DIM(c, 'G'),                      \
    .Tq = GLPY_DIM(c, 'Q'), .Tk = GLPY_DIM(c, 'K'), .D = GLPY_DIM(c, 'D'),                    \
    .E = GLPY_DIM(c, 'E'), .q = HEADS(Q), .k = HEADS(K), .v = HEADS(V),                       \
    .scale = (TYPE)c.num[SCALE], .gate = c.data[GATE],                                        \
    .query_lengths = c.data[QUERY_LENGTHS], .key_lengths = c.data[KEY_LENGTHS],               \
    .left = c.integer[LEFT], .right = c.integer[RIGHT], .mask = SHARED(MASK),                 \
    .blocks = c.data[BLOCKS], .block = block_size(&c), .blocks_h = glpy_shared(&c, BLOCKS, 0), \
    .bias = SHARED(BIAS), .slopes = c.data[SLOPES], .dropout = c.num[DROPOUT],                \
    .seed = (uint64_t)c.integer[SEED]

static int refuse(const glpy_call *c, const char *what, ptrdiff_t has, const char *expected) {
    PyErr_Format(PyExc_ValueError, "%s: %s is %zd, expected %s", c->function, what, has, expected);
    return -1;
}

// What letters cannot say.
static int check_options(const glpy_call *c) {
    const ptrdiff_t H = GLPY_DIM(*c, 'H'), G = GLPY_DIM(*c, 'G'), block = c->integer[BLOCK];
    if (G == 0 ? H > 0 : H % G != 0)
        return glpy_refuse_size(c, K, 1, "a divisor of H = %zd", H);
    if (glpy_check_shared(c, MASK, 0, 'B') < 0 || glpy_check_shared(c, MASK, 1, 'H') < 0 ||
        glpy_check_shared(c, MASK, 2, 'Q') < 0 || glpy_check_shared(c, BIAS, 0, 'B') < 0 ||
        glpy_check_shared(c, BIAS, 1, 'H') < 0 || glpy_check_shared(c, BLOCKS, 0, 'H') < 0)
        return -1;
    if (c->integer[LEFT] < -1) return refuse(c, "left", c->integer[LEFT], "at least -1");
    if (c->integer[RIGHT] < -1) return refuse(c, "right", c->integer[RIGHT], "at least -1");
    if (c->data[BLOCKS]) {
        if (block < 1) return refuse(c, "block_size", block, "at least 1");
        const ptrdiff_t rows = blocks_in(GLPY_DIM(*c, 'Q'), block);
        const ptrdiff_t columns = blocks_in(GLPY_DIM(*c, 'K'), block);
        if (GLPY_DIM(*c, 'I') != rows)
            return glpy_refuse_size(c, BLOCKS, 1, "blocks = %zd", rows);
        if (GLPY_DIM(*c, 'J') != columns)
            return glpy_refuse_size(c, BLOCKS, 2, "blocks = %zd", columns);
    }
    if (!(c->num[DROPOUT] >= 0 && c->num[DROPOUT] < 1)) {
        PyErr_Format(PyExc_ValueError, "%s: dropout_p is out of range, expected 0 <= dropout_p < 1",
                     c->function);
        return -1;
    }
    if (glpy_check_lengths(c, QUERY_LENGTHS, 'Q', "0 to the number of queries") < 0) return -1;
    return glpy_check_lengths(c, KEY_LENGTHS, 'K', "0 to the number of keys");
}

static PyObject *attention_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                   Py_ssize_t nargs) {
    static const glpy_spec spec[FORWARD_ARGS] = {
        COMMON_SPEC,
        {"out", "BHQE", GLPY_REAL, GLPY_OUT | GLPY_STRIDED},
        {"lse", "BHQ", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
    };
    glpy_call c;
    if (glpy_parse(&c, "attention_forward", spec, FORWARD_ARGS, args, nargs) < 0 ||
        check_options(&c) < 0)
        return NULL;

#define FORWARD(STRUCT, TYPE) {INPUTS(TYPE), .out = HEADS(OUT), .lse = c.data[LSE]}
    GLPY_RUN(c, gl_attention, gl_attention_forward, FORWARD);
    Py_RETURN_NONE;
}

static PyObject *attention_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                    Py_ssize_t nargs) {
    static const glpy_spec spec[BACKWARD_ARGS] = {
        COMMON_SPEC,
        {"out", "BHQE", GLPY_REAL, GLPY_STRIDED},
        {"lse", "BHQ", GLPY_REAL, 0},
        {"dout", "BHQE", GLPY_REAL, GLPY_STRIDED},
        {"dquery", "BHQD", GLPY_REAL, GLPY_OUT | GLPY_STRIDED},
        {"dkey", "BGKD", GLPY_REAL, GLPY_OUT | GLPY_STRIDED},
        {"dvalue", "BGKE", GLPY_REAL, GLPY_OUT | GLPY_STRIDED},
        {"dgate", "BH", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dbias", "XYQK", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
    };
    glpy_call c;
    if (glpy_parse(&c, "attention_backward", spec, BACKWARD_ARGS, args, nargs) < 0 ||
        check_options(&c) < 0)
        return NULL;
    if (c.data[DBIAS] && !c.data[BIAS]) {
        PyErr_SetString(PyExc_ValueError,
                        "attention_backward: dbias is given without bias, expected None");
        return NULL;
    }

#define BACKWARD(STRUCT, TYPE)                                                                \
    {INPUTS(TYPE), .out = HEADS(OUT), .lse = c.data[LSE], .dout = HEADS(DOUT),                \
     .dq = HEADS(DQ), .dk = HEADS(DK), .dv = HEADS(DV), .dgate = c.data[DGATE],               \
     .dbias = c.data[DBIAS], .biases_b = GLPY_DIM(c, 'X'), .biases_h = GLPY_DIM(c, 'Y')}
    GLPY_RUN(c, gl_attention, gl_attention_backward, BACKWARD);
    Py_RETURN_NONE;
}

static PyObject *attention_weights(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                   Py_ssize_t nargs) {
    static const glpy_spec spec[WEIGHTS_ARGS] = {
        COMMON_SPEC,
        {"rows", "R", GLPY_INT64, 0},
        {"weights", "BHRK", GLPY_REAL, GLPY_OUT},
    };
    glpy_call c;
    if (glpy_parse(&c, "attention_weights", spec, WEIGHTS_ARGS, args, nargs) < 0 ||
        check_options(&c) < 0)
        return NULL;
    const int64_t *rows = c.data[ROWS];
    for (ptrdiff_t r = 0; r < GLPY_DIM(c, 'R'); r++)
        if (rows[r] < 0 || rows[r] >= GLPY_DIM(c, 'Q'))
            return glpy_return(&c, (gl_result){GL_EINDEX, r}, "rows",
                               "0 to the number of queries - 1");

#define WEIGHTS_OF(STRUCT, TYPE)                                                              \
    {INPUTS(TYPE), .rows = rows, .R = GLPY_DIM(c, 'R'), .weights = c.data[WEIGHTS]}
    GLPY_RUN(c, gl_attention, gl_attention_weights, WEIGHTS_OF);
    Py_RETURN_NONE;
}

#define COMMON_NAMES                                                                          \
    "query, key, value, gate, query_lengths, key_lengths, mask, block_mask, bias, "           \
    "alibi_slopes, scale, left, right, block_size, dropout_p, seed, "

PyMethodDef glpy_attention_methods[] = {
    GLPY_METHOD(attention_forward, COMMON_NAMES "out, lse, /",
                "Softmax attention of every open head; lse may be None."),
    GLPY_METHOD(attention_backward,
                COMMON_NAMES "out, lse, dout, dquery, dkey, dvalue, dgate, dbias, /",
                "Gradients of attention_forward; dgate and dbias may be None."),
    GLPY_METHOD(attention_weights, COMMON_NAMES "rows, weights, /",
                "Rows of softmax of the queries named by rows; values are not read."),
    {NULL, NULL, 0, NULL},
};
