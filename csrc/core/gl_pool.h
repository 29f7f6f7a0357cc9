// A small pool of POSIX threads.
//
// Work is cut into tasks whose number and content never depend on the number of threads; which
// thread runs which task is left open. So results are the same bits on one thread and on sixteen.
#ifndef GL_POOL_H
#define GL_POOL_H

#include "gl_common.h"

#include <stdatomic.h>

enum { GL_MAX_THREADS = 128 };

// One task. `worker` is in [0, nth) and names the slice of scratch that the task may use.
typedef void gl_task_fn(void *arg, ptrdiff_t task, int worker);

// Run tasks 0 .. ntasks-1 on at most nth threads, the caller among them, and wait for the last.
// Where the pool is busy with another caller's work, all tasks run on the calling thread.
void gl_pool_run(gl_task_fn *fn, void *arg, ptrdiff_t ntasks, int nth);

// Rows of a task of about so many values, at least one.
static inline ptrdiff_t gl_task_rows(ptrdiff_t values, ptrdiff_t width) {
    return GL_MAX(1, values / GL_MAX(1, width));
}

// A task over rows (B, K) of a job that has `rows` a task: first row, number of rows, first value.
#define GL_TASK_ROWS(JOB)                                                                   \
    JOB *j = arg;                                                                           \
    const ptrdiff_t i = task * j->rows, n = GL_MIN(j->rows, j->B - i), at = i * j->K;       \
    (void)worker

// The lowest row that any task refused, with its status, in one word.
typedef struct {
    atomic_ptrdiff_t key;
} gl_refused;

#define GL_NONE_REFUSED {PTRDIFF_MAX}

// Note what a task over rows first, first + 1, ... returned.
static inline void gl_refuse(gl_refused *refused, ptrdiff_t first, gl_result result) {
    if (result.status == GL_OK) return;
    const ptrdiff_t key = (first + result.row) * 8 + (ptrdiff_t)result.status;
    ptrdiff_t seen = atomic_load_explicit(&refused->key, memory_order_relaxed);
    while (key < seen && !atomic_compare_exchange_weak(&refused->key, &seen, key)) continue;
}

static inline gl_result gl_refused_result(gl_refused *refused) {
    const ptrdiff_t key = atomic_load(&refused->key);
    return key == PTRDIFF_MAX ? gl_ok() : (gl_result){(gl_status)(key % 8), key / 8};
}

// The number of threads that callers should pass as nth, in [1, GL_MAX_THREADS].
int gl_pool_threads(void);
void gl_pool_set_threads(int nth);

// Install the fork handler; call once before the first run. A forked child starts without workers.
void gl_pool_init(void);

#endif
