/*
 * proto.h: reads the protobuf wire format, one field at a time, without allocating. It knows no
 * message: who calls it decides which numbers mean what. Groups (deprecated) are refused.
 *
 * Format: https://protobuf.dev/programming-guides/encoding/
 *
 * Thread rule: a reader belongs to its caller.
 */
#ifndef DROVER_SCORE_PROTO_H
#define DROVER_SCORE_PROTO_H

#include "common/base.h"

enum proto_wire { PROTO_VARINT = 0, PROTO_I64 = 1, PROTO_LEN = 2, PROTO_I32 = 5 };

struct proto {
    const uint8_t *p, *end;
    const char *why; /* what is malformed, after -1 */
};

struct proto_field {
    uint32_t number;
    enum proto_wire wire;
    uint64_t u;        /* VARINT, I64, I32 */
    struct span bytes; /* LEN; borrowed from the input */
};

static inline struct proto proto_of(struct span message)
{
    const uint8_t *p = (const uint8_t *)message.p;
    return (struct proto){.p = p, .end = p ? p + message.len : p};
}

/* The next field: 1, or 0 at the end, or -1 when the bytes are malformed. */
int proto_next(struct proto *r, struct proto_field *ret) MUST_CHECK;

/* One varint of a packed field: same results. */
int proto_varint(struct proto *r, uint64_t *ret) MUST_CHECK;

static inline float proto_f32(uint64_t u)
{
    uint32_t bits = (uint32_t)u;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline double proto_f64(uint64_t u)
{
    double v;
    memcpy(&v, &u, sizeof v);
    return v;
}

#endif
