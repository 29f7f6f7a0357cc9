// Moves *from to the next open gate and returns the end of its run; *from is n where none is left.
static inline ptrdiff_t FN(gl__next_run)(const REAL *gate, ptrdiff_t step, ptrdiff_t *from,
                                         ptrdiff_t n) {
    while (*from < n && gate[*from * step] == 0) ++*from;
    ptrdiff_t to = *from;
    while (to < n && gate[to * step] != 0) to++;
    return to;
}
