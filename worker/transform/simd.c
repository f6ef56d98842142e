#include "simd.h"

static const char *const simd_names[] = {"scalar", "sse42", "avx2", "avx512"};

enum simd simd_best(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi2"))
        return SIMD_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"))
        return SIMD_AVX2;
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"))
        return SIMD_SSE42;
#endif
    return SIMD_SCALAR;
}

const char *simd_name(enum simd s)
{
    return simd_names[s];
}

bool simd_of_name(const char *name, enum simd *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(simd_names); i++) {
        if (strcmp(name, simd_names[i]) != 0)
            continue;
        if ((enum simd)i > simd_best())
            return false;
        *ret = (enum simd)i;
        return true;
    }
    return false;
}
