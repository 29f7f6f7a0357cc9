// The table of hot kernels, one copy an instruction set.
//
// A topic's hot loops live in <topic>_kernels.tmpl.h. Each isa_<name>.c compiles all of them for
// one instruction set and fills one gl_isa; the best that the processor has is chosen once, at
// import. Drivers (<topic>.tmpl.h) cut work into tasks and reach a kernel as GL_K(name).
#ifndef GL_ISA_H
#define GL_ISA_H

#include "additive.h"
#include "attention.h"
#include "combiner.h"
#include "gl_common.h"
#include "hard.h"

// Accumulators of a sum, on every instruction set: so many values are computed side by side.
#define LANES 16

#define REAL float
#define SUFFIX f32
#include "gl_isa.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "gl_isa.tmpl.h"
#undef REAL
#undef SUFFIX

typedef struct {
    const char *name;
    gl_kernels_f32 f32;
    gl_kernels_f64 f64;
} gl_isa;

extern const gl_isa gl_isa_baseline;
#ifdef __x86_64__
extern const gl_isa gl_isa_avx2;
extern const gl_isa gl_isa_avx512;
#endif

// The instruction set in use.
extern const gl_isa *gl_isa_active;

// Choose an instruction set by name, or the best one where name is NULL. GL_EVALUE where the name
// is unknown or the processor lacks it; the choice is then unchanged.
gl_status gl_isa_select(const char *name);

#define GL_K(kernel) (gl_isa_active->SUFFIX.kernel)

#endif
