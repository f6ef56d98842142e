#include "proto.h"

static int malformed(struct proto *r, const char *why)
{
    r->why = why;
    return -1;
}

int proto_varint(struct proto *r, uint64_t *ret)
{
    uint64_t v = 0;
    if (r->p == r->end)
        return 0;
    if (*r->p < 0x80) { /* most have one byte */
        *ret = *r->p++;
        return 1;
    }
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (r->p == r->end)
            return malformed(r, "truncated in the middle of a number");
        uint8_t byte = *r->p++;
        v |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *ret = v;
            return 1;
        }
    }
    return malformed(r, "a number has more than ten bytes");
}

static int fixed(struct proto *r, size_t n, uint64_t *ret)
{
    uint64_t v = 0;
    if ((size_t)(r->end - r->p) < n)
        return malformed(r, "truncated in the middle of a number");
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)r->p[i] << (8 * i);
    r->p += n;
    *ret = v;
    return 1;
}

static int bytes(struct proto *r, struct span *ret)
{
    uint64_t n;
    int got = proto_varint(r, &n);
    if (got <= 0)
        return got < 0 ? got : malformed(r, "truncated before a length");
    if (n > (uint64_t)(r->end - r->p))
        return malformed(r, "truncated: a length reaches past the end");
    *ret = (struct span){(const char *)r->p, (size_t)n};
    r->p += n;
    return 1;
}

int proto_next(struct proto *r, struct proto_field *ret)
{
    struct proto_field f = {0};
    uint64_t tag;
    int got = proto_varint(r, &tag);
    if (got <= 0)
        return got;
    if (tag >> 3 == 0 || tag >> 3 >= 1u << 29)
        return malformed(r, "a field number is out of range");
    f.number = (uint32_t)(tag >> 3);
    f.wire = (enum proto_wire)(tag & 7);
    switch (tag & 7) {
    case PROTO_VARINT:
        got = proto_varint(r, &f.u);
        if (got == 0)
            got = malformed(r, "truncated before a number");
        break;
    case PROTO_I64:
        got = fixed(r, 8, &f.u);
        break;
    case PROTO_I32:
        got = fixed(r, 4, &f.u);
        break;
    case PROTO_LEN:
        got = bytes(r, &f.bytes);
        break;
    default:
        return malformed(r, "an unknown wire type");
    }
    if (got > 0)
        *ret = f;
    return got;
}
