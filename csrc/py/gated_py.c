// The gated layers: heads and MLP.
#include "bindings.h"

#include "../core/gated_heads.h"
#include "../core/gated_mlp.h"

enum { H_X, H_GATE, H_LENGTHS, H_BIAS, H_NORM_W, H_NORM_B, H_SHIFT, H_WQKV, H_WO, H_COS, H_SIN,
       H_SCALE, H_CAUSAL, H_EPS, H_QKV, H_OUT, H_LSE, H_COMMON };

#define HEADS_SPEC                                      \
    {"x", "BTC", GLPY_REAL, GLPY_MAY_ALIAS},            \
    {"gate", "BH", GLPY_REAL, 0},                       \
    {"lengths", "B", GLPY_INT64, GLPY_OPTIONAL},        \
    {"bias", "BT", GLPY_REAL, GLPY_OPTIONAL},           \
    {"norm_weight", "C", GLPY_REAL, 0},                 \
    {"norm_bias", "C", GLPY_REAL, 0},                   \
    {"shift", "PC", GLPY_REAL, GLPY_OPTIONAL},          \
    {"wqkv", "PCHD", GLPY_REAL, 0},                     \
    {"wo", "HDC", GLPY_REAL, 0},                        \
    {"cosine", "TR", GLPY_REAL, GLPY_OPTIONAL},         \
    {"sine", "TR", GLPY_REAL, GLPY_OPTIONAL},           \
    {"scale", NULL, GLPY_FLOAT, 0},                     \
    {"is_causal", NULL, GLPY_FLAG, 0},                  \
    {"eps", NULL, GLPY_FLOAT, 0}

#define HEADS_COMMON(REAL)                                                                     \
    .B = GLPY_DIM(c, 'B'), .T = GLPY_DIM(c, 'T'), .C = GLPY_DIM(c, 'C'), .H = GLPY_DIM(c, 'H'), \
    .D = GLPY_DIM(c, 'D'), .x = c.data[H_X], .gate = c.data[H_GATE],                           \
    .lengths = c.data[H_LENGTHS], .bias = c.data[H_BIAS],                                      \
    .norm_weight = c.data[H_NORM_W],                                                           \
    .norm_bias = c.data[H_NORM_B], .shift = c.data[H_SHIFT], .wqkv = c.data[H_WQKV],           \
    .wo = c.data[H_WO], .cosine = c.data[H_COS], .sine = c.data[H_SIN],                        \
    .scale = (REAL)c.num[H_SCALE], .causal = (int)c.integer[H_CAUSAL],                         \
    .eps = (REAL)c.num[H_EPS], .qkv = c.data[H_QKV], .out = c.data[H_OUT], .lse = c.data[H_LSE]

// What the letters cannot say.
static int check_heads(const glpy_call *c) {
    const ptrdiff_t B = GLPY_DIM(*c, 'B'), T = GLPY_DIM(*c, 'T');
    const ptrdiff_t H = GLPY_DIM(*c, 'H'), D = GLPY_DIM(*c, 'D');
    if (glpy_check_blas_dims(c) < 0) return -1;
    if (glpy_check_lengths(c, H_LENGTHS, 'T', "0 to T") < 0) return -1;
    if (glpy_check_blas_size(c, "B * T", gl_size_mul(B, T)) < 0) return -1;
    if (glpy_check_blas_size(c, "3 * H * D", gl_size_mul(3*H, D)) < 0) return -1;
    if (GLPY_DIM(*c, 'P') != 3) {
        PyErr_Format(PyExc_ValueError, "%s: wqkv.shape[0] is %zd, expected 3", c->function,
                     GLPY_DIM(*c, 'P'));
        return -1;
    }
    if ((c->data[H_COS] == NULL) != (c->data[H_SIN] == NULL) ||
        (c->data[H_COS] && 2*GLPY_DIM(*c, 'R') != GLPY_DIM(*c, 'D'))) {
        PyErr_Format(PyExc_ValueError, "%s: cosine and sine are not both (T, D/2) or both None",
                     c->function);
        return -1;
    }
    if ((c->data[H_QKV] == NULL) != (c->data[H_OUT] == NULL) ||
        (c->data[H_QKV] == NULL) != (c->data[H_LSE] == NULL)) {
        PyErr_Format(PyExc_ValueError, "%s: qkv, out and lse are not all arrays or all None",
                     c->function);
        return -1;
    }
    return 0;
}

static PyObject *gated_heads_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                     Py_ssize_t nargs) {
    enum { Y = H_COMMON, N };
    static const glpy_spec spec[N] = {
        HEADS_SPEC,
        {"qkv", "BTPHD", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"out", "BTHD", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"lse", "BHT", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"y", "BTC", GLPY_REAL, GLPY_OUT},
    };
    glpy_call c;
    if (glpy_parse(&c, "gated_heads_forward", spec, N, args, nargs) < 0) return NULL;
    if (check_heads(&c) < 0) return NULL;
#define FORWARD(STRUCT, REAL) {HEADS_COMMON(REAL), .y = c.data[Y]}
    GLPY_RUN(c, gl_gated_heads, gl_gated_heads_forward, FORWARD);
#undef FORWARD
    Py_RETURN_NONE;
}

static PyObject *gated_heads_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                      Py_ssize_t nargs) {
    enum { DY = H_COMMON, DX, DGATE, DBIAS, DNORM_W, DNORM_B, DSHIFT, DWQKV, DWO, N };
    static const glpy_spec spec[N] = {
        HEADS_SPEC,
        {"qkv", "BTPHD", GLPY_REAL, 0},
        {"out", "BTHD", GLPY_REAL, 0},
        {"lse", "BHT", GLPY_REAL, 0},
        {"dy", "BTC", GLPY_REAL, GLPY_MAY_ALIAS},
        {"dx", "BTC", GLPY_REAL, GLPY_OUT},
        {"dgate", "BH", GLPY_REAL, GLPY_OUT},
        {"dbias", "BT", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dnorm_weight", "C", GLPY_REAL, GLPY_OUT},
        {"dnorm_bias", "C", GLPY_REAL, GLPY_OUT},
        {"dshift", "PC", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dwqkv", "PCHD", GLPY_REAL, GLPY_OUT},
        {"dwo", "HDC", GLPY_REAL, GLPY_OUT},
    };
    glpy_call c;
    if (glpy_parse(&c, "gated_heads_backward", spec, N, args, nargs) < 0) return NULL;
    if (check_heads(&c) < 0) return NULL;
    if (c.data[DX] == c.data[H_X])
        return PyErr_Format(PyExc_ValueError,
                            "gated_heads_backward: dx overlaps x, expected separate memory");
    if ((c.data[DSHIFT] == NULL) != (c.data[H_SHIFT] == NULL))
        return PyErr_Format(PyExc_ValueError,
                            "gated_heads_backward: dshift and shift are not both given");
    if ((c.data[DBIAS] == NULL) != (c.data[H_BIAS] == NULL))
        return PyErr_Format(PyExc_ValueError,
                            "gated_heads_backward: dbias and bias are not both given");
#define BACKWARD(STRUCT, REAL)                                                              \
    {HEADS_COMMON(REAL), .dy = c.data[DY], .dx = c.data[DX], .dgate = c.data[DGATE],        \
     .dbias = c.data[DBIAS],                                                                \
     .dnorm_weight = c.data[DNORM_W], .dnorm_bias = c.data[DNORM_B], .dshift = c.data[DSHIFT], \
     .dwqkv = c.data[DWQKV], .dwo = c.data[DWO]}
    GLPY_RUN(c, gl_gated_heads, gl_gated_heads_backward, BACKWARD);
#undef BACKWARD
    Py_RETURN_NONE;
}

enum { M_X, M_GATE, M_LENGTHS, M_NORM_W, M_NORM_B, M_W1, M_W2, M_EPS, M_HIDDEN, M_COMMON };

#define MLP_SPEC                                        \
    {"x", "BTC", GLPY_REAL, GLPY_MAY_ALIAS},            \
    {"gate", "B", GLPY_REAL, 0},                        \
    {"lengths", "B", GLPY_INT64, GLPY_OPTIONAL},        \
    {"norm_weight", "C", GLPY_REAL, 0},                 \
    {"norm_bias", "C", GLPY_REAL, 0},                   \
    {"w1", "CF", GLPY_REAL, 0},                         \
    {"w2", "FC", GLPY_REAL, 0},                         \
    {"eps", NULL, GLPY_FLOAT, 0}

#define MLP_COMMON(REAL)                                                                        \
    .B = GLPY_DIM(c, 'B'), .T = GLPY_DIM(c, 'T'), .C = GLPY_DIM(c, 'C'), .F = GLPY_DIM(c, 'F'), \
    .x = c.data[M_X], .gate = c.data[M_GATE], .lengths = c.data[M_LENGTHS],                     \
    .norm_weight = c.data[M_NORM_W], .norm_bias = c.data[M_NORM_B], .w1 = c.data[M_W1],         \
    .w2 = c.data[M_W2], .eps = (REAL)c.num[M_EPS], .hidden = c.data[M_HIDDEN]

static int check_mlp(const glpy_call *c) {
    if (glpy_check_blas_dims(c) < 0) return -1;
    if (glpy_check_lengths(c, M_LENGTHS, 'T', "0 to T") < 0) return -1;
    return glpy_check_blas_size(c, "B * T", gl_size_mul(GLPY_DIM(*c, 'B'), GLPY_DIM(*c, 'T')));
}

static PyObject *gated_mlp_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                   Py_ssize_t nargs) {
    enum { Y = M_COMMON, N };
    static const glpy_spec spec[N] = {
        MLP_SPEC,
        {"hidden", "BTF", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"y", "BTC", GLPY_REAL, GLPY_OUT},
    };
    glpy_call c;
    if (glpy_parse(&c, "gated_mlp_forward", spec, N, args, nargs) < 0) return NULL;
    if (check_mlp(&c) < 0) return NULL;
#define FORWARD(STRUCT, REAL) {MLP_COMMON(REAL), .y = c.data[Y]}
    GLPY_RUN(c, gl_gated_mlp, gl_gated_mlp_forward, FORWARD);
#undef FORWARD
    Py_RETURN_NONE;
}

static PyObject *gated_mlp_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                    Py_ssize_t nargs) {
    enum { DY = M_COMMON, DX, DGATE, DNORM_W, DNORM_B, DW1, DW2, N };
    static const glpy_spec spec[N] = {
        MLP_SPEC,
        {"hidden", "BTF", GLPY_REAL, 0},
        {"dy", "BTC", GLPY_REAL, GLPY_MAY_ALIAS},
        {"dx", "BTC", GLPY_REAL, GLPY_OUT},
        {"dgate", "B", GLPY_REAL, GLPY_OUT},
        {"dnorm_weight", "C", GLPY_REAL, GLPY_OUT},
        {"dnorm_bias", "C", GLPY_REAL, GLPY_OUT},
        {"dw1", "CF", GLPY_REAL, GLPY_OUT},
        {"dw2", "FC", GLPY_REAL, GLPY_OUT},
    };
    glpy_call c;
    if (glpy_parse(&c, "gated_mlp_backward", spec, N, args, nargs) < 0) return NULL;
    if (check_mlp(&c) < 0) return NULL;
    if (c.data[DX] == c.data[M_X])
        return PyErr_Format(PyExc_ValueError,
                            "gated_mlp_backward: dx overlaps x, expected separate memory");
#define BACKWARD(STRUCT, REAL)                                                             \
    {MLP_COMMON(REAL), .dy = c.data[DY], .dx = c.data[DX], .dgate = c.data[DGATE],         \
     .dnorm_weight = c.data[DNORM_W], .dnorm_bias = c.data[DNORM_B], .dw1 = c.data[DW1],   \
     .dw2 = c.data[DW2]}
    GLPY_RUN(c, gl_gated_mlp, gl_gated_mlp_backward, BACKWARD);
#undef BACKWARD
    Py_RETURN_NONE;
}

PyMethodDef glpy_gated_methods[] = {
    GLPY_METHOD(gated_heads_forward,
                "x, gate, lengths, bias, norm_weight, norm_bias, shift, wqkv, wo, cosine, sine, "
                "scale, is_causal, eps, qkv, out, lse, y, /",
                "The gated multi-head layer; qkv, out and lse may be None."),
    GLPY_METHOD(gated_heads_backward,
                "x, gate, lengths, bias, norm_weight, norm_bias, shift, wqkv, wo, cosine, sine, "
                "scale, is_causal, eps, qkv, out, lse, dy, dx, dgate, dbias, dnorm_weight, "
                "dnorm_bias, dshift, dwqkv, dwo, /",
                "Gradients of gated_heads_forward; those of the parameters are accumulated."),
    GLPY_METHOD(gated_mlp_forward,
                "x, gate, lengths, norm_weight, norm_bias, w1, w2, eps, hidden, y, /",
                "The gated MLP layer; hidden may be None."),
    GLPY_METHOD(gated_mlp_backward,
                "x, gate, lengths, norm_weight, norm_bias, w1, w2, eps, hidden, dy, dx, dgate, "
                "dnorm_weight, dnorm_bias, dw1, dw2, /",
                "Gradients of gated_mlp_forward; those of the parameters are accumulated."),
    {NULL, NULL, 0, NULL},
};
