#include "csvindex.h"

/* The reference: one byte after the other. */
static void index_scalar(struct csvindex *x)
{
    bool inside = false, plain = true;
    x->n_ends = x->n_rows = x->n_quotes = x->n_inner_lines = 0;
    for (size_t i = 0; i < x->n; i++) {
        uint8_t c = x->data[i];
        if (i % 64 == 0)
            x->quotes[i / 64] = 0;
        plain &= c != 0 && c < 0x80;
        if (c == x->quote) {
            inside = !inside;
            x->quotes[i / 64] |= UINT64_C(1) << (i % 64);
            x->n_quotes++;
        } else if (inside) {
            x->n_inner_lines += c == '\n';
        } else if (c == x->delimiter || c == '\n') {
            if (c == '\n')
                x->rows[x->n_rows++] = (uint32_t)x->n_ends;
            x->ends[x->n_ends++] = (uint32_t)i;
        }
    }
    x->plain = plain;
    x->in_quote = inside;
}

#if defined(__x86_64__)

#include <immintrin.h>

struct masks {
    uint64_t quote, delimiter, newline;
    uint64_t odd; /* NUL or not ASCII */
};

/* Bit i of the result is the parity of the bits 0 to i. */
static inline uint64_t prefix_xor(uint64_t x)
{
    for (unsigned shift = 1; shift < 64; shift *= 2)
        x ^= x << shift;
    return x;
}

/* 64 for no bit, which ctz leaves undefined: the instruction is used as it is in both cases. */
static inline uint64_t low_bit(uint64_t x)
{
    return x ? (uint64_t)__builtin_ctzll(x) : 64;
}

#define TARGET_SSE42 __attribute__((target("sse4.2,popcnt")))
#define TARGET_AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt,lzcnt")))
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,bmi,bmi2,popcnt,lzcnt")))

TARGET_SSE42 static inline uint64_t equal_sse(const __m128i v[4], uint8_t byte)
{
    __m128i want = _mm_set1_epi8((char)byte);
    uint64_t m = 0;
    for (int i = 0; i < 4; i++)
        m |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v[i], want)) << (16 * i);
    return m;
}

TARGET_SSE42 static inline void masks_sse(const uint8_t *p, const struct csvindex *x,
                                          struct masks *m)
{
    __m128i v[4];
    m->odd = 0;
    for (int i = 0; i < 4; i++) {
        v[i] = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
        m->odd |= (uint64_t)(uint32_t)_mm_movemask_epi8(v[i]) << (16 * i);
    }
    m->odd |= equal_sse(v, 0);
    m->quote = equal_sse(v, x->quote);
    m->delimiter = equal_sse(v, x->delimiter);
    m->newline = equal_sse(v, '\n');
}

TARGET_AVX2 static inline uint64_t equal_avx2(__m256i lo, __m256i hi, uint8_t byte)
{
    __m256i want = _mm256_set1_epi8((char)byte);
    uint32_t a = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(lo, want));
    uint32_t b = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(hi, want));
    return (uint64_t)b << 32 | a;
}

TARGET_AVX2 static inline void masks_avx2(const uint8_t *p, const struct csvindex *x,
                                          struct masks *m)
{
    __m256i lo = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i hi = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
    m->odd = (uint64_t)(uint32_t)_mm256_movemask_epi8(hi) << 32 |
             (uint32_t)_mm256_movemask_epi8(lo) | equal_avx2(lo, hi, 0);
    m->quote = equal_avx2(lo, hi, x->quote);
    m->delimiter = equal_avx2(lo, hi, x->delimiter);
    m->newline = equal_avx2(lo, hi, '\n');
}

TARGET_AVX512 static inline void masks_avx512(const uint8_t *p, const struct csvindex *x,
                                              struct masks *m)
{
    __m512i v = _mm512_loadu_si512(p);
    m->odd = _mm512_movepi8_mask(v) | _mm512_testn_epi8_mask(v, v);
    m->quote = _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8((char)x->quote));
    m->delimiter = _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8((char)x->delimiter));
    m->newline = _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('\n'));
}

#define CSVINDEX_NAME index_sse42
#define CSVINDEX_TARGET TARGET_SSE42
#define CSVINDEX_MASKS masks_sse
#include "csvindex_body.h"

#define CSVINDEX_NAME index_avx2
#define CSVINDEX_TARGET TARGET_AVX2
#define CSVINDEX_MASKS masks_avx2
#include "csvindex_body.h"

#define CSVINDEX_NAME index_avx512
#define CSVINDEX_TARGET TARGET_AVX512
#define CSVINDEX_MASKS masks_avx512
#include "csvindex_body.h"

void csvindex_run(struct csvindex *x, enum simd simd)
{
    static void (*const runs[])(struct csvindex *) = {
        [SIMD_SCALAR] = index_scalar,
        [SIMD_SSE42] = index_sse42,
        [SIMD_AVX2] = index_avx2,
        [SIMD_AVX512] = index_avx512,
    };
    runs[simd](x);
}

#else

void csvindex_run(struct csvindex *x, enum simd simd)
{
    (void)simd;
    index_scalar(x);
}

#endif
