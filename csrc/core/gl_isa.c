#include "gl_isa.h"

#include <string.h>

const gl_isa *gl_isa_active = &gl_isa_baseline;

gl_status gl_isa_select(const char *name) {
    const gl_isa *found[3];
    int n = 0;
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        found[n++] = &gl_isa_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found[n++] = &gl_isa_avx2;
#endif
    found[n++] = &gl_isa_baseline;
    for (int i = 0; i < n; i++) {
        if (name == NULL || strcmp(name, found[i]->name) == 0) {
            gl_isa_active = found[i];
            return GL_OK;
        }
    }
    return GL_EVALUE;
}
