#include "hash.h"

#define C1 UINT64_C(0x87c37b91114253d5)
#define C2 UINT64_C(0x4cf5ad432745937f)

static uint64_t rotl(uint64_t x, int r)
{
    return (x << r) | (x >> (64 - r));
}

static uint64_t tail_word(const uint8_t *p, size_t n)
{
    uint64_t k = 0;
    for (size_t i = n; i > 0; i--)
        k = (k << 8) | p[i - 1];
    return k;
}

struct hash128 hash_128(const void *data, size_t n, uint64_t seed)
{
    const uint8_t *p = data;
    uint64_t h1 = seed, h2 = seed, k1, k2;
    size_t left = n;

    for (; left >= 16; p += 16, left -= 16) {
        memcpy(&k1, p, 8);
        memcpy(&k2, p + 8, 8);
        h1 ^= rotl(k1 * C1, 31) * C2;
        h1 = (rotl(h1, 27) + h2) * 5 + 0x52dce729;
        h2 ^= rotl(k2 * C2, 33) * C1;
        h2 = (rotl(h2, 31) + h1) * 5 + 0x38495ab5;
    }
    if (left > 8)
        h2 ^= rotl(tail_word(p + 8, left - 8) * C2, 33) * C1;
    if (left > 0)
        h1 ^= rotl(tail_word(p, MIN(left, (size_t)8)) * C1, 31) * C2;

    h1 ^= n;
    h2 ^= n;
    h1 += h2;
    h2 += h1;
    h1 = hash_mix(h1);
    h2 = hash_mix(h2);
    h1 += h2;
    h2 += h1;
    return (struct hash128){h1, h2};
}

uint64_t hash_64(const void *p, size_t n, uint64_t seed)
{
    return hash_128(p, n, seed).lo;
}
