#include "parsefast.h"

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#define LANES 2
#define TARGET
#define NAME(n) JOIN(n, _plain)
#include "parsefast_body.h"
#undef LANES
#undef TARGET
#undef NAME

#if defined(__x86_64__)
#define LANES 4
#define TARGET __attribute__((target("avx2")))
#define NAME(n) JOIN(n, _avx2)
#include "parsefast_body.h"
#undef LANES
#undef TARGET
#undef NAME

#define LANES 8
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define NAME(n) JOIN(n, _avx512)
#include "parsefast_body.h"
#undef LANES
#undef TARGET
#undef NAME

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
