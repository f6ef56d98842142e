#include "simd.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#define WIDTH 4
#define TARGET
#define NAME(n) JOIN(n, _base)
#include "simd_impl.h"
#undef WIDTH
#undef TARGET
#undef NAME

#if defined(__x86_64__)
#define WIDTH 8
#define TARGET __attribute__((target("avx2,fma")))
#define NAME(n) JOIN(n, _avx2)
#include "simd_impl.h"
#undef WIDTH
#undef TARGET
#undef NAME

#define WIDTH 16
#define TARGET __attribute__((target("avx512f,avx512dq,fma")))
#define NAME(n) JOIN(n, _avx512)
#include "simd_impl.h"
#undef WIDTH
#undef TARGET
#undef NAME
#endif

struct functions {
    size_t width;
    void (*dense)(const struct simd_dense *d, const float *x, const float *const *columns,
                  size_t rows, float *out);
    void (*columns)(const float *const *columns, const float *w, size_t n_columns, size_t rows,
                    float *out);
    void (*dots)(const float *x, const float *w, size_t k, size_t rows, float bias, float *out);
    void (*exp)(float *v, size_t n);
    void (*relu)(float *v, size_t n);
    void (*sigmoid)(float *v, size_t n);
    void (*tanh)(float *v, size_t n);
};

static const struct functions table[SIMD_LEVELS] = {
    {4, dense_base, columns_base, dots_base, exp_all_base, relu_all_base, sigmoid_all_base,
     tanh_all_base},
#if defined(__x86_64__)
    {8, dense_avx2, columns_avx2, dots_avx2, exp_all_avx2, relu_all_avx2, sigmoid_all_avx2,
     tanh_all_avx2},
    {16, dense_avx512, columns_avx512, dots_avx512, exp_all_avx512, relu_all_avx512,
     sigmoid_all_avx512, tanh_all_avx512},
#endif
};

enum simd_level simd_level(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
        return SIMD_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return SIMD_AVX2;
#endif
    return SIMD_BASE;
}

bool simd_dense_make(struct arena *keep, const float *w, size_t k, size_t m, const float *bias,
                     enum simd_activation activation, struct simd_dense *ret)
{
    struct simd_dense d = {.level = simd_level(), .k = k, .m = m, .activation = activation};
    size_t width = table[d.level].width;
    d.panel = m <= width ? width : 2 * width;
    size_t panels = (m + d.panel - 1) / d.panel;
    d.weights = arena_zalloc(keep, (panels * k + 1) * d.panel * sizeof *d.weights);
    d.bias = arena_zalloc(keep, (panels + 1) * d.panel * sizeof *d.bias);
    if (!d.weights || !d.bias)
        return false;
    for (size_t row = 0; row < k; row++)
        for (size_t col = 0; col < m; col++)
            d.weights[col / d.panel * k * d.panel + row * d.panel + col % d.panel] =
                w[row * m + col];
    for (size_t col = 0; bias && col < m; col++)
        d.bias[col] = bias[col];
    *ret = d;
    return true;
}

void simd_dense_run(const struct simd_dense *d, const float *x, const float *const *columns,
                    size_t rows, float *out)
{
    table[d->level].dense(d, x, columns, rows, out);
}

void simd_columns(const float *const *columns, const float *w, size_t n_columns, size_t rows,
                  float *out)
{
    table[simd_level()].columns(columns, w, n_columns, rows, out);
}

void simd_dots(const float *x, const float *w, size_t k, size_t rows, float bias, float *out)
{
    table[simd_level()].dots(x, w, k, rows, bias, out);
}

void simd_exp(float *v, size_t n)
{
    table[simd_level()].exp(v, n);
}

void simd_relu(float *v, size_t n)
{
    table[simd_level()].relu(v, n);
}

void simd_sigmoid(float *v, size_t n)
{
    table[simd_level()].sigmoid(v, n);
}

void simd_tanh(float *v, size_t n)
{
    table[simd_level()].tanh(v, n);
}
