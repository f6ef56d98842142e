/*
 * buf.h: a growable run of bytes with a limit. Appending never needs a check of its own: a failure
 * (no memory, limit passed) sticks, later appends do nothing, and buf_ok() tells at the end.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_BUF_H
#define DROVER_BUF_H

#include "base.h"

struct buf {
    uint8_t *data;
    size_t len, cap;
    size_t limit_bytes; /* 0: no limit */
    bool failed;
};

void buf_init(struct buf *b, size_t limit_bytes);
void buf_done(struct buf *b);  /* frees; the buffer may be used again as after buf_init(b, 0) */
void buf_clear(struct buf *b); /* empties and forgets a failure; keeps the memory */

static inline bool buf_ok(const struct buf *b)
{
    return !b->failed;
}

/* Room for n more bytes at data + len, or NULL (the failure sticks). The caller adds to len. */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_append(struct buf *b, const void *p, size_t n);
void buf_byte(struct buf *b, uint8_t byte);
void buf_str(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Appends s as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void buf_json_str(struct buf *b, struct span s);

static inline struct span buf_span(const struct buf *b)
{
    return (struct span){(const char *)b->data, b->len};
}

/* The bytes as a NUL-terminated string that the caller frees; the buffer is empty after. NULL: failed. */
char *buf_take_str(struct buf *b);

#endif
