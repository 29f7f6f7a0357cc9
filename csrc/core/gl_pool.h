// A small pool of POSIX threads.
//
// Work is cut into tasks whose number and content never depend on the number of threads; which
// thread runs which task is left open. So results are the same bits on one thread and on sixteen.
#ifndef GL_POOL_H
#define GL_POOL_H

#include "gl_common.h"

enum { GL_MAX_THREADS = 128 };

// One task. `worker` is in [0, nth) and names the slice of scratch that the task may use.
typedef void gl_task_fn(void *arg, ptrdiff_t task, int worker);

// Run tasks 0 .. ntasks-1 on at most nth threads, the caller among them, and wait for the last.
// Where the pool is busy with another caller's work, all tasks run on the calling thread.
void gl_pool_run(gl_task_fn *fn, void *arg, ptrdiff_t ntasks, int nth);

// The number of threads that callers should pass as nth, in [1, GL_MAX_THREADS].
int gl_pool_threads(void);
void gl_pool_set_threads(int nth);

// Install the fork handler; call once before the first run. A forked child starts without workers.
void gl_pool_init(void);

#endif
