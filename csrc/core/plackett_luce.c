#include "plackett_luce.h"

#include "gl_isa.h"
#include "gl_pool.h"

#include <math.h>
#include <string.h>

// Elements a task, at least one row.
enum { ELEMENTS = 4096 };

// The choices that are left, as max(x) and sum(exp(x - max)) over them; -inf and 0 for none.
typedef struct {
    double max, sum;
} choices_left;

// Put a choice back. Where it is the largest, the sum is scaled to it.
static choices_left put_back(choices_left s, double x) {
    if (x > s.max) return (choices_left){x, s.sum * exp(s.max - x) + 1};
    if (x == -(double)INFINITY) return s;
    return (choices_left){s.max, s.sum + exp(x - s.max)};
}

static int comes_before(const double *score, int64_t a, int64_t b) {
    return score[a] > score[b] || (score[a] == score[b] && a < b);
}

// Make a heap with the last in order on top, where only item i may be too high.
static void sift_down(int64_t *heap, ptrdiff_t i, ptrdiff_t n, const double *score) {
    const int64_t moved = heap[i];
    for (ptrdiff_t child; (child = 2*i + 1) < n; i = child) {
        if (child + 1 < n && comes_before(score, heap[child], heap[child + 1])) child++;
        if (!comes_before(score, moved, heap[child])) break;
        heap[i] = heap[child];
    }
    heap[i] = moved;
}

// The R highest of K scores, in order: a heap of the best so far, then sorted in place.
static void rank_highest(int64_t *ranking, const double *score, ptrdiff_t K, ptrdiff_t R) {
    for (ptrdiff_t r = 0; r < R; r++) ranking[r] = r;
    for (ptrdiff_t i = R/2 - 1; i >= 0; i--) sift_down(ranking, i, R, score);
    for (ptrdiff_t k = R; k < K; k++) {
        if (!(score[k] > score[ranking[0]])) continue;
        ranking[0] = k;
        sift_down(ranking, 0, R, score);
    }
    for (ptrdiff_t n = R - 1; n > 0; n--) {
        const int64_t last = ranking[0];
        ranking[0] = ranking[n];
        ranking[n] = last;
        sift_down(ranking, 0, n, score);
    }
}

#define REAL float
#define SUFFIX f32
#include "plackett_luce.tmpl.h"
#undef REAL
#undef SUFFIX

#define REAL double
#define SUFFIX f64
#include "plackett_luce.tmpl.h"
