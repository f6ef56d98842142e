/*
 * wire_part.h: the parts that messages are made of (texts, tokens, counts, statistics), packed and read
 * with their limits. Only wire.c uses it. Readers fail the struct unpack they are given; *nomem says
 * that memory was the reason.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_WIRE_PART_H
#define DROVER_WIRE_PART_H

#include "unpack.h"
#include "wire.h"

/* Text that may have been cut inside a character or come from a foreign library. What is not UTF-8
 * becomes '?', since a reader refuses the whole message otherwise. p == NULL packs nil. */
void wire_part_pack_text(struct buf *out, struct span s);
void wire_part_pack_raw(struct buf *out, struct span packed); /* a value that is packed already */
void wire_part_pack_token(struct buf *out, const struct wire_token *t); /* three elements */
void wire_part_pack_stats(struct buf *out, const struct wire_stat *stats, size_t n);

/* Enters an array of at most max elements that take at least min_bytes each. What a count makes us
 * allocate is bounded by that: a byte on the wire never costs more than a few in the arena. */
size_t wire_part_count(struct unpack *u, size_t min_bytes, size_t max);

/* Room for n elements, zeroed; NULL also when n is 0 or u has failed. */
void *wire_part_room(struct unpack *u, struct arena *a, size_t n, size_t size, bool *nomem);

uint32_t wire_part_u32(struct unpack *u);
struct span wire_part_text(struct unpack *u);                       /* UTF-8 */
struct span wire_part_text_or_nil(struct unpack *u);                /* nil: p == NULL */
struct span wire_part_raw(struct unpack *u, enum unpack_type want); /* one value as its bytes */
struct wire_token wire_part_token(struct unpack *u);
void wire_part_stats(struct unpack *u, struct arena *a, struct wire_stat **ret, size_t *ret_n,
                     bool *nomem);

/* Ends the reading of a body: OK when all of it was read without an error. what: "RESULT". */
int wire_part_end(const struct unpack *u, bool nomem, const char *what, struct error *e) MUST_CHECK;

#endif
