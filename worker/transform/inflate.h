/*
 * inflate.h: reads a file that may be compressed. gzip (RFC 1952) and zstd (RFC 8878) are told by
 * their first bytes and decompressed as they are read, member after member; anything else comes out
 * as it is, except what begins like an archive or a format of other programs, which is refused with its
 * name. The memory is bounded: a buffer, and the window of the format (zstd: what the frame asks
 * for, INFLATE_WINDOW_LOG at most).
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_INFLATE_H
#define DROVER_TRANSFORM_INFLATE_H

#include "csv.h"

enum {
    INFLATE_MAGIC_BYTES = 4,
    INFLATE_WINDOW_LOG = 27 /* 128 MiB: what zstd itself takes without being told to take more */
};

/* The first bytes of a file are those of a compressed one. */
bool inflate_is(const void *p, size_t n);

struct inflate;

int inflate_new(csv_read_fn *read, void *user, struct inflate **ret, struct error *e) MUST_CHECK;
void inflate_free(struct inflate *z); /* takes NULL */

/* A csv_read_fn whose user is a struct inflate. MALFORMED: damaged or cut, with the byte of the file
 * where that was seen. */
int inflate_read(void *user, void *to, size_t n, size_t *ret_n, struct error *e) MUST_CHECK;

#endif
