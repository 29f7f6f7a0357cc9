// The method tables that make up gatelearn._core, one a topic.
#ifndef GLPY_BINDINGS_H
#define GLPY_BINDINGS_H

#include "glpy.h"

#include "../core/gl_pool.h"

#define GLPY_METHOD(name, signature, doc)                                                     \
    {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, #name "(" signature ")\n--\n\n" doc}

// Run one pass of either type on a workspace: FILL sets the struct, FN names the pass.
#define GLPY_RUN(c, STRUCT, FN, FILL) GLPY_RUN_TO(, c, STRUCT, FN, FILL)

// The same of a pass that returns something: TO is `result =`.
#define GLPY_RUN_TO(TO, c, STRUCT, FN, FILL)                                                 \
    do {                                                                                     \
        const int nth = gl_pool_threads();                                                   \
        const STRUCT##_f32 a32 = FILL(STRUCT##_f32, float);                                  \
        const STRUCT##_f64 a64 = FILL(STRUCT##_f64, double);                                 \
        void *work = glpy_workspace(&(c), (c).is_f32 ? FN##_workspace_f32(&a32, nth)         \
                                                     : FN##_workspace_f64(&a64, nth));       \
        if (work == NULL) return NULL;                                                       \
        Py_BEGIN_ALLOW_THREADS                                                               \
        if ((c).is_f32)                                                                      \
            TO FN##_f32(&a32, work, nth);                                                    \
        else                                                                                 \
            TO FN##_f64(&a64, work, nth);                                                    \
        Py_END_ALLOW_THREADS                                                                 \
    } while (0)

extern PyMethodDef glpy_attention_methods[];
extern PyMethodDef glpy_additive_methods[];
extern PyMethodDef glpy_gated_methods[];
extern PyMethodDef glpy_activation_methods[];
extern PyMethodDef glpy_advantage_methods[];
extern PyMethodDef glpy_bernoulli_methods[];
extern PyMethodDef glpy_categorical_methods[];
extern PyMethodDef glpy_combiner_methods[];
extern PyMethodDef glpy_conv_methods[];
extern PyMethodDef glpy_decode_methods[];
extern PyMethodDef glpy_embedding_methods[];
extern PyMethodDef glpy_gaussian_methods[];
extern PyMethodDef glpy_glimpse_methods[];
extern PyMethodDef glpy_hard_methods[];
extern PyMethodDef glpy_linear_methods[];
extern PyMethodDef glpy_loss_methods[];
extern PyMethodDef glpy_norm_methods[];
extern PyMethodDef glpy_optim_methods[];
extern PyMethodDef glpy_plackett_luce_methods[];
extern PyMethodDef glpy_position_methods[];
extern PyMethodDef glpy_ppo_methods[];
extern PyMethodDef glpy_recurrent_methods[];

#endif
