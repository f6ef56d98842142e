#include "parsefast.h"

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/*
 * One word after the other, but nothing depends on the one before. The lowest bit of a mask m is
 * m & -m, and below it lie (m & -m) - 1: that finds the point and moves the digits before it up by
 * one place. Pairs of digits, then fours, then eights come together by one multiplication each.
 */
static inline __attribute__((always_inline)) void
run(uint64_t *restrict words, uint64_t *restrict scales, uint64_t *restrict odd, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t x = words[i], y = x ^ EACH('.');
        uint64_t points = ~(((y & EACH(0x7f)) + EACH(0x7f)) | y | EACH(0x7f)); /* 0x80 each */
        uint64_t point = (points & -points) >> 7; /* 1 in its byte; 0: there is none */
        uint64_t below = point - 1;               /* all ones when there is none */
        uint64_t any = point ? ~UINT64_C(0) : 0;
        uint64_t moved = (x & ~below & ~(point * 0xff)) | (x & below) << 8 | '0';
        x = (moved & any) | (x & ~any);
        scales[i] = (7 - ((below & EACH(1)) * EACH(1) >> 56)) & any;
        uint64_t wrong = ((x & EACH(0xf0)) | (((x + EACH(0x06)) & EACH(0xf0)) >> 4)) ^ EACH(0x33);
        odd[i] = wrong | (points & (points - 1) & any);
        x = (x & EACH(0x0f)) * 2561 >> 8;
        x = (x & UINT64_C(0x00ff00ff00ff00ff)) * 6553601 >> 16;
        words[i] = (x & UINT64_C(0x0000ffff0000ffff)) * 42949672960001 >> 32;
    }
}

static void run_plain(uint64_t *restrict words, uint64_t *restrict scales, uint64_t *restrict odd,
                      size_t n)
{
    run(words, scales, odd, n);
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) static void
run_avx2(uint64_t *restrict words, uint64_t *restrict scales, uint64_t *restrict odd, size_t n)
{
    run(words, scales, odd, n);
}

__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))) static void
run_avx512(uint64_t *restrict words, uint64_t *restrict scales, uint64_t *restrict odd, size_t n)
{
    run(words, scales, odd, n);
}

void parsefast_run(const struct parsefast *f, enum simd simd)
{
    if (simd == SIMD_AVX512)
        run_avx512(f->words, f->scales, f->odd, f->n);
    else if (simd == SIMD_AVX2)
        run_avx2(f->words, f->scales, f->odd, f->n);
    else
        run_plain(f->words, f->scales, f->odd, f->n);
}

#else

void parsefast_run(const struct parsefast *f, enum simd simd)
{
    (void)simd;
    run_plain(f->words, f->scales, f->odd, f->n);
}

#endif
