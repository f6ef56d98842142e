#include "parsefast.h"

/* Eight words; each instruction set makes of them what it has. */
typedef uint64_t words8 __attribute__((vector_size(64), aligned(8), may_alias));
typedef uint32_t halves16 __attribute__((vector_size(64), aligned(8), may_alias));
typedef uint16_t quarters32 __attribute__((vector_size(64), aligned(8), may_alias));
typedef double doubles8 __attribute__((vector_size(64), aligned(8), may_alias));

enum { LANES = 8 };

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define INLINE static inline __attribute__((always_inline))

/*
 * Nothing depends on the word before. What does not count becomes '0'. The lowest bit of a mask m is
 * m & -m, and below it lie (m & -m) - 1: that finds the point and moves the digits before it up by one
 * place. Pairs of digits, then fours, then eights come together by one multiplication each, in lanes that
 * hold the product. Comparing gives all ones or 0.
 */
INLINE void digits(struct parsefast *restrict f, size_t at, words8 *restrict value,
                   words8 *restrict scale)
{
    const words8 *words = (const words8 *)(const void *)&f->words[at];
    const words8 *shapes = (const words8 *)(const void *)&f->shapes[at];
    words8 *odd = (words8 *)(void *)&f->odd[at];
    const words8 count = *shapes & ~PARSEFAST_NEGATIVE;
    const words8 keep = (~(words8){0} << ((8 - count) * 8 & 63)) & (words8)(count - 1 < 8);
    words8 x = (*words & keep) | (EACH('0') & ~keep);
    const words8 y = x ^ EACH('.');
    const words8 points = ~(((y & EACH(0x7f)) + EACH(0x7f)) | y | EACH(0x7f)); /* 0x80 each */
    const words8 point = (points & -points) >> 7; /* 1 in its byte; 0: there is none */
    const words8 below = point - 1;               /* all ones when there is none */
    const words8 any = (words8)(point != 0);
    const words8 alone = any & (words8)(count == 1);
    const words8 moved = (x & ~below & ~(point * 0xff)) | (x & below) << 8 | '0';
    x = (moved & any) | (x & ~any);
    *scale = point * UINT64_C(0x0706050403020100) >> 56; /* the point is in byte 7 - scale */
    const words8 wrong = ((x & EACH(0xf0)) | (((x + EACH(0x06)) & EACH(0xf0)) >> 4)) ^ EACH(0x33);
    *odd = wrong | (points & (points - 1) & any) | alone | ~keep >> 63;
    x &= EACH(0x0f);
    x = ((words8)((quarters32)x * 10) + (x >> 8)) & UINT64_C(0x00ff00ff00ff00ff);
    x = ((words8)((quarters32)x * 100) + (x >> 16)) & UINT64_C(0x0000ffff0000ffff);
    *value = ((words8)((halves16)x * 10000) & UINT32_MAX) + (x >> 32);
}

INLINE void decimals(struct parsefast *f)
{
    for (size_t i = 0; i < f->n; i += LANES) {
        words8 *shapes = (words8 *)(void *)&f->shapes[i];
        const words8 negative = -(*shapes >> 63);
        words8 value, scale;
        digits(f, i, &value, &scale);
        *(words8 *)(void *)&f->words[i] = (value ^ negative) - negative;
        *shapes = scale;
    }
}

/* Is bit `bit` of the scale set, then 10 to the power of that bit, else 1. */
#define POWER(scale, bit, power)                                                                   \
    (doubles8)(((words8)(((scale) & (bit)) != 0) & ((words8)((doubles8){0} + (power)) ^ ones)) ^   \
               ones)

/* An integer and a power of ten that doubles hold exactly: their quotient is rounded once. */
INLINE void doubles(struct parsefast *f)
{
    const words8 ones = (words8)((doubles8){0} + 1.0);
    for (size_t i = 0; i < f->n; i += LANES) {
        const words8 sign = *(const words8 *)(const void *)&f->shapes[i] & PARSEFAST_NEGATIVE;
        words8 value, scale;
        digits(f, i, &value, &scale);
        /* Below 2^52 an integer is a double's fraction. */
        const doubles8 number = (doubles8)(value | UINT64_C(0x4330000000000000)) - 0x1p52;
        const doubles8 power = POWER(scale, 1, 1e1) * POWER(scale, 2, 1e2) * POWER(scale, 4, 1e4);
        *(words8 *)(void *)&f->words[i] = (words8)(number / power) | sign;
    }
}

#define VARIANTS(target, name)                                                                     \
    target static void decimals_##name(struct parsefast *f)                                        \
    {                                                                                              \
        decimals(f);                                                                               \
    }                                                                                              \
    target static void doubles_##name(struct parsefast *f)                                         \
    {                                                                                              \
        doubles(f);                                                                                \
    }

VARIANTS(, plain)

#if defined(__x86_64__)

VARIANTS(__attribute__((target("avx2"))), avx2)
VARIANTS(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), avx512)

#define RUN(what, f, simd)                                                                         \
    ((simd) == SIMD_AVX512 ? what##_avx512(f)                                                      \
     : (simd) == SIMD_AVX2 ? what##_avx2(f)                                                        \
                           : what##_plain(f))

#else

#define RUN(what, f, simd) ((void)(simd), what##_plain(f))

#endif

void parsefast_decimals(struct parsefast *f, enum simd simd)
{
    RUN(decimals, f, simd);
}

void parsefast_doubles(struct parsefast *f, enum simd simd)
{
    RUN(doubles, f, simd);
}
