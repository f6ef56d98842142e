#include "onnx_read.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/utf8.h"

int onnx_fail(struct onnx_reader *r, const char *fmt, ...)
{
    char text[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return error_set(r->e, ERR_INVALID_SPEC, "model: %s%s%s", r->where, r->where[0] ? ": " : "",
                     text);
}

int onnx_nomem(struct onnx_reader *r)
{
    return error_set(r->e, ERR_NOMEM, "model: %s: no memory left", r->where);
}

void onnx_where(struct onnx_reader *r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(r->where, sizeof r->where, fmt, args);
    va_end(args);
}

bool onnx_next(struct onnx_reader *r, struct proto *p, struct proto_field *f, int *ret_rc)
{
    int got = proto_next(p, f);
    if (got < 0)
        *ret_rc = onnx_fail(r, "damaged, or not in the format of ONNX: %s", p->why);
    return got > 0;
}

int onnx_expect(struct onnx_reader *r, const struct proto_field *f, enum proto_wire wire,
                const char *field)
{
    if (f->wire != wire)
        return onnx_fail(r, "field %s is coded as wire type %d, not %d", field, (int)f->wire,
                         (int)wire);
    return ERR_OK;
}

static int text_valid(struct onnx_reader *r, const struct proto_field *f, const char *field,
                      size_t limit)
{
    int rc = onnx_expect(r, f, PROTO_LEN, field);
    if (rc)
        return rc;
    if (f->bytes.len > limit)
        return onnx_fail(r, "field %s has %zu bytes, over the %zu allowed", field, f->bytes.len,
                         limit);
    if (utf8_valid_prefix(f->bytes) != f->bytes.len)
        return onnx_fail(r, "field %s is no valid UTF-8", field);
    if (f->bytes.len && memchr(f->bytes.p, 0, f->bytes.len))
        return onnx_fail(r, "field %s has a NUL character", field);
    return ERR_OK;
}

int onnx_name(struct onnx_reader *r, const struct proto_field *f, const char *field,
              const char **ret)
{
    int rc = text_valid(r, f, field, ONNX_NAME_BYTES_MAX);
    if (rc)
        return rc;
    char *copy = arena_strndup(r->keep, f->bytes.p, f->bytes.len);
    if (!copy)
        return onnx_nomem(r);
    *ret = copy;
    return ERR_OK;
}

int onnx_text(struct onnx_reader *r, struct arena *mem, const struct proto_field *f,
              const char *field, struct span *ret)
{
    int rc = text_valid(r, f, field, ONNX_STRING_BYTES_MAX);
    if (rc)
        return rc;
    char *copy = arena_strndup(mem, f->bytes.p, f->bytes.len);
    if (!copy)
        return onnx_nomem(r);
    *ret = (struct span){copy, f->bytes.len};
    return ERR_OK;
}

int onnx_count(struct onnx_reader *r, struct span message, uint32_t number, size_t limit,
               const char *field, size_t *ret)
{
    struct proto p = proto_of(message);
    struct proto_field f;
    int rc = ERR_OK;
    size_t n = 0;
    while (onnx_next(r, &p, &f, &rc)) {
        if (f.number != number)
            continue;
        if ((rc = onnx_expect(r, &f, PROTO_LEN, field)))
            return rc;
        if (++n > limit)
            return onnx_fail(r, "field %s has more than %zu elements", field, limit);
    }
    if (!rc)
        *ret = n;
    return rc;
}

static int packed(struct onnx_reader *r, struct proto *p, enum proto_wire wire, uint64_t *ret)
{
    if (wire == PROTO_VARINT)
        return proto_varint(p, ret);
    size_t width = wire == PROTO_I32 ? 4 : 8, left = (size_t)(p->end - p->p);
    uint64_t v = 0;
    (void)r;
    if (left == 0)
        return 0;
    if (left < width) {
        p->why = "a packed array ends in the middle of an element";
        return -1;
    }
    memcpy(&v, p->p, width); /* little-endian, as the machines that drover runs on */
    p->p += width;
    *ret = v;
    return 1;
}

int onnx_numbers(struct onnx_reader *r, struct span message, uint32_t number, enum proto_wire wire,
                 const char *field, size_t *ret_n, uint64_t *out, size_t room)
{
    struct proto p = proto_of(message);
    struct proto_field f;
    int rc = ERR_OK;
    size_t n = 0;
    while (onnx_next(r, &p, &f, &rc)) {
        if (f.number != number)
            continue;
        if (f.wire == wire) {
            if (n < room)
                out[n] = f.u;
            n++;
            continue;
        }
        if ((rc = onnx_expect(r, &f, PROTO_LEN, field)))
            return rc;
        struct proto inner = proto_of(f.bytes);
        uint64_t v;
        int got;
        while ((got = packed(r, &inner, wire, &v)) > 0) {
            if (n < room)
                out[n] = v;
            n++;
        }
        if (got < 0)
            return onnx_fail(r, "field %s: %s", field, inner.why);
    }
    if (!rc)
        *ret_n = n;
    return rc;
}
