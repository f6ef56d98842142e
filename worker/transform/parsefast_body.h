/*
 * parsefast_body.h: the loops of parsefast.h, for the instruction set that parsefast.c has set (LANES
 * words in a vector, TARGET, NAME). Included once for each, so it has no guard.
 */
typedef uint64_t NAME(vw) __attribute__((vector_size(8 * LANES)));
typedef uint32_t NAME(vh) __attribute__((vector_size(8 * LANES)));
typedef uint16_t NAME(vq) __attribute__((vector_size(8 * LANES)));
typedef double NAME(vd) __attribute__((vector_size(8 * LANES)));
#define vw NAME(vw)
#define vh NAME(vh)
#define vq NAME(vq)
#define vd NAME(vd)
#define INLINE TARGET static inline __attribute__((always_inline))

INLINE vw NAME(load)(const uint64_t *p)
{
    vw v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void NAME(store)(uint64_t *p, vw v)
{
    memcpy(p, &v, sizeof v);
}

/*
 * Nothing depends on the word before. What does not count becomes '0'. The lowest bit of a mask m is
 * m & -m, and below it lie (m & -m) - 1: that finds the point and moves the digits before it up by one
 * place. Pairs of digits, then fours, then eights come together by one multiplication each, in lanes that
 * hold the product. Comparing gives all ones or 0.
 */
INLINE void NAME(digits)(struct parsefast *restrict f, size_t at, vw *restrict value,
                         vw *restrict scale)
{
    const vw count = NAME(load)(&f->shapes[at]) & ~PARSEFAST_NEGATIVE;
    const vw keep = (~(vw){0} << ((8 - count) * 8 & 63)) & (vw)(count - 1 < 8);
    vw x = (NAME(load)(&f->words[at]) & keep) | (EACH('0') & ~keep);
    const vw y = x ^ EACH('.');
    const vw points = ~(((y & EACH(0x7f)) + EACH(0x7f)) | y | EACH(0x7f)); /* 0x80 each */
    const vw point = (points & -points) >> 7; /* 1 in its byte; 0: there is none */
    const vw below = point - 1;               /* all ones when there is none */
    const vw any = (vw)(point != 0);
    const vw alone = any & (vw)(count == 1);
    const vw moved = (x & ~below & ~(point * 0xff)) | (x & below) << 8 | '0';
    x = (moved & any) | (x & ~any);
    *scale = point * UINT64_C(0x0706050403020100) >> 56; /* the point is in byte 7 - scale */
    const vw wrong = ((x & EACH(0xf0)) | (((x + EACH(0x06)) & EACH(0xf0)) >> 4)) ^ EACH(0x33);
    NAME(store)(&f->odd[at], wrong | (points & (points - 1) & any) | alone | ~keep >> 63);
    x &= EACH(0x0f);
    x = ((vw)((vq)x * 10) + (x >> 8)) & UINT64_C(0x00ff00ff00ff00ff);
    x = ((vw)((vq)x * 100) + (x >> 16)) & UINT64_C(0x0000ffff0000ffff);
    *value = ((vw)((vh)x * 10000) & UINT32_MAX) + (x >> 32);
}

TARGET static void NAME(decimals)(struct parsefast *f)
{
    for (size_t i = 0; i < f->n; i += LANES) {
        const vw negative = -(NAME(load)(&f->shapes[i]) >> 63);
        vw value, scale;
        NAME(digits)(f, i, &value, &scale);
        NAME(store)(&f->words[i], (value ^ negative) - negative);
        NAME(store)(&f->shapes[i], scale);
    }
}

/* Is bit `bit` of the scale set, then 10 to the power of that bit, else 1. */
#define POWER(scale, bit, power)                                                                   \
    (vd)(((vw)(((scale) & (bit)) != 0) & ((vw)((vd){0} + (power)) ^ ones)) ^ ones)

/* An integer and a power of ten that doubles hold exactly: their quotient is rounded once. */
TARGET static void NAME(doubles)(struct parsefast *f)
{
    const vw ones = (vw)((vd){0} + 1.0);
    for (size_t i = 0; i < f->n; i += LANES) {
        const vw sign = NAME(load)(&f->shapes[i]) & PARSEFAST_NEGATIVE;
        vw value, scale;
        NAME(digits)(f, i, &value, &scale);
        /* Below 2^52 an integer is a double's fraction. */
        const vd number = (vd)(value | UINT64_C(0x4330000000000000)) - 0x1p52;
        const vd power = POWER(scale, 1, 1e1) * POWER(scale, 2, 1e2) * POWER(scale, 4, 1e4);
        NAME(store)(&f->words[i], (vw)(number / power) | sign);
    }
}

#undef POWER
#undef vw
#undef vh
#undef vq
#undef vd
#undef INLINE
