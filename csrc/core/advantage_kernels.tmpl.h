// n columns of arrays whose rows are `stride` apart. The optional arrays may be NULL.
static void FN(gae_columns)(REAL *advantages, REAL *returns, const REAL *rewards,
                            const REAL *values, const REAL *last, const REAL *final,
                            const uint8_t *terminated, const uint8_t *truncated, REAL gamma,
                            REAL lambda, ptrdiff_t T, ptrdiff_t stride, ptrdiff_t n) {
    for (ptrdiff_t t = T - 1; t >= 0; t--) {
        const ptrdiff_t at = t * stride;
        const REAL *next = t == T - 1 ? last : values + at + stride;
        const REAL *later = t == T - 1 ? NULL : advantages + at + stride;
        for (ptrdiff_t i = 0; i < n; i++) {
            const int dead = terminated && terminated[at + i];
            const int cut = truncated && truncated[at + i];

            // chosen, not multiplied by 0: the value after the end may be anything
            const REAL worth = dead ? 0 : cut && final ? final[at + i] : next[i];
            const REAL carry = dead || cut || !later ? 0 : later[i];
            const REAL v = values[at + i];
            const REAL a = rewards[at + i] + gamma * worth - v + gamma * lambda * carry;
            advantages[at + i] = a;
            if (returns) returns[at + i] = a + v;
        }
    }
}

// scratch holds 2n values. Rewards are taken from the first one, so that equal ones give 0.
static void FN(leave_one_out_columns)(REAL *advantages, const REAL *rewards, REAL *scratch,
                                      ptrdiff_t S, ptrdiff_t stride, ptrdiff_t n) {
    REAL *first = scratch, *sum = scratch + n;
    for (ptrdiff_t i = 0; i < n; i++) first[i] = rewards[i];
    for (ptrdiff_t i = 0; i < n; i++) sum[i] = 0;
    for (ptrdiff_t s = 0; s < S; s++)
        for (ptrdiff_t i = 0; i < n; i++) sum[i] += rewards[s*stride + i] - first[i];
    const REAL share = 1 / (REAL)(S - 1);
    for (ptrdiff_t s = 0; s < S; s++)
        for (ptrdiff_t i = 0; i < n; i++) {
            const REAL r = rewards[s*stride + i] - first[i];
            advantages[s*stride + i] = r - (sum[i] - r) * share;
        }
}
