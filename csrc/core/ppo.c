#include "ppo.h"

#include "gl_isa.h"
#include "gl_pool.h"

// Rows a task, and tasks at most: both depend on B alone, so that sums have one order.
enum { ROWS = 1024, TASKS = 64 };

static ptrdiff_t task_rows(ptrdiff_t B) { return GL_MAX(ROWS, GL_CEIL_DIV(B, TASKS)); }

#define REAL float
#define SUFFIX f32
#include "ppo.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "ppo.tmpl.h"
