// Which weights dropout keeps: Philox-4x32-10 (J. K. Salmon et al., "Parallel Random Numbers: As
// Easy as 1, 2, 3", 2011), keyed by the seed and counted by position, so that nothing is stored.

#ifndef PHILOX_ROUNDS
#define PHILOX_ROUNDS 10

// Words 0 .. 3 of the block at a counter.
static inline void philox(uint32_t word[4], uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3,
                          uint64_t seed) {
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int i = 0; i < PHILOX_ROUNDS; i++) {
        const uint64_t a = (uint64_t)0xD2511F53 * c0, b = (uint64_t)0xCD9E8D57 * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)b;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    word[0] = c0;
    word[1] = c1;
    word[2] = c2;
    word[3] = c3;
}
#endif

// factor (to - from) = 0 for weights that are dropped, 1 / (1 - share) for those kept, of query t
// of head `bh` of all samples and heads. A weight's word depends on bh, t and its key alone.
static void FN(dropout_row)(REAL *factor, double share, uint64_t seed, ptrdiff_t bh, ptrdiff_t t,
                            ptrdiff_t from, ptrdiff_t to) {
    const double limit = share * 4294967296.0;
    const REAL grown = (REAL)(1 / (1 - share));
    for (ptrdiff_t block = from / 4; block * 4 < to; block++) {
        uint32_t word[4];
        philox(word, (uint32_t)block, (uint32_t)t, (uint32_t)bh, (uint32_t)(bh >> 32), seed);
        for (ptrdiff_t i = 0; i < 4; i++) {
            const ptrdiff_t s = block*4 + i;
            if (s >= from && s < to) factor[s - from] = word[i] < limit ? 0 : grown;
        }
    }
}
