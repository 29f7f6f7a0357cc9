#include "bindings.h"

#include "../core/attention.h"
#include "../core/gl_pool.h"

// Arguments that forward and backward have in common stand first, in this order.
enum { Q, K, V, GATE, QUERY_LENGTHS, KEY_LENGTHS, SCALE, CAUSAL, OUT, LSE, FORWARD_ARGS };
enum { DOUT = FORWARD_ARGS, DQ, DK, DV, DGATE, BACKWARD_ARGS };

#define COMMON_SPEC                                                              \
    {"query", "BHQD", GLPY_REAL, GLPY_STRIDED},                                  \
    {"key", "BHKD", GLPY_REAL, GLPY_STRIDED},                                    \
    {"value", "BHKE", GLPY_REAL, GLPY_STRIDED},                                  \
    {"gate", "BH", GLPY_REAL, GLPY_OPTIONAL},                                    \
    {"query_lengths", "B", GLPY_INT64, GLPY_OPTIONAL},                           \
    {"key_lengths", "B", GLPY_INT64, GLPY_OPTIONAL},                             \
    {"scale", NULL, GLPY_FLOAT, 0},                                              \
    {"is_causal", NULL, GLPY_FLAG, 0}

#define HEADS(i) {c->data[i], c->stride[i][0], c->stride[i][1], c->stride[i][2]}

// The struct of the core from the parsed arguments, in either type.
#define FILL(TYPE)                                                                            \
    {                                                                                         \
        .B = GLPY_DIM(*c, 'B'), .H = GLPY_DIM(*c, 'H'), .Tq = GLPY_DIM(*c, 'Q'),              \
        .Tk = GLPY_DIM(*c, 'K'), .D = GLPY_DIM(*c, 'D'), .E = GLPY_DIM(*c, 'E'),              \
        .q = HEADS(Q), .k = HEADS(K), .v = HEADS(V), .scale = (TYPE)c->num[SCALE],            \
        .causal = (int)c->integer[CAUSAL], .gate = c->data[GATE],                             \
        .query_lengths = c->data[QUERY_LENGTHS], .key_lengths = c->data[KEY_LENGTHS],         \
        .out = HEADS(OUT), .lse = c->data[LSE],                                               \
    }

static gl_attention_f32 fill_f32(const glpy_call *c) { return (gl_attention_f32)FILL(float); }
static gl_attention_f64 fill_f64(const glpy_call *c) { return (gl_attention_f64)FILL(double); }

static int check_lengths(const glpy_call *c) {
    gl_result r = gl_lengths_check(c->data[QUERY_LENGTHS], GLPY_DIM(*c, 'B'), GLPY_DIM(*c, 'Q'));
    PyObject *none = glpy_return(c, r, "query_lengths", "0 to the number of queries");
    if (none == NULL) return -1;
    Py_DECREF(none);
    r = gl_lengths_check(c->data[KEY_LENGTHS], GLPY_DIM(*c, 'B'), GLPY_DIM(*c, 'K'));
    none = glpy_return(c, r, "key_lengths", "0 to the number of keys");
    if (none == NULL) return -1;
    Py_DECREF(none);
    return 0;
}

static PyObject *attention_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                   Py_ssize_t nargs) {
    static const glpy_spec spec[FORWARD_ARGS] = {
        COMMON_SPEC,
        {"out", "BHQE", GLPY_REAL, GLPY_OUT | GLPY_STRIDED},
        {"lse", "BHQ", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
    };
    glpy_call c;
    if (glpy_parse(&c, "attention_forward", spec, FORWARD_ARGS, args, nargs) < 0) return NULL;
    if (check_lengths(&c) < 0) return NULL;
    const gl_attention_f32 a32 = fill_f32(&c);
    const gl_attention_f64 a64 = fill_f64(&c);
    const int nth = gl_pool_threads();
    void *work = glpy_workspace(&c, c.is_f32 ? gl_attention_forward_workspace_f32(&a32, nth)
                                             : gl_attention_forward_workspace_f64(&a64, nth));
    if (work == NULL) return NULL;

    Py_BEGIN_ALLOW_THREADS
    if (c.is_f32)
        gl_attention_forward_f32(&a32, work, nth);
    else
        gl_attention_forward_f64(&a64, work, nth);
    Py_END_ALLOW_THREADS
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
        {"dkey", "BHKD", GLPY_REAL, GLPY_OUT | GLPY_STRIDED},
        {"dvalue", "BHKE", GLPY_REAL, GLPY_OUT | GLPY_STRIDED},
        {"dgate", "BH", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
    };
    glpy_call call, *c = &call;
    if (glpy_parse(c, "attention_backward", spec, BACKWARD_ARGS, args, nargs) < 0) return NULL;
    if (check_lengths(c) < 0) return NULL;
    gl_attention_f32 a32 = fill_f32(c);
    gl_attention_f64 a64 = fill_f64(c);
#define GRADIENTS(a)                                                          \
    (a).dout = (__typeof__((a).dout))HEADS(DOUT);                             \
    (a).dq = (__typeof__((a).dq))HEADS(DQ);                                   \
    (a).dk = (__typeof__((a).dk))HEADS(DK);                                   \
    (a).dv = (__typeof__((a).dv))HEADS(DV);                                   \
    (a).dgate = c->data[DGATE];
    GRADIENTS(a32)
    GRADIENTS(a64)
    const int nth = gl_pool_threads();
    void *work = glpy_workspace(c, c->is_f32 ? gl_attention_backward_workspace_f32(&a32, nth)
                                             : gl_attention_backward_workspace_f64(&a64, nth));
    if (work == NULL) return NULL;

    Py_BEGIN_ALLOW_THREADS
    if (c->is_f32)
        gl_attention_backward_f32(&a32, work, nth);
    else
        gl_attention_backward_f64(&a64, work, nth);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyMethodDef glpy_attention_methods[] = {
    GLPY_METHOD(attention_forward,
                "query, key, value, gate, query_lengths, key_lengths, scale, is_causal, out, lse, /",
                "Softmax attention of every open head; lse may be None."),
    GLPY_METHOD(attention_backward,
                "query, key, value, gate, query_lengths, key_lengths, scale, is_causal, out, lse, "
                "dout, dquery, dkey, dvalue, dgate, /",
                "Gradients of attention_forward; dgate may be None."),
    {NULL, NULL, 0, NULL},
};
