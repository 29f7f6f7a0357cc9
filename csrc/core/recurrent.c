#include "recurrent.h"

#include <string.h>

#include "gl_isa.h"
#include "gl_pool.h"
#include "linear.h"

// Columns of a task that transposes.
enum { COLUMNS = 16 };

// Samples a task, by their number alone: few make more tasks, and hardly a slower product.
static ptrdiff_t block_rows(ptrdiff_t B) { return B >= 64 ? 16 : 8; }

#define REAL float
#define SUFFIX f32
#include "recurrent.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "recurrent.tmpl.h"
