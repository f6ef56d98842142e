/*
 * hash.h: non-cryptographic hashing with a stable result (it is stored: task keys, seen URLs).
 * MurmurHash3 x64 128 (Austin Appleby, public domain algorithm), little-endian.
 */
#ifndef DROVER_HASH_H
#define DROVER_HASH_H

#include "base.h"

struct hash128 {
    uint64_t lo, hi;
};

struct hash128 hash_128(const void *p, size_t n, uint64_t seed);
uint64_t hash_64(const void *p, size_t n, uint64_t seed);

/* Mixes one 64-bit word well (the finaliser of MurmurHash3). A bijection. */
static inline uint64_t hash_mix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ (x >> 33);
}

#endif
