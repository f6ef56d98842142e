/*
 * unpack.h: reads msgpack by position, bounded. It allocates nothing, checks every declared count
 * and length against the bytes that are left, and limits nesting. The first error sticks: later
 * reads return zero values, and unpack_ok() tells at the end.
 *
 * Thread rule: one owner at a time. Spans point into the message.
 */
#ifndef DROVER_UNPACK_H
#define DROVER_UNPACK_H

#include "base.h"

enum { UNPACK_DEPTH_MAX = 64 }; /* nesting that unpack_skip and unpack_value accept */

enum unpack_type {
    UNPACK_NIL,
    UNPACK_BOOL,
    UNPACK_INT,
    UNPACK_FLOAT,
    UNPACK_STR,
    UNPACK_BIN,
    UNPACK_ARRAY,
    UNPACK_MAP,
    UNPACK_NONE /* nothing left, or a type that drover does not use (ext) */
};

struct unpack {
    const uint8_t *p, *end;
    bool failed;
};

void unpack_init(struct unpack *u, const void *p, size_t n);

static inline bool unpack_ok(const struct unpack *u)
{
    return !u->failed;
}

/* True when no error happened and every byte was read. */
static inline bool unpack_finished(const struct unpack *u)
{
    return !u->failed && u->p == u->end;
}

enum unpack_type unpack_peek(const struct unpack *u); /* of the next value; reads nothing */
size_t unpack_array(struct unpack *u);                /* number of elements that follow */
size_t unpack_map(struct unpack *u);                  /* number of pairs that follow */
uint64_t unpack_u64(struct unpack *u);                /* a negative number is an error */
int64_t unpack_i64(struct unpack *u);                 /* above INT64_MAX is an error */
double unpack_f64(struct unpack *u);                  /* integers are accepted */
bool unpack_bool(struct unpack *u);
struct span unpack_str(struct unpack *u); /* nil gives p == NULL */
struct span unpack_bin(struct unpack *u); /* nil gives p == NULL */
void unpack_skip(struct unpack *u);       /* one value of any type */
struct span unpack_raw(struct unpack *u); /* one value of any type, as its bytes */

/* Enters an array that must have at least min elements; *ret_extra is how many more there are, which
 * a newer peer may have added and the caller skips. */
void unpack_tuple(struct unpack *u, size_t min, size_t *ret_extra);
void unpack_skip_n(struct unpack *u, size_t n);

#endif
