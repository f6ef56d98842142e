#include "digits.h"

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

enum { EIGHT = 100000000 };

/* Eight digits as numbers 0 to 9, the first in the lowest byte: halves, quarters, eighths, each by
 * one multiplication for all of them. */
static inline uint64_t spread(uint32_t x)
{
    uint64_t v = x / 10000 | (uint64_t)(x % 10000) << 32;
    uint64_t q = (v * 10486 >> 20) & UINT64_C(0x7f0000007f);
    v = q | (v - q * 100) << 16;
    q = (v * 103 >> 10) & UINT64_C(0x000f000f000f000f);
    return q | (v - q * 10) << 8;
}

static const uint64_t ascii_zeros = UINT64_C(0x3030303030303030);

static inline char *put_eight(char *to, uint32_t x)
{
    uint64_t t = spread(x) | ascii_zeros;
    memcpy(to, &t, sizeof t);
    return to + 8;
}

/* Without zeros in front, but at least `least` (1 to 8) digits. */
static inline char *put_short(char *to, uint32_t x, unsigned least)
{
    uint64_t t = spread(x);
    unsigned zeros = t ? (unsigned)__builtin_ctzll(t) / 8 : 8;
    zeros = MIN(zeros, 8 - least);
    t = (t | ascii_zeros) >> (8 * zeros);
    memcpy(to, &t, sizeof t);
    return to + 8 - zeros;
}

static inline char *put_whole(char *to, uint64_t u)
{
    if (u < EIGHT)
        return put_short(to, (uint32_t)u, 1);
    uint64_t top = u / EIGHT;
    if (top < EIGHT) {
        to = put_short(to, (uint32_t)top, 1);
    } else {
        to = put_short(to, (uint32_t)(top / EIGHT), 1);
        to = put_eight(to, (uint32_t)(top % EIGHT));
    }
    return put_eight(to, (uint32_t)(u % EIGHT));
}

char *digits_write(char *to, int64_t m, int32_t scale)
{
    uint64_t u = m < 0 ? -(uint64_t)m : (uint64_t)m;
    *to = '-';
    if (scale == 0)
        return put_whole(to + (m < 0), u);
    return to + num_text_small(m, scale, to);
}

static inline __attribute__((always_inline)) void words_of(const int64_t *restrict m, size_t n,
                                                           uint64_t *restrict words)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t u = m[i] < 0 ? -(uint64_t)m[i] : (uint64_t)m[i];
        /* The quotient by 10000 of what is below 10^8, exactly: 3518437209 is 2^45 / 10000, rounded
         * up. What is above gets a word that is not used. */
        uint64_t q = (u & 0x7ffffff) * 3518437209 >> 45;
        uint64_t v = q | ((u & 0x7ffffff) - q * 10000) << 32;
        q = (v * 10486 >> 20) & UINT64_C(0x7f0000007f);
        v = q | (v - q * 100) << 16;
        q = (v * 103 >> 10) & UINT64_C(0x000f000f000f000f);
        words[i] = u < EIGHT ? q | (v - q * 10) << 8 : DIGITS_LONG;
    }
}

static void words_plain(const int64_t *restrict m, size_t n, uint64_t *restrict words)
{
    words_of(m, n, words);
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) static void words_avx2(const int64_t *restrict m, size_t n,
                                                       uint64_t *restrict words)
{
    words_of(m, n, words);
}

__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))) static void
words_avx512(const int64_t *restrict m, size_t n, uint64_t *restrict words)
{
    words_of(m, n, words);
}

#endif

void digits_words(const int64_t *m, size_t n, uint64_t *words, enum simd simd)
{
#if defined(__x86_64__)
    if (simd == SIMD_AVX512)
        words_avx512(m, n, words);
    else if (simd == SIMD_AVX2)
        words_avx2(m, n, words);
    else
        words_plain(m, n, words);
#else
    (void)simd;
    words_plain(m, n, words);
#endif
}

#else

void digits_words(const int64_t *m, size_t n, uint64_t *words, enum simd simd)
{
    (void)m;
    (void)n;
    (void)words;
    (void)simd;
}

char *digits_write(char *to, int64_t m, int32_t scale)
{
    return to + num_text_small(m, scale, to);
}

#endif
