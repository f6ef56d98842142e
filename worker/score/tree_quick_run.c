/*
 * tree_quick_run.c: runs the form of tree_quick.h, 64 rows at a time: with AVX-512 (16 rows a
 * vector), with AVX2 (8), and in plain C. The three do the same additions in the same order.
 */
#include "tree_quick.h"

#define INLINE static inline __attribute__((always_inline))

/* ---- plain C ---- */

#define CLEAR(name, condition)                                                                     \
    static void name(const struct quick_test *t, const struct quick_test *end, const float *block, \
                     uint32_t *bits)                                                               \
    {                                                                                              \
        for (; t < end; t++)                                                                       \
            for (size_t r = 0; r < TREE_BLOCK_ROWS; r++) {                                         \
                float x = block[t->x + r], v = t->v;                                               \
                bits[r] &= (condition) ? t->keep : ~0u;                                            \
            }                                                                                      \
    }
CLEAR(clear_nle, !(x <= v))
CLEAR(clear_gt, x > v)
CLEAR(clear_le, x <= v)
CLEAR(clear_ngt, !(x > v))
CLEAR(clear_neq, !(x == v))
CLEAR(clear_neq_keep, x<v || x> v)
CLEAR(clear_eq, x == v)
CLEAR(clear_eq_nan, !(x < v || x > v))
#undef CLEAR

static void scalar_block(const struct quick *q, const float *x, uint32_t n, float *sums)
{
    static void (*const clear[])(const struct quick_test *, const struct quick_test *,
                                 const float *,
                                 uint32_t *) = {clear_nle, clear_gt,       clear_le, clear_ngt,
                                                clear_neq, clear_neq_keep, clear_eq, clear_eq_nan};
    uint32_t bits[TREE_BLOCK_ROWS], ids[TREE_BLOCK_ROWS] = {0};
    for (const struct quick_part *p = q->parts; p < q->parts + q->n_parts; p++) {
        memset(bits, 0xFF, sizeof bits);
        for (unsigned kind = 0, first = p->first; kind < QUICK_KINDS; first = p->end[kind++])
            if (first < p->end[kind])
                clear[kind](q->tests + first, q->tests + p->end[kind], x, bits);
        for (uint32_t r = 0; r < n; r++) {
            uint32_t at = 31u - (uint32_t)__builtin_ctz(bits[r] | 1u << 31);
            if (p->target >= 0)
                tree_add(&sums[p->target * TREE_BLOCK_ROWS + (int32_t)r],
                         bits[r] ? p->values[at] : 0, q->counts);
            else if (bits[r])
                ids[r] = p->leaf + at;
        }
        if (p->target < 0 && p->ends)
            quick_add_leaves(q, ids, n, sums);
    }
}

static void run_scalar(const struct tree_kernel *k, const struct tree_block *blocks,
                       size_t n_blocks, float *acc)
{
    for (size_t b = 0; b < n_blocks; b++)
        scalar_block(k->data, blocks[b].x, blocks[b].n, acc + b * k->n_combined);
}

#if defined(__x86_64__)
#include <immintrin.h>

/* Tests of all kinds of a part; CLEAR_ONE does one kind for the vectors at hand. */
#define CLEAR_ALL(CLEAR_ONE)                                                                       \
    do {                                                                                           \
        const struct quick_test *t = q->tests + p->first;                                          \
        CLEAR_ONE(QUICK_NLE, _CMP_NLE_UQ);                                                         \
        CLEAR_ONE(QUICK_GT, _CMP_GT_OQ);                                                           \
        if (p->end[QUICK_GT] != p->end[QUICK_KINDS - 1]) {                                         \
            CLEAR_ONE(QUICK_LE, _CMP_LE_OQ);                                                       \
            CLEAR_ONE(QUICK_NGT, _CMP_NGT_UQ);                                                     \
            CLEAR_ONE(QUICK_NEQ, _CMP_NEQ_UQ);                                                     \
            CLEAR_ONE(QUICK_NEQ_KEEP, _CMP_NEQ_OQ);                                                \
            CLEAR_ONE(QUICK_EQ, _CMP_EQ_OQ);                                                       \
            CLEAR_ONE(QUICK_EQ_NAN, _CMP_EQ_UQ);                                                   \
        }                                                                                          \
    } while (0)

/* ---- AVX-512 ---- */

#define AVX512 __attribute__((target("avx512f,avx512cd")))

/* One part for 16 * n_vec rows. */
AVX512 INLINE void part_512(const struct quick *q, const struct quick_part *p, const float *x,
                            unsigned n_vec, float *sums, uint32_t *ids)
{
    __m512i bits[4];
    for (unsigned j = 0; j < n_vec; j++)
        bits[j] = _mm512_set1_epi32(-1);
#define CLEAR_512(kind, predicate)                                                                 \
    for (const struct quick_test *end_ = q->tests + p->end[kind]; t < end_; t++) {                 \
        __m512 v_ = _mm512_set1_ps(t->v);                                                          \
        __m512i keep_ = _mm512_set1_epi32((int)t->keep);                                           \
        for (unsigned j = 0; j < n_vec; j++) {                                                     \
            __mmask16 m_ = _mm512_cmp_ps_mask(_mm512_loadu_ps(x + t->x + 16 * j), v_, predicate);  \
            bits[j] = _mm512_mask_and_epi32(bits[j], m_, bits[j], keep_);                          \
        }                                                                                          \
    }
    CLEAR_ALL(CLEAR_512);
#undef CLEAR_512
    for (unsigned j = 0; j < n_vec; j++) {
        __m512i lowest =
            _mm512_and_si512(bits[j], _mm512_sub_epi32(_mm512_setzero_si512(), bits[j]));
        __m512i at = _mm512_lzcnt_epi32(lowest); /* 31 - the number of the lowest bit */
        __mmask16 there = p->tests_way ? _mm512_test_epi32_mask(bits[j], bits[j]) : (__mmask16)-1;
        if (p->target >= 0) {
            float *sum = sums + p->target * TREE_BLOCK_ROWS + 16 * j;
            __m512 v = _mm512_permutex2var_ps(_mm512_loadu_ps(p->values), at,
                                              _mm512_loadu_ps(p->values + 16));
            v = _mm512_maskz_mov_ps(there, v);
            __m512 was = _mm512_loadu_ps(sum);
            _mm512_storeu_ps(sum, q->counts ? _mm512_castsi512_ps(
                                                  _mm512_add_epi32(_mm512_castps_si512(was),
                                                                   _mm512_castps_si512(v)))
                                            : _mm512_add_ps(was, v));
        } else {
            at = _mm512_add_epi32(at, _mm512_set1_epi32((int)p->leaf));
            _mm512_mask_storeu_epi32(ids + 16 * j, there, at);
        }
    }
}

AVX512 static void run_512(const struct tree_kernel *k, const struct tree_block *blocks,
                           size_t n_blocks, float *acc)
{
    const struct quick *q = k->data;
    uint32_t ids[TREE_BLOCK_ROWS] = {0};
    for (size_t b = 0; b < n_blocks; b++) {
        float *sums = acc + b * k->n_combined;
        for (const struct quick_part *p = q->parts; p < q->parts + q->n_parts; p++) {
            if (blocks[b].n > 32)
                part_512(q, p, blocks[b].x, 4, sums, ids);
            else if (blocks[b].n > 16)
                part_512(q, p, blocks[b].x, 2, sums, ids);
            else
                part_512(q, p, blocks[b].x, 1, sums, ids);
            if (p->target < 0 && p->ends)
                quick_add_leaves(q, ids, blocks[b].n, sums);
        }
    }
}

/* ---- AVX2 ---- */

#define AVX2 __attribute__((target("avx2")))

/* Values of 32 leaves by their places (0 to 31). */
AVX2 INLINE __m256 look_up_256(const float *values, __m256i at)
{
    __m256 a = _mm256_permutevar8x32_ps(_mm256_loadu_ps(values), at);
    __m256 b = _mm256_permutevar8x32_ps(_mm256_loadu_ps(values + 8), at);
    __m256 c = _mm256_permutevar8x32_ps(_mm256_loadu_ps(values + 16), at);
    __m256 d = _mm256_permutevar8x32_ps(_mm256_loadu_ps(values + 24), at);
    __m256 bit3 = _mm256_castsi256_ps(_mm256_slli_epi32(at, 28));
    __m256 bit4 = _mm256_castsi256_ps(_mm256_slli_epi32(at, 27));
    return _mm256_blendv_ps(_mm256_blendv_ps(a, b, bit3), _mm256_blendv_ps(c, d, bit3), bit4);
}

/* 31 - the number of the lowest bit: a power of two as a float has its number in the exponent. */
AVX2 INLINE __m256i lowest_256(__m256i bits)
{
    __m256i lowest = _mm256_and_si256(bits, _mm256_sub_epi32(_mm256_setzero_si256(), bits));
    __m256i exponent = _mm256_srli_epi32(_mm256_castps_si256(_mm256_cvtepi32_ps(lowest)), 23);
    exponent = _mm256_and_si256(exponent, _mm256_set1_epi32(0xFF));
    return _mm256_sub_epi32(_mm256_set1_epi32(158), exponent);
}

/* One part for 8 * n_vec rows. */
AVX2 INLINE void part_256(const struct quick *q, const struct quick_part *p, const float *x,
                          unsigned n_vec, float *sums, uint32_t *ids)
{
    __m256i bits[4];
    for (unsigned j = 0; j < n_vec; j++)
        bits[j] = _mm256_set1_epi32(-1);
#define CLEAR_256(kind, predicate)                                                                 \
    for (const struct quick_test *end_ = q->tests + p->end[kind]; t < end_; t++) {                 \
        __m256 v_ = _mm256_set1_ps(t->v);                                                          \
        __m256i clear_ = _mm256_set1_epi32((int)~t->keep);                                         \
        for (unsigned j = 0; j < n_vec; j++) {                                                     \
            __m256 m_ = _mm256_cmp_ps(_mm256_loadu_ps(x + t->x + 8 * j), v_, predicate);           \
            bits[j] =                                                                              \
                _mm256_andnot_si256(_mm256_and_si256(_mm256_castps_si256(m_), clear_), bits[j]);   \
        }                                                                                          \
    }
    CLEAR_ALL(CLEAR_256);
#undef CLEAR_256
    for (unsigned j = 0; j < n_vec; j++) {
        __m256i at = lowest_256(bits[j]);
        __m256i gone = _mm256_cmpeq_epi32(bits[j], _mm256_setzero_si256());
        if (p->target >= 0) {
            float *sum = sums + p->target * TREE_BLOCK_ROWS + 8 * j;
            __m256 v = _mm256_andnot_ps(_mm256_castsi256_ps(gone), look_up_256(p->values, at));
            __m256 was = _mm256_loadu_ps(sum);
            _mm256_storeu_ps(sum, q->counts ? _mm256_castsi256_ps(
                                                  _mm256_add_epi32(_mm256_castps_si256(was),
                                                                   _mm256_castps_si256(v)))
                                            : _mm256_add_ps(was, v));
        } else {
            __m256i *id = (__m256i *)(void *)(ids + 8 * j);
            at = _mm256_add_epi32(at, _mm256_set1_epi32((int)p->leaf));
            _mm256_storeu_si256(id, _mm256_blendv_epi8(at, _mm256_loadu_si256(id), gone));
        }
    }
}

AVX2 static void run_256(const struct tree_kernel *k, const struct tree_block *blocks,
                         size_t n_blocks, float *acc)
{
    const struct quick *q = k->data;
    uint32_t ids[TREE_BLOCK_ROWS] = {0};
    for (size_t b = 0; b < n_blocks; b++) {
        float *sums = acc + b * k->n_combined;
        for (const struct quick_part *p = q->parts; p < q->parts + q->n_parts; p++) {
            if (blocks[b].n <= 8)
                part_256(q, p, blocks[b].x, 1, sums, ids);
            else
                part_256(q, p, blocks[b].x, 4, sums, ids);
            if (blocks[b].n > 32)
                part_256(q, p, blocks[b].x + 32, 4, sums + 32, ids + 32);
            if (p->target < 0 && p->ends)
                quick_add_leaves(q, ids, blocks[b].n, sums);
        }
    }
}

const tree_run_fn quick_run[QUICK_LEVELS] = {run_scalar, run_256, run_512};

bool quick_has(int level)
{
    if (level == QUICK_AVX512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd");
    return level == QUICK_SCALAR || (level == QUICK_AVX2 && __builtin_cpu_supports("avx2"));
}
#else
const tree_run_fn quick_run[QUICK_LEVELS] = {run_scalar};

bool quick_has(int level)
{
    return level == QUICK_SCALAR;
}
#endif
