#include "categorical.h"

#include "gl_isa.h"
#include "gl_pool.h"

// Elements a task, at least one row.
enum { ELEMENTS = 4096 };

#define REAL float
#define SUFFIX f32
#include "categorical.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "categorical.tmpl.h"
