#include "bindings.h"

#include "../core/recurrent.h"

// Arguments that forward and backward have in common stand first, in this order.
enum { X, FIRST, LENGTHS, WX, WH, RELU, REVERSE, Y, TRACE, COMMON };

#define COMMON_SPEC                                       \
    {"x", "BTI", GLPY_REAL, 0},                           \
    {"first", "BSH", GLPY_REAL, 0},                       \
    {"lengths", "B", GLPY_INT64, GLPY_OPTIONAL},          \
    {"wx", "IGH", GLPY_REAL, 0},                          \
    {"wh", "HGH", GLPY_REAL, 0},                          \
    {"relu", NULL, GLPY_FLAG, 0},                         \
    {"reverse", NULL, GLPY_FLAG, 0}

#define SHARED_FIELDS                                                                           \
    .B = GLPY_DIM(c, 'B'), .T = GLPY_DIM(c, 'T'), .I = GLPY_DIM(c, 'I'), .H = GLPY_DIM(c, 'H'), \
    .G = GLPY_DIM(c, 'G'), .relu = (int)c.integer[RELU], .reverse = (int)c.integer[REVERSE],    \
    .lengths = c.data[LENGTHS], .wx = c.data[WX], .wh = c.data[WH], .x = c.data[X],             \
    .first = c.data[FIRST], .y = c.data[Y], .trace = c.data[TRACE]

// An argument that some cells have and others have not.
static int check_given(const glpy_call *c, int i, int wanted) {
    if (wanted == (c->data[i] != NULL)) return 0;
    PyErr_Format(PyExc_ValueError, "%s: %s is %s", c->function, c->spec[i].name,
                 wanted ? "None, expected a NumPy array" : "an array, expected None");
    return -1;
}

// What the letters cannot say: the number of gates tells the cell. `hidden` is bias_hidden or its
// gradient.
static int check_cell(const glpy_call *c, int hidden) {
    const ptrdiff_t G = GLPY_DIM(*c, 'G'), S = GLPY_DIM(*c, 'S'), U = GLPY_DIM(*c, 'U');
    if (G != 1 && G != 3 && G != 4) return glpy_refuse_size(c, WX, 1, "1, 3 or 4");
    const int states = G == 4 ? 2 : 1;
    if (S != states) return glpy_refuse_size(c, FIRST, 1, "S = %d", states);
    if (check_given(c, hidden, G == 3) < 0 || check_given(c, TRACE, G != 1) < 0) return -1;
    if (G != 1 && U != G + 1) return glpy_refuse_size(c, TRACE, 2, "U = %zd", G + 1);
    if (glpy_check_blas_dims(c) < 0 || glpy_check_lengths(c, LENGTHS, 'T', "0 to T") < 0) return -1;
    const ptrdiff_t rows = gl_size_mul(GLPY_DIM(*c, 'B'), GLPY_DIM(*c, 'T'));
    if (glpy_check_blas_size(c, "B * T", rows) < 0) return -1;
    return glpy_check_blas_size(c, "(G + 1) * H", gl_size_mul(G + 1, GLPY_DIM(*c, 'H')));
}

static PyObject *recurrent_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                   Py_ssize_t nargs) {
    enum { BIAS = COMMON, BIAS_HIDDEN, LAST, N };
    static const glpy_spec spec[N] = {
        COMMON_SPEC,
        {"y", "BTH", GLPY_REAL, GLPY_OUT},
        {"trace", "BTUH", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"bias", "GH", GLPY_REAL, 0},
        {"bias_hidden", "H", GLPY_REAL, GLPY_OPTIONAL},
        {"last", "BSH", GLPY_REAL, GLPY_OUT},
    };
    glpy_call c;
    if (glpy_parse(&c, "recurrent_forward", spec, N, args, nargs) < 0) return NULL;
    if (check_cell(&c, BIAS_HIDDEN) < 0) return NULL;
#define FORWARD(STRUCT, REAL)                                                              \
    {SHARED_FIELDS, .bias = c.data[BIAS], .bias_hidden = c.data[BIAS_HIDDEN], .last = c.data[LAST]}
    GLPY_RUN(c, gl_recurrent, gl_recurrent_forward, FORWARD);
#undef FORWARD
    Py_RETURN_NONE;
}

static PyObject *recurrent_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                    Py_ssize_t nargs) {
    enum { DY = COMMON, DLAST, DX, DFIRST, DWX, DWH, DBIAS, DBIAS_HIDDEN, N };
    static const glpy_spec spec[N] = {
        COMMON_SPEC,
        {"y", "BTH", GLPY_REAL, 0},
        {"trace", "BTUH", GLPY_REAL, GLPY_OPTIONAL},
        {"dy", "BTH", GLPY_REAL, GLPY_OPTIONAL},
        {"dlast", "BSH", GLPY_REAL, GLPY_OPTIONAL},
        {"dx", "BTI", GLPY_REAL, GLPY_OUT},
        {"dfirst", "BSH", GLPY_REAL, GLPY_OUT},
        {"dwx", "IGH", GLPY_REAL, GLPY_OUT},
        {"dwh", "HGH", GLPY_REAL, GLPY_OUT},
        {"dbias", "GH", GLPY_REAL, GLPY_OUT},
        {"dbias_hidden", "H", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
    };
    glpy_call c;
    if (glpy_parse(&c, "recurrent_backward", spec, N, args, nargs) < 0) return NULL;
    if (check_cell(&c, DBIAS_HIDDEN) < 0) return NULL;
#define BACKWARD(STRUCT, REAL)                                                             \
    {SHARED_FIELDS, .dy = c.data[DY], .dlast = c.data[DLAST], .dx = c.data[DX],            \
     .dfirst = c.data[DFIRST], .dwx = c.data[DWX], .dwh = c.data[DWH], .dbias = c.data[DBIAS], \
     .dbias_hidden = c.data[DBIAS_HIDDEN]}
    GLPY_RUN(c, gl_recurrent, gl_recurrent_backward, BACKWARD);
#undef BACKWARD
    Py_RETURN_NONE;
}

PyMethodDef glpy_recurrent_methods[] = {
    GLPY_METHOD(recurrent_forward,
                "x, first, lengths, wx, wh, relu, reverse, y, trace, bias, bias_hidden, last, /",
                "An RNN, GRU or LSTM, as wx has 1, 3 or 4 gates; bias_hidden is the GRU's alone."),
    GLPY_METHOD(recurrent_backward,
                "x, first, lengths, wx, wh, relu, reverse, y, trace, dy, dlast, dx, dfirst, dwx, "
                "dwh, dbias, dbias_hidden, /",
                "Gradients of recurrent_forward; those of the parameters are accumulated."),
    {NULL, NULL, 0, NULL},
};
