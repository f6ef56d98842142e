/*
 * onnx_read.h: what the readers of messages (onnx.c, onnx_tensor.c) share: strings and repeated
 * fields, counted before they are allocated.
 *
 * Thread rule: a reader belongs to its caller.
 */
#ifndef DROVER_SCORE_ONNX_READ_H
#define DROVER_SCORE_ONNX_READ_H

#include "onnx.h"
#include "proto.h"

struct onnx_reader {
    struct arena *keep, *load;
    struct error *e;
    char where[300]; /* "node 3 (Add 'sum'), attribute 'axis'": what errors begin with */
};

int onnx_fail(struct onnx_reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
int onnx_nomem(struct onnx_reader *r);
void onnx_where(struct onnx_reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The next field, or 0 at the end; an error of the wire format is reported with *ret_rc set. */
bool onnx_next(struct onnx_reader *r, struct proto *p, struct proto_field *f, int *ret_rc);

/* A field of this kind, or an error that names the field. */
int onnx_expect(struct onnx_reader *r, const struct proto_field *f, enum proto_wire wire,
                const char *field) MUST_CHECK;

/* A NUL-terminated copy of a name: valid UTF-8, no NUL, at most ONNX_NAME_BYTES_MAX. */
int onnx_name(struct onnx_reader *r, const struct proto_field *f, const char *field,
              const char **ret) MUST_CHECK;

/* A copy of text (valid UTF-8, bounded). */
int onnx_text(struct onnx_reader *r, struct arena *mem, const struct proto_field *f,
              const char *field, struct span *ret) MUST_CHECK;

/* How often the field occurs as a message or text. */
int onnx_count(struct onnx_reader *r, struct span message, uint32_t number, size_t limit,
               const char *field, size_t *ret) MUST_CHECK;

/* All numbers of a repeated field, packed or not. wire says how one is coded. */
int onnx_numbers(struct onnx_reader *r, struct span message, uint32_t number, enum proto_wire wire,
                 const char *field, size_t *ret_n, uint64_t *out, size_t room) MUST_CHECK;

int onnx_tensor(struct onnx_reader *r, struct arena *mem, struct span message,
                struct onnx_tensor *ret) MUST_CHECK;

#endif
