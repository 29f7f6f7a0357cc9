// Steps of the gated layers against a cache.
#include "bindings.h"

#include "../core/attention.h"
#include "../core/decode.h"

static PyObject *decode_heads(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    enum { X, KEYS, VALUES, LAST, PREVIOUS, FIRST, SAMPLE, FACTOR, LENGTHS, NORM_W, NORM_B, SHIFT,
           WQKV, WO, COSINE, SINE, SCALE, EPS, COUNT };
    static const glpy_spec spec[COUNT] = {
        {"x", "BNC", GLPY_REAL, GLPY_OUT},
        {"keys", "PSD", GLPY_REAL, GLPY_OUT},
        {"values", "PSD", GLPY_REAL, GLPY_OUT},
        {"last", "BC", GLPY_REAL, GLPY_OUT},
        {"previous", "BC", GLPY_REAL, 0},
        {"first", "H", GLPY_INT64, 0},
        {"sample", "P", GLPY_INT64, 0},
        {"factor", "P", GLPY_REAL, 0},
        {"lengths", "B", GLPY_INT64, 0},
        {"norm_weight", "C", GLPY_REAL, 0},
        {"norm_bias", "C", GLPY_REAL, 0},
        {"shift", "QC", GLPY_REAL, GLPY_OPTIONAL},
        {"wqkv", "QCHD", GLPY_REAL, 0},
        {"wo", "HDC", GLPY_REAL, 0},
        {"cosine", "SR", GLPY_REAL, GLPY_OPTIONAL},
        {"sine", "SR", GLPY_REAL, GLPY_OPTIONAL},
        {"scale", NULL, GLPY_FLOAT, 0},
        {"eps", NULL, GLPY_FLOAT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "decode_heads", spec, COUNT, args, nargs) < 0) return NULL;
    const ptrdiff_t B = GLPY_DIM(c, 'B'), N = GLPY_DIM(c, 'N'), H = GLPY_DIM(c, 'H');
    const ptrdiff_t P = GLPY_DIM(c, 'P'), S = GLPY_DIM(c, 'S'), D = GLPY_DIM(c, 'D');

    // what the letters cannot say
    if (GLPY_DIM(c, 'Q') != 3)
        return PyErr_Format(PyExc_ValueError, "decode_heads: wqkv.shape[0] is %zd, expected 3",
                            GLPY_DIM(c, 'Q'));
    if ((c.data[COSINE] == NULL) != (c.data[SINE] == NULL) ||
        (c.data[COSINE] && 2*GLPY_DIM(c, 'R') != D))
        return PyErr_Format(PyExc_ValueError,
                            "decode_heads: cosine and sine are not both (S, D/2) or both None");
    const gl_result first = gl_decode_first_check(c.data[FIRST], H, P);
    const gl_result sample = gl_decode_sample_check(c.data[SAMPLE], P, B);
    const gl_result lengths = gl_lengths_check(c.data[LENGTHS], B, S - N);
    if (glpy_check(&c, first, "first", "0 to P, ascending") < 0 ||
        glpy_check(&c, sample, "sample", "0 <= sample < B") < 0 ||
        glpy_check(&c, lengths, "lengths", "0 to S - N") < 0)
        return NULL;

#define FILL(STRUCT, REAL)                                                                  \
    {.B = B, .N = N, .C = GLPY_DIM(c, 'C'), .H = H, .D = D, .P = P, .S = S,                 \
     .norm_weight = c.data[NORM_W], .norm_bias = c.data[NORM_B], .shift = c.data[SHIFT],    \
     .wqkv = c.data[WQKV], .wo = c.data[WO], .cosine = c.data[COSINE], .sine = c.data[SINE], \
     .eps = (REAL)c.num[EPS], .scale = (REAL)c.num[SCALE], .first = c.data[FIRST],          \
     .sample = c.data[SAMPLE], .factor = c.data[FACTOR], .lengths = c.data[LENGTHS],        \
     .x = c.data[X], .keys = c.data[KEYS], .values = c.data[VALUES],                        \
     .previous = c.data[PREVIOUS], .last = c.data[LAST]}
    GLPY_RUN(c, gl_decode_heads_args, gl_decode_heads, FILL);
#undef FILL
    Py_RETURN_NONE;
}

static PyObject *decode_mlp(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    enum { X, GATE, NORM_W, NORM_B, W1, W2, EPS, COUNT };
    static const glpy_spec spec[COUNT] = {
        {"x", "BNC", GLPY_REAL, GLPY_OUT},  {"gate", "B", GLPY_REAL, 0},
        {"norm_weight", "C", GLPY_REAL, 0}, {"norm_bias", "C", GLPY_REAL, 0},
        {"w1", "CF", GLPY_REAL, 0},         {"w2", "FC", GLPY_REAL, 0},
        {"eps", NULL, GLPY_FLOAT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "decode_mlp", spec, COUNT, args, nargs) < 0) return NULL;
#define FILL(STRUCT, REAL)                                                                      \
    {.B = GLPY_DIM(c, 'B'), .N = GLPY_DIM(c, 'N'), .C = GLPY_DIM(c, 'C'), .F = GLPY_DIM(c, 'F'), \
     .norm_weight = c.data[NORM_W], .norm_bias = c.data[NORM_B], .w1 = c.data[W1],              \
     .w2 = c.data[W2], .eps = (REAL)c.num[EPS], .gate = c.data[GATE], .x = c.data[X]}
    GLPY_RUN(c, gl_decode_mlp_args, gl_decode_mlp, FILL);
#undef FILL
    Py_RETURN_NONE;
}

static PyObject *decode_logits(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    enum { LOGITS, X, NORM_W, NORM_B, TABLE, EPS, COUNT };
    static const glpy_spec spec[COUNT] = {
        {"logits", "BV", GLPY_REAL, GLPY_OUT}, {"x", "BC", GLPY_REAL, 0},
        {"norm_weight", "C", GLPY_REAL, 0},    {"norm_bias", "C", GLPY_REAL, 0},
        {"table", "VC", GLPY_REAL, 0},         {"eps", NULL, GLPY_FLOAT, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "decode_logits", spec, COUNT, args, nargs) < 0) return NULL;
#define FILL(STRUCT, REAL)                                                                   \
    {.B = GLPY_DIM(c, 'B'), .C = GLPY_DIM(c, 'C'), .V = GLPY_DIM(c, 'V'),                    \
     .norm_weight = c.data[NORM_W], .norm_bias = c.data[NORM_B], .table = c.data[TABLE],     \
     .eps = (REAL)c.num[EPS], .x = c.data[X], .logits = c.data[LOGITS]}
    GLPY_RUN(c, gl_decode_logits_args, gl_decode_logits, FILL);
#undef FILL
    Py_RETURN_NONE;
}

PyMethodDef glpy_decode_methods[] = {
    GLPY_METHOD(decode_heads,
                "x, keys, values, last, previous, first, sample, factor, lengths, norm_weight, "
                "norm_bias, shift, wqkv, wo, cosine, sine, scale, eps, /",
                "New positions of the gated multi-head layer against cached keys and values."),
    GLPY_METHOD(decode_mlp, "x, gate, norm_weight, norm_bias, w1, w2, eps, /",
                "New positions of the gated MLP layer, which is added to x."),
    GLPY_METHOD(decode_logits, "logits, x, norm_weight, norm_bias, table, eps, /",
                "Logits of the normalised rows of x; the same bits for one row and for many."),
    {NULL, NULL, 0, NULL},
};
