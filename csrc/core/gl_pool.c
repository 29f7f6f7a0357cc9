// Invariants: `job` is written only by the holder of `busy`, before `ticket` announces it.
// `ticket` packs a generation and the number of threads of its job in one word, so that a worker
// never pairs one job's generation with another's size. A job ends when `pending` workers have
// checked in, hence its participants always see it; the others may sleep through it.
#include "gl_pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#if defined(__x86_64__)
#define GL_PAUSE() __builtin_ia32_pause()
#else
#define GL_PAUSE() ((void)0)
#endif

// Long enough to bridge the gap between two kernels of a training step, short enough to leave
// the core to others soon.
enum { SPINS = 4000 };

static struct {
    gl_task_fn *fn;
    void *arg;
    ptrdiff_t ntasks;
    atomic_ptrdiff_t next;
    atomic_int pending;
} job;

static pthread_mutex_t busy = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t sleep_cond = PTHREAD_COND_INITIALIZER;
static pthread_cond_t done_cond = PTHREAD_COND_INITIALIZER;
static atomic_uint_fast64_t ticket;
static atomic_int sleepers;
static atomic_int threads = 1;
static int nworkers;

static void run_tasks(int worker) {
    for (;;) {
        const ptrdiff_t task = atomic_fetch_add_explicit(&job.next, 1, memory_order_relaxed);
        if (task >= job.ntasks) return;
        job.fn(job.arg, task, worker);
    }
}

static uint_fast64_t wait_ticket(uint_fast64_t seen) {
    for (int i = 0; i < SPINS; i++) {
        const uint_fast64_t t = atomic_load_explicit(&ticket, memory_order_acquire);
        if (t != seen) return t;
        GL_PAUSE();
    }
    pthread_mutex_lock(&sleep_lock);
    atomic_fetch_add(&sleepers, 1);
    uint_fast64_t t;
    while ((t = atomic_load(&ticket)) == seen) pthread_cond_wait(&sleep_cond, &sleep_lock);
    atomic_fetch_sub(&sleepers, 1);
    pthread_mutex_unlock(&sleep_lock);
    return t;
}

typedef struct {
    int worker;
    uint_fast64_t seen;
} start_info;

static start_info starts[GL_MAX_THREADS];

static void *worker_main(void *arg) {
    const start_info *start = arg;
    const int worker = start->worker;
    uint_fast64_t seen = start->seen;
    for (;;) {
        seen = wait_ticket(seen);
        if (worker >= (int)(seen & 0xff)) continue;
        run_tasks(worker);
        if (atomic_fetch_sub(&job.pending, 1) == 1) {
            pthread_mutex_lock(&sleep_lock);
            pthread_cond_signal(&done_cond);
            pthread_mutex_unlock(&sleep_lock);
        }
    }
    return NULL;
}

// Start workers until there are `want`; fewer is fine when the system refuses.
static void grow(int want) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);

    // signals belong to the threads of the program: workers inherit a mask that blocks them all
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (nworkers < want) {
        start_info *start = &starts[nworkers];
        start->worker = nworkers + 1;
        start->seen = atomic_load(&ticket);
        pthread_t id;
        if (pthread_create(&id, &attr, worker_main, start) != 0) break;
        nworkers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
}

void gl_pool_run(gl_task_fn *fn, void *arg, ptrdiff_t ntasks, int nth) {
    if (nth > ntasks) nth = (int)ntasks;
    if (nth <= 1 || pthread_mutex_trylock(&busy) != 0) {
        for (ptrdiff_t task = 0; task < ntasks; task++) fn(arg, task, 0);
        return;
    }
    if (nworkers < nth - 1) grow(nth - 1);
    nth = GL_MIN(nth, nworkers + 1);

    // announce the job
    job.fn = fn;
    job.arg = arg;
    job.ntasks = ntasks;
    atomic_store_explicit(&job.next, 0, memory_order_relaxed);
    atomic_store(&job.pending, nth - 1);
    const uint_fast64_t generation = (atomic_load(&ticket) >> 8) + 1;
    atomic_store(&ticket, generation << 8 | (uint_fast64_t)nth);
    if (atomic_load(&sleepers) > 0) {
        pthread_mutex_lock(&sleep_lock);
        pthread_cond_broadcast(&sleep_cond);
        pthread_mutex_unlock(&sleep_lock);
    }

    // work, then wait for the others
    run_tasks(0);
    for (int i = 0; i < SPINS && atomic_load_explicit(&job.pending, memory_order_acquire); i++)
        GL_PAUSE();
    if (atomic_load(&job.pending)) {
        pthread_mutex_lock(&sleep_lock);
        while (atomic_load(&job.pending)) pthread_cond_wait(&done_cond, &sleep_lock);
        pthread_mutex_unlock(&sleep_lock);
    }
    pthread_mutex_unlock(&busy);
}

int gl_pool_threads(void) { return atomic_load(&threads); }

void gl_pool_set_threads(int nth) {
    atomic_store(&threads, nth < 1 ? 1 : GL_MIN(nth, GL_MAX_THREADS));
}

// The child has only the forking thread: forget the workers and whatever lock they held.
static void reset_in_child(void) {
    nworkers = 0;
    atomic_store(&sleepers, 0);
    atomic_store(&job.pending, 0);
    pthread_mutex_init(&busy, NULL);
    pthread_mutex_init(&sleep_lock, NULL);
    pthread_cond_init(&sleep_cond, NULL);
    pthread_cond_init(&done_cond, NULL);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void install(void) { pthread_atfork(NULL, NULL, reset_in_child); }

void gl_pool_init(void) { pthread_once(&once, install); }
