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
#define TARGET_AVX512                                                                              \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi2,bmi,bmi2,popcnt,lzcnt")))

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

/* ---- places of bits ---- */

TARGET_SSE42 static inline uint64_t ranks_sse(uint64_t bits, uint64_t among)
{
    uint64_t ranks = 0;
    for (; bits; bits &= bits - 1)
        ranks |= UINT64_C(1) << __builtin_popcountll(among & ((bits & -bits) - 1));
    return ranks;
}

/* Eight at a time without asking how many there are: a branch on that would be guessed wrong. */
#define LIST_BY_EIGHTS(name, target)                                                               \
    target static inline uint32_t *name(uint32_t *to, uint32_t base, uint64_t bits)                \
    {                                                                                              \
        size_t count = (size_t)__builtin_popcountll(bits);                                         \
        for (size_t k = 0; k < count; k += 8) {                                                    \
            for (size_t j = 0; j < 8; j++) {                                                       \
                to[k + j] = base + (uint32_t)low_bit(bits);                                        \
                bits &= bits - 1;                                                                  \
            }                                                                                      \
        }                                                                                          \
        return to + count;                                                                         \
    }
LIST_BY_EIGHTS(list_sse, TARGET_SSE42)
LIST_BY_EIGHTS(list_avx2, TARGET_AVX2)

/* The bytes 0 to 63 where there are bits, close together, and sixteen at a time as numbers. */
TARGET_AVX512 static inline uint32_t *list_avx512(uint32_t *to, uint32_t base, uint64_t bits)
{
    static const uint8_t places[64]
        __attribute__((aligned(64))) = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
                                        13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
                                        26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38,
                                        39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51,
                                        52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
    __m512i all = _mm512_maskz_compress_epi8(bits, _mm512_load_si512(places));
    __m512i start = _mm512_set1_epi32((int)base);
    size_t count = (size_t)__builtin_popcountll(bits);
    _mm512_storeu_si512(to,
                        _mm512_add_epi32(_mm512_cvtepu8_epi32(_mm512_castsi512_si128(all)), start));
    for (size_t k = 16; k < count; k += 16) {
        all = _mm512_shuffle_i32x4(all, all, 0x39); /* the next sixteen bytes */
        _mm512_storeu_si512(to + k,
                            _mm512_add_epi32(_mm512_cvtepu8_epi32(_mm512_castsi512_si128(all)),
                                             start));
    }
    return to + count;
}

#define CSVINDEX_NAME index_sse42
#define CSVINDEX_TARGET TARGET_SSE42
#define CSVINDEX_MASKS masks_sse
#define CSVINDEX_RANKS ranks_sse
#define CSVINDEX_LIST list_sse
#include "csvindex_body.h"

#define CSVINDEX_NAME index_avx2
#define CSVINDEX_TARGET TARGET_AVX2
#define CSVINDEX_MASKS masks_avx2
#define CSVINDEX_RANKS _pext_u64
#define CSVINDEX_LIST list_avx2
#include "csvindex_body.h"

#define CSVINDEX_NAME index_avx512
#define CSVINDEX_TARGET TARGET_AVX512
#define CSVINDEX_MASKS masks_avx512
#define CSVINDEX_RANKS _pext_u64
#define CSVINDEX_LIST list_avx512
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
