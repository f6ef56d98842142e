/*
 * simd.h: which instruction set the loops over bytes use. The best that the processor has is found
 * once; tests and the command line may choose a lesser one, and all of them give the same bytes.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TRANSFORM_SIMD_H
#define DROVER_TRANSFORM_SIMD_H

#include "common/base.h"

enum simd { SIMD_SCALAR, SIMD_SSE42, SIMD_AVX2, SIMD_AVX512 };

enum simd simd_best(void);
const char *simd_name(enum simd s);
/* False: there is no such name, or the processor has it not. */
bool simd_of_name(const char *name, enum simd *ret) MUST_CHECK;

#endif
