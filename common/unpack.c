#include "unpack.h"

void unpack_init(struct unpack *u, const void *p, size_t n)
{
    const uint8_t *begin =
        n ? p : (const void *)""; /* a body that is not there may have no address */
    *u = (struct unpack){.p = begin, .end = begin + n};
}

static size_t left(const struct unpack *u)
{
    return (size_t)(u->end - u->p);
}

static uint64_t fail(struct unpack *u)
{
    u->failed = true;
    u->p = u->end;
    return 0;
}

/* Big-endian unsigned of n bytes. */
static uint64_t be(struct unpack *u, size_t n)
{
    if (left(u) < n)
        return fail(u);
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = (v << 8) | u->p[i];
    u->p += n;
    return v;
}

enum unpack_type unpack_peek(const struct unpack *u)
{
    if (u->failed || u->p == u->end)
        return UNPACK_NONE;
    uint8_t b = *u->p;
    if (b < 0x80 || b >= 0xE0 || (b >= 0xCC && b <= 0xD3))
        return UNPACK_INT;
    if (b < 0x90 || b == 0xDE || b == 0xDF)
        return UNPACK_MAP;
    if (b < 0xA0 || b == 0xDC || b == 0xDD)
        return UNPACK_ARRAY;
    if (b < 0xC0 || (b >= 0xD9 && b <= 0xDB))
        return UNPACK_STR;
    if (b == 0xC0)
        return UNPACK_NIL;
    if (b == 0xC2 || b == 0xC3)
        return UNPACK_BOOL;
    if (b >= 0xC4 && b <= 0xC6)
        return UNPACK_BIN;
    return b == 0xCA || b == 0xCB ? UNPACK_FLOAT : UNPACK_NONE;
}

static uint8_t head(struct unpack *u, enum unpack_type want)
{
    if (unpack_peek(u) != want)
        return (uint8_t)fail(u);
    return *u->p++;
}

/* A count of elements that take at least min_bytes each: more than the bytes left is a lie. */
static size_t count(struct unpack *u, uint64_t n, size_t min_bytes)
{
    return n > left(u) / min_bytes ? (size_t)fail(u) : (size_t)n;
}

size_t unpack_array(struct unpack *u)
{
    uint8_t b = head(u, UNPACK_ARRAY);
    if (u->failed)
        return 0;
    return count(u, b == 0xDC ? be(u, 2) : b == 0xDD ? be(u, 4) : (uint64_t)(b & 15), 1);
}

size_t unpack_map(struct unpack *u)
{
    uint8_t b = head(u, UNPACK_MAP);
    if (u->failed)
        return 0;
    return count(u, b == 0xDE ? be(u, 2) : b == 0xDF ? be(u, 4) : (uint64_t)(b & 15), 2);
}

/* Reads an integer; *ret_negative says whether the bits are of a negative int64. */
static uint64_t integer(struct unpack *u, bool *ret_negative)
{
    *ret_negative = false;
    uint8_t b = head(u, UNPACK_INT);
    if (u->failed || b < 0x80)
        return b;
    int64_t v;
    switch (b) {
    case 0xCC:
    case 0xCD:
    case 0xCE:
    case 0xCF:
        return be(u, (size_t)1 << (b - 0xCC));
    case 0xD0:
        v = (int8_t)be(u, 1);
        break;
    case 0xD1:
        v = (int16_t)be(u, 2);
        break;
    case 0xD2:
        v = (int32_t)be(u, 4);
        break;
    case 0xD3:
        v = (int64_t)be(u, 8);
        break;
    default:
        v = (int8_t)b;
    }
    *ret_negative = v < 0;
    return (uint64_t)v;
}

uint64_t unpack_u64(struct unpack *u)
{
    bool negative;
    uint64_t v = integer(u, &negative);
    return negative ? fail(u) : v;
}

int64_t unpack_i64(struct unpack *u)
{
    bool negative;
    uint64_t v = integer(u, &negative);
    return !negative && v > INT64_MAX ? (int64_t)fail(u) : (int64_t)v;
}

double unpack_f64(struct unpack *u)
{
    if (unpack_peek(u) == UNPACK_INT) {
        bool negative;
        uint64_t v = integer(u, &negative);
        return negative ? (double)(int64_t)v : (double)v;
    }
    uint8_t b = head(u, UNPACK_FLOAT);
    if (u->failed)
        return 0;
    if (b == 0xCA) {
        uint32_t bits = (uint32_t)be(u, 4);
        float f;
        memcpy(&f, &bits, sizeof f);
        return (double)f;
    }
    uint64_t bits = be(u, 8);
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

bool unpack_bool(struct unpack *u)
{
    return head(u, UNPACK_BOOL) == 0xC3;
}

static struct span bytes(struct unpack *u, uint64_t n)
{
    if (u->failed || n > left(u)) {
        fail(u);
        return (struct span){NULL, 0};
    }
    struct span s = {(const char *)u->p, (size_t)n};
    u->p += n;
    return s;
}

static bool nil(struct unpack *u)
{
    if (unpack_peek(u) != UNPACK_NIL)
        return false;
    u->p++;
    return true;
}

struct span unpack_str(struct unpack *u)
{
    if (nil(u))
        return (struct span){NULL, 0};
    uint8_t b = head(u, UNPACK_STR);
    if (u->failed)
        return (struct span){NULL, 0};
    return bytes(u, b < 0xC0 ? (uint64_t)(b & 31) : be(u, (size_t)1 << (b - 0xD9)));
}

struct span unpack_bin(struct unpack *u)
{
    if (nil(u))
        return (struct span){NULL, 0};
    uint8_t b = head(u, UNPACK_BIN);
    if (u->failed)
        return (struct span){NULL, 0};
    return bytes(u, be(u, (size_t)1 << (b - 0xC4)));
}

static void skip(struct unpack *u, unsigned depth)
{
    size_t n = 0;
    bool negative;
    if (depth > UNPACK_DEPTH_MAX) {
        fail(u);
        return;
    }
    switch (unpack_peek(u)) {
    case UNPACK_NIL:
    case UNPACK_BOOL:
        u->p++;
        break;
    case UNPACK_INT:
        integer(u, &negative);
        break;
    case UNPACK_FLOAT:
        unpack_f64(u);
        break;
    case UNPACK_STR:
        unpack_str(u);
        break;
    case UNPACK_BIN:
        unpack_bin(u);
        break;
    case UNPACK_ARRAY:
        n = unpack_array(u);
        break;
    case UNPACK_MAP:
        n = 2 * unpack_map(u);
        break;
    default:
        fail(u);
    }
    for (size_t i = 0; i < n && !u->failed; i++)
        skip(u, depth + 1);
}

void unpack_skip(struct unpack *u)
{
    skip(u, 0);
}

void unpack_skip_n(struct unpack *u, size_t n)
{
    for (size_t i = 0; i < n && !u->failed; i++)
        skip(u, 0);
}

struct span unpack_raw(struct unpack *u)
{
    const uint8_t *start = u->p;
    skip(u, 0);
    if (u->failed)
        return (struct span){NULL, 0};
    return (struct span){(const char *)start, (size_t)(u->p - start)};
}

void unpack_tuple(struct unpack *u, size_t min, size_t *ret_extra)
{
    size_t n = unpack_array(u);
    *ret_extra = 0;
    if (n < min)
        fail(u);
    else
        *ret_extra = n - min;
}
