/*
 * redis_rows.h: a landing as the command that carries it: which of its rows Redis can take, its
 * keys, and its rows as the script reads them.
 *
 * All keys of a job have the hash tag {uid}, 32 hexadecimal digits, so that they share a slot.
 *
 * Thread rule: belongs to one thread.
 */
#ifndef DROVER_REDIS_ROWS_H
#define DROVER_REDIS_ROWS_H

#include "common/buf.h"
#include "sink.h"

enum {
    REDIS_TAG_LEN = 2 * SINK_UID_LEN,
    REDIS_KEY_VALUE_MAX = 8192,      /* bytes of the key column's value */
    REDIS_LANDING_ROWS_MAX = 250000, /* a command has 1,048,576 arguments at most */
    REDIS_LANDING_BYTES_MAX =
        64 * 1024 * 1024 /* of the command: Redis does nothing else meanwhile */
};

/* Memory that is used again from landing to landing. */
struct redis_rows {
    struct buf names;   /* each column's, as the script reads it */
    struct buf name_at; /* uint32_t: where each ends */
    struct buf row, cell;
    char sha[41]; /* of the script */
};

void redis_rows_init(struct redis_rows *r);
void redis_rows_done(struct redis_rows *r);

/* 32 hexadecimal digits and NUL. */
void redis_rows_tag(const uint8_t uid[SINK_UID_LEN], char ret[REDIS_TAG_LEN + 1]);
/* An argument: PREFIX:{tag}:LAST */
void redis_rows_key(struct buf *out, const char *prefix, const char *tag, const char *last);

/* Looks for rows that Redis cannot take: they become rejects, or the landing fails, which is its
 * verdict then. Returns how many are left. */
uint32_t redis_rows_screen(struct redis_rows *r, struct landing *l);
/* Appends the command, with the n_good rows that redis_rows_screen left. */
void redis_rows_put(struct redis_rows *r, const struct landing *l, uint32_t n_good,
                    struct buf *out);
/* The row of the batch that is the index-th of those that were put. */
uint32_t redis_rows_nth(struct redis_rows *r, const struct landing *l, uint32_t index);

#endif
