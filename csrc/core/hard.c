#include "hard.h"

#include "gl_isa.h"
#include "gl_pool.h"

#include <string.h>

// Tasks, at least, where keys suffice; keys of a task go by the KEYS. Scores of a block of queries,
// but for FEWEST queries at least.
enum { TASKS = 8, KEYS = 2048, SCORES = 65536, FEWEST = 16 };

// Queries of a block.
static ptrdiff_t block_rows(ptrdiff_t Tq, ptrdiff_t Tk) {
    const ptrdiff_t fit = GL_MAX(FEWEST, SCORES / GL_MAX(Tk, 1));
    return GL_MIN(Tq, GL_MIN(fit, GL_HARD_ROWS));
}

// Keys of a task, where `pieces` share their number.
static ptrdiff_t part_length(ptrdiff_t pieces, ptrdiff_t Tk) {
    const ptrdiff_t parts = GL_CEIL_DIV(TASKS, GL_MAX(pieces, 1));
    return GL_MAX(GL_CEIL_DIV(GL_CEIL_DIV(Tk, parts), KEYS), 1) * KEYS;
}

#define REAL float
#define SUFFIX f32
#include "hard.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "hard.tmpl.h"
