// Invariants: `job` is written only by the holder of `busy`, and only while no worker is in it.
// One word, `state`, says which job it is (a generation), whether it may still be joined, on how many
// threads, and how many workers are in it. A worker joins by counting itself in while the job is
// open; the caller closes the job when no task is left and waits for those inside only, so a worker
// that wakes late holds nobody up.
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
} job;

// generation << 32 | OPEN | threads << 16 | workers inside
static atomic_uint_fast64_t state;
#define OPEN ((uint_fast64_t)1 << 31)
#define GENERATION(s) ((s) >> 32)
#define THREADS(s) ((int)((s) >> 16 & 0xff))
#define INSIDE(s) ((s) & 0xffff)

static pthread_mutex_t busy = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t sleep_cond = PTHREAD_COND_INITIALIZER;
static pthread_cond_t done_cond = PTHREAD_COND_INITIALIZER;
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

// The state once its generation differs from `seen`.
static uint_fast64_t wait_job(uint_fast64_t seen) {
    uint_fast64_t s;
    for (int i = 0; i < SPINS; i++) {
        s = atomic_load_explicit(&state, memory_order_acquire);
        if (GENERATION(s) != seen) return s;
        GL_PAUSE();
    }
    pthread_mutex_lock(&sleep_lock);
    atomic_fetch_add(&sleepers, 1);
    while (GENERATION(s = atomic_load(&state)) == seen) pthread_cond_wait(&sleep_cond, &sleep_lock);
    atomic_fetch_sub(&sleepers, 1);
    pthread_mutex_unlock(&sleep_lock);
    return s;
}

// Count in, unless the job is over or another.
static int join(uint_fast64_t generation) {
    uint_fast64_t s = atomic_load(&state);
    while (GENERATION(s) == generation && (s & OPEN))
        if (atomic_compare_exchange_weak(&state, &s, s + 1)) return 1;
    return 0;
}

static void leave(void) {
    const uint_fast64_t before = atomic_fetch_sub(&state, 1);
    if (INSIDE(before) > 1 || (before & OPEN)) return;
    pthread_mutex_lock(&sleep_lock);
    pthread_cond_signal(&done_cond);
    pthread_mutex_unlock(&sleep_lock);
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
        const uint_fast64_t s = wait_job(seen);
        seen = GENERATION(s);
        if (worker >= THREADS(s) || !join(seen)) continue;
        run_tasks(worker);
        leave();
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
        start->seen = GENERATION(atomic_load(&state));
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
    const uint_fast64_t generation = (GENERATION(atomic_load(&state)) + 1) & UINT32_MAX;
    atomic_store(&state, generation << 32 | OPEN | (uint_fast64_t)nth << 16);
    if (atomic_load(&sleepers) > 0) {
        pthread_mutex_lock(&sleep_lock);
        pthread_cond_broadcast(&sleep_cond);
        pthread_mutex_unlock(&sleep_lock);
    }

    // work, close, wait for those inside
    run_tasks(0);
    atomic_fetch_and(&state, ~OPEN);
    for (int i = 0; i < SPINS && INSIDE(atomic_load_explicit(&state, memory_order_acquire)); i++)
        GL_PAUSE();
    if (INSIDE(atomic_load(&state))) {
        pthread_mutex_lock(&sleep_lock);
        while (INSIDE(atomic_load(&state))) pthread_cond_wait(&done_cond, &sleep_lock);
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
    atomic_store(&state, 0);
    pthread_mutex_init(&busy, NULL);
    pthread_mutex_init(&sleep_lock, NULL);
    pthread_cond_init(&sleep_cond, NULL);
    pthread_cond_init(&done_cond, NULL);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void install(void) { pthread_atfork(NULL, NULL, reset_in_child); }

void gl_pool_init(void) { pthread_once(&once, install); }
