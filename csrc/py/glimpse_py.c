#include "bindings.h"

#include "../core/gl_pool.h"
#include "../core/glimpse.h"

// What the letters alone do not say; `patches` and `locations` are the arguments' numbers.
static int check_sizes(const glpy_call *c, int patches, int locations) {
    if (GLPY_DIM(*c, 'D') != 2) return glpy_refuse_size(c, locations, 2, "2");
    if (GLPY_DIM(*c, 'S') > GL_GLIMPSE_SCALES)
        return glpy_refuse_size(c, patches, 2, "at most S = %d", (int)GL_GLIMPSE_SCALES);
    const ptrdiff_t Q = gl_size_mul(GLPY_DIM(*c, 'C'), GLPY_DIM(*c, 'P'));
    if (GLPY_DIM(*c, 'Q') != Q) return glpy_refuse_size(c, patches, 3, "C times P = %zd", Q);
    return 0;
}

static void *workspace(const glpy_call *c, int nth) {
    return glpy_workspace(c, c->is_f32 ? gl_glimpse_workspace_f32(GLPY_DIM(*c, 'W'), nth)
                                       : gl_glimpse_workspace_f64(GLPY_DIM(*c, 'W'), nth));
}

static PyObject *glimpse_forward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                 Py_ssize_t nargs) {
    enum { PATCHES, IMAGES, LOCATIONS, N };
    static const glpy_spec spec[N] = {
        {"patches", "BNSQP", GLPY_REAL, GLPY_OUT},
        {"images", "BCHW", GLPY_REAL, 0},
        {"locations", "BND", GLPY_REAL, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "glimpse_forward", spec, N, args, nargs) < 0) return NULL;
    if (check_sizes(&c, PATCHES, LOCATIONS) < 0) return NULL;
    const int nth = gl_pool_threads();
    void *work = workspace(&c, nth);
    if (work == NULL) return NULL;

    gl_result r;
    Py_BEGIN_ALLOW_THREADS
    r = GLPY_DISPATCH(c, gl_glimpse_forward, c.data[PATCHES], c.data[IMAGES], c.data[LOCATIONS],
                      work, GLPY_DIM(c, 'B'), GLPY_DIM(c, 'N'), GLPY_DIM(c, 'S'), GLPY_DIM(c, 'C'),
                      GLPY_DIM(c, 'H'), GLPY_DIM(c, 'W'), GLPY_DIM(c, 'P'), nth);
    Py_END_ALLOW_THREADS
    return glpy_return(&c, r, "locations", "finite numbers, also in pixels");
}

static PyObject *glimpse_backward(PyObject *Py_UNUSED(mod), PyObject *const *args,
                                  Py_ssize_t nargs) {
    enum { DIMAGES, DPATCHES, LOCATIONS, N };
    static const glpy_spec spec[N] = {
        {"dimages", "BCHW", GLPY_REAL, GLPY_OUT},
        {"dpatches", "BNSQP", GLPY_REAL, 0},
        {"locations", "BND", GLPY_REAL, 0},
    };
    glpy_call c;
    if (glpy_parse(&c, "glimpse_backward", spec, N, args, nargs) < 0) return NULL;
    if (check_sizes(&c, DPATCHES, LOCATIONS) < 0) return NULL;
    const int nth = gl_pool_threads();
    void *work = workspace(&c, nth);
    if (work == NULL) return NULL;

    gl_result r;
    Py_BEGIN_ALLOW_THREADS
    r = GLPY_DISPATCH(c, gl_glimpse_backward, c.data[DIMAGES], c.data[DPATCHES], c.data[LOCATIONS],
                      work, GLPY_DIM(c, 'B'), GLPY_DIM(c, 'N'), GLPY_DIM(c, 'S'), GLPY_DIM(c, 'C'),
                      GLPY_DIM(c, 'H'), GLPY_DIM(c, 'W'), GLPY_DIM(c, 'P'), nth);
    Py_END_ALLOW_THREADS
    return glpy_return(&c, r, "locations", "finite numbers, also in pixels");
}

PyMethodDef glpy_glimpse_methods[] = {
    GLPY_METHOD(glimpse_forward, "patches, images, locations, /",
                "Patches (B, N, S, C P, P) of images (B, C, H, W) at locations (B, N, 2)."),
    GLPY_METHOD(glimpse_backward, "dimages, dpatches, locations, /",
                "Add the gradient of glimpse_forward with respect to the images to dimages."),
    {NULL, NULL, 0, NULL},
};
