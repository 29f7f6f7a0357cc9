// gatelearn._core: the module, its settings, and the tables of all topics.
#include "bindings.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "../core/gl_blas.h"
#include "../core/gl_isa.h"
#include "../core/gl_pool.h"

static PyObject *get_num_threads(PyObject *Py_UNUSED(mod), PyObject *Py_UNUSED(none)) {
    return PyLong_FromLong(gl_pool_threads());
}

static PyObject *set_num_threads(PyObject *Py_UNUSED(mod), PyObject *arg) {
    if (!PyIndex_Check(arg))
        return PyErr_Format(PyExc_TypeError, "set_num_threads: n is %.100s, expected an integer",
                            Py_TYPE(arg)->tp_name);
    const Py_ssize_t n = PyNumber_AsSsize_t(arg, NULL);  // a larger number becomes the largest
    if (n == -1 && PyErr_Occurred()) return NULL;
    if (n < 1 || n > GL_MAX_THREADS)
        return PyErr_Format(PyExc_ValueError, "set_num_threads: n is %S, expected 1 to %d", arg,
                            (int)GL_MAX_THREADS);
    gl_pool_set_threads((int)n);
    Py_RETURN_NONE;
}

static PyObject *get_isa(PyObject *Py_UNUSED(mod), PyObject *Py_UNUSED(none)) {
    return PyUnicode_FromString(gl_isa_active->name);
}

#ifndef GATELEARN_DEFAULT_BLAS
#define GATELEARN_DEFAULT_BLAS "none"
#endif

static PyObject *default_blas(PyObject *Py_UNUSED(mod), PyObject *Py_UNUSED(none)) {
    return PyUnicode_FromString(GATELEARN_DEFAULT_BLAS);
}

static void *lookup(void *library, const char *prefix, const char *name) {
    char symbol[64];
    PyOS_snprintf(symbol, sizeof symbol, "%s%s", prefix, name);
    return dlsym(library, symbol);
}

// The library stays open for the life of the process: its threads may outlive any module.
static PyObject *load_blas(PyObject *Py_UNUSED(mod), PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 2)
        return PyErr_Format(PyExc_TypeError, "load_blas: takes 2 arguments, %zd given", nargs);
    const char *path = PyUnicode_AsUTF8(args[0]), *prefix = PyUnicode_AsUTF8(args[1]);
    if (path == NULL || prefix == NULL) return NULL;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return PyErr_Format(PyExc_ImportError, "the BLAS library cannot be opened: %s", dlerror());

    gl_blas_table table = {NULL, NULL};
    *(void **)&table.sgemm = lookup(library, prefix, "cblas_sgemm");
    *(void **)&table.dgemm = lookup(library, prefix, "cblas_dgemm");
    void (*limit)(int) = NULL;
    *(void **)&limit = lookup(library, prefix, "openblas_set_num_threads");
    char *(*config)(void) = NULL;
    *(void **)&config = lookup(library, prefix, "openblas_get_config");
    if (table.sgemm == NULL || table.dgemm == NULL || limit == NULL || config == NULL) {
        dlclose(library);
        return PyErr_Format(PyExc_ImportError, "%s is not an OpenBLAS with prefix '%s'", path,
                            prefix);
    }
    limit(1);
    gl_blas_set(table);
    return PyUnicode_FromString(config());
}

static PyMethodDef core_methods[] = {
    {"get_num_threads", get_num_threads, METH_NOARGS,
     "get_num_threads()\n--\n\nThreads that a kernel may use."},
    {"set_num_threads", set_num_threads, METH_O,
     "set_num_threads(n, /)\n--\n\nSet how many threads a kernel may use."},
    {"get_isa", get_isa, METH_NOARGS, "get_isa()\n--\n\nName of the instruction set in use."},
    {"default_blas", default_blas, METH_NOARGS,
     "default_blas()\n--\n\nThe BLAS that the module was built for: vendored, system or none."},
    GLPY_METHOD(load_blas, "path, prefix, /",
                "Open an OpenBLAS for the products, hold it at one thread, return its description."),
    {NULL, NULL, 0, NULL},
};

static int core_exec(PyObject *mod) {
    if (glpy_import_numpy() < 0) return -1;
    const char *isa = getenv("GATELEARN_ISA");
    if (gl_isa_select(isa && *isa ? isa : NULL) != GL_OK) {
        PyErr_Format(PyExc_ImportError,
                     "GATELEARN_ISA is '%s', expected baseline, avx2 or avx512 as this processor has",
                     isa);
        return -1;
    }
    gl_pool_init();
    PyMethodDef *tables[] = {
        core_methods,
        glpy_attention_methods,
        glpy_additive_methods,
        glpy_gated_methods,
        glpy_activation_methods,
        glpy_advantage_methods,
        glpy_bernoulli_methods,
        glpy_categorical_methods,
        glpy_combiner_methods,
        glpy_conv_methods,
        glpy_decode_methods,
        glpy_embedding_methods,
        glpy_gaussian_methods,
        glpy_glimpse_methods,
        glpy_hard_methods,
        glpy_linear_methods,
        glpy_loss_methods,
        glpy_norm_methods,
        glpy_optim_methods,
        glpy_plackett_luce_methods,
        glpy_position_methods,
        glpy_ppo_methods,
        glpy_recurrent_methods,
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (PyModule_AddFunctions(mod, tables[i]) < 0) return -1;
    return 0;
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030d0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "gatelearn._core",
    .m_doc = "The C core of gatelearn: strict kernels over NumPy arrays.",
    .m_slots = core_slots,
};

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&core_module); }
