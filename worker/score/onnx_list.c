#include "onnx_list.h"

enum { FIELD_FLOATS = 7, FIELD_INTS = 8, FIELD_STRINGS = 9 }; /* of AttributeProto */

struct onnx_list onnx_list_of(const struct onnx_attr *a)
{
    struct onnx_list l = {.attr = a};
    if (a && a->lazy.p)
        l.message = proto_of(a->lazy);
    return l;
}

/* The next field of that number. */
static bool next_field(struct onnx_list *l, uint32_t number, struct proto_field *ret)
{
    while (proto_next(&l->message, ret) > 0)
        if (ret->number == number)
            return true;
    return false;
}

int64_t onnx_list_int(struct onnx_list *l)
{
    struct proto_field f;
    uint64_t v = 0;
    if (!l->attr || l->at >= l->attr->n)
        return 0;
    l->at++;
    if (!l->attr->lazy.p)
        return l->attr->ints[l->at - 1];
    while (proto_varint(&l->packed, &v) <= 0) {
        if (!next_field(l, FIELD_INTS, &f))
            return 0;
        if (f.wire == PROTO_VARINT)
            return (int64_t)f.u;
        l->packed = proto_of(f.bytes);
    }
    return (int64_t)v;
}

float onnx_list_float(struct onnx_list *l)
{
    struct proto_field f;
    float v = 0;
    if (!l->attr || l->at >= l->attr->n)
        return 0;
    l->at++;
    if (!l->attr->lazy.p)
        return l->attr->floats[l->at - 1];
    while (l->packed.end - l->packed.p < (ptrdiff_t)sizeof v) {
        if (!next_field(l, FIELD_FLOATS, &f))
            return 0;
        if (f.wire == PROTO_I32)
            return proto_f32(f.u);
        l->packed = proto_of(f.bytes);
    }
    memcpy(&v, l->packed.p, sizeof v); /* little-endian, as the machines that drover runs on */
    l->packed.p += sizeof v;
    return v;
}

struct span onnx_list_text(struct onnx_list *l)
{
    struct proto_field f;
    if (!l->attr || l->at >= l->attr->n)
        return (struct span){"", 0};
    l->at++;
    if (!l->attr->lazy.p)
        return l->attr->strings[l->at - 1];
    return next_field(l, FIELD_STRINGS, &f) ? f.bytes : (struct span){"", 0};
}
