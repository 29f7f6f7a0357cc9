// The method tables that make up gatelearn._core, one a topic.
#ifndef GLPY_BINDINGS_H
#define GLPY_BINDINGS_H

#include "glpy.h"

#define GLPY_METHOD(name, signature, doc)                                                     \
    {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, #name "(" signature ")\n--\n\n" doc}

extern PyMethodDef glpy_attention_methods[];
extern PyMethodDef glpy_gated_methods[];
extern PyMethodDef glpy_activation_methods[];
extern PyMethodDef glpy_advantage_methods[];
extern PyMethodDef glpy_bernoulli_methods[];
extern PyMethodDef glpy_categorical_methods[];
extern PyMethodDef glpy_decode_methods[];
extern PyMethodDef glpy_embedding_methods[];
extern PyMethodDef glpy_linear_methods[];
extern PyMethodDef glpy_loss_methods[];
extern PyMethodDef glpy_norm_methods[];
extern PyMethodDef glpy_optim_methods[];
extern PyMethodDef glpy_ppo_methods[];

#endif
