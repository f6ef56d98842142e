/*
 * onnx_list.h: the elements of an attribute's list, one after the other, without an array of them: the
 * lists of a large forest have hundreds of megabytes as arrays, and each is read once or twice, in order.
 *
 * A copy of a list is a list of its own, which goes on from where the other was.
 *
 * Thread rule: a list belongs to its caller. The file must be there.
 */
#ifndef DROVER_SCORE_ONNX_LIST_H
#define DROVER_SCORE_ONNX_LIST_H

#include "onnx.h"
#include "proto.h"

struct onnx_list {
    const struct onnx_attr *attr; /* NULL: an empty one */
    size_t at;
    struct proto message, packed;
};

/* type: ONNX_ATTR_FLOATS, _INTS or _STRINGS, as the attribute's. */
struct onnx_list onnx_list_of(const struct onnx_attr *a);
/* The next element. Whoever reads more than attr->n of them gets zeros. */
int64_t onnx_list_int(struct onnx_list *l);
float onnx_list_float(struct onnx_list *l);
struct span onnx_list_text(struct onnx_list *l); /* borrowed from the file; any bytes */

#endif
