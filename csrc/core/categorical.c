#include "categorical.h"

#include "gl_isa.h"
#include "gl_pool.h"

// Elements a task, at least one row.
enum { ELEMENTS = 4096 };

static ptrdiff_t task_rows(ptrdiff_t K) { return GL_MAX(1, ELEMENTS / GL_MAX(1, K)); }

#define REAL float
#define SUFFIX f32
#include "categorical.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "categorical.tmpl.h"
