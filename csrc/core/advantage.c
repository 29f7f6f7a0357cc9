#include "advantage.h"

#include "gl_isa.h"
#include "gl_pool.h"

// Columns a task: the recursion runs down each, independent of the others.
enum { COLUMNS = 64 };

#define REAL float
#define SUFFIX f32
#include "advantage.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "advantage.tmpl.h"
