#include "bindings.h"

#include "../core/warp.h"

// Refuse images without pixels and flows that have not two parts; -1 with an exception.
static int check_sizes(const glpy_call *c, int image, int flow) {
    if (GLPY_DIM(*c, 'H') < 1) return glpy_refuse_size(c, image, 2, "at least 1");
    if (GLPY_DIM(*c, 'W') < 1) return glpy_refuse_size(c, image, 3, "at least 1");
    if (GLPY_DIM(*c, 'D') != 2) return glpy_refuse_size(c, flow, 1, "2");
    return 0;
}

static PyObject *warp_forward(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    enum { Y, IMAGE, FLOW, N };
    static const glpy_spec spec[N] = {
        {"y", "BCHW", GLPY_REAL, GLPY_OUT},
        {"image", "BCHW", GLPY_REAL, 0},
        {"flow", "BDHW", GLPY_REAL, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "warp_forward", spec, N, args, nargs) < 0) return NULL;
    if (check_sizes(&c, IMAGE, FLOW) < 0) return NULL;

    gl_result r;
    Py_BEGIN_ALLOW_THREADS
    r = GLPY_DISPATCH(c, gl_warp_forward, c.data[Y], c.data[IMAGE], c.data[FLOW],
                      GLPY_DIM(c, 'B'), GLPY_DIM(c, 'C'), GLPY_DIM(c, 'H'), GLPY_DIM(c, 'W'),
                      gl_pool_threads());
    Py_END_ALLOW_THREADS
    return glpy_return(&c, r, "flow", "finite numbers");
}

static PyObject *warp_backward(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    enum { DIMAGE, DFLOW, DY, IMAGE, FLOW, N };
    static const glpy_spec spec[N] = {
        {"dimage", "BCHW", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dflow", "BDHW", GLPY_REAL, GLPY_OUT | GLPY_OPTIONAL},
        {"dy", "BCHW", GLPY_REAL, 0},
        {"image", "BCHW", GLPY_REAL, 0},
        {"flow", "BDHW", GLPY_REAL, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "warp_backward", spec, N, args, nargs) < 0) return NULL;
    if (check_sizes(&c, IMAGE, FLOW) < 0) return NULL;

    gl_result r;
    Py_BEGIN_ALLOW_THREADS
    r = GLPY_DISPATCH(c, gl_warp_backward, c.data[DIMAGE], c.data[DFLOW], c.data[DY],
                      c.data[IMAGE], c.data[FLOW], GLPY_DIM(c, 'B'), GLPY_DIM(c, 'C'),
                      GLPY_DIM(c, 'H'), GLPY_DIM(c, 'W'), gl_pool_threads());
    Py_END_ALLOW_THREADS
    return glpy_return(&c, r, "flow", "finite numbers");
}

PyMethodDef glpy_warp_methods[] = {
    GLPY_METHOD(warp_forward, "y, image, flow, /",
                "y (B, C, H, W): each pixel of image sampled where flow (B, 2, H, W) says."),
    GLPY_METHOD(warp_backward, "dimage, dflow, dy, image, flow, /",
                "Gradients of warp_forward; those that are None are not computed."),
    {NULL, NULL, 0, NULL},
};
