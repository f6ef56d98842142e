/*
 * decode.h: undoes a Content-Encoding: gzip, deflate, br, zstd. Bodies are kept as they came and are
 * decoded in one piece when they are complete, so that only one decoded page is in memory at a time.
 *
 * Output is counted as it is produced and never exceeds the limit by more than a chunk, whatever a
 * bomb announces. Window sizes are bounded by what HTTP allows (zstd: 8 MB, RFC 9659; brotli: 16 MB,
 * RFC 7932, no large windows).
 *
 * Thread rule: one thread per decoder.
 */
#ifndef DROVER_DECODE_H
#define DROVER_DECODE_H

#include "common/buf.h"

struct decoder;

enum decode_coding {
    DECODE_IDENTITY,
    DECODE_GZIP,
    DECODE_DEFLATE,
    DECODE_BR,
    DECODE_ZSTD,
    DECODE_UNKNOWN
};

enum decode_result {
    DECODE_OK,
    DECODE_BAD,       /* not such data */
    DECODE_TRUNCATED, /* the data end in the middle */
    DECODE_TOO_LARGE, /* more than the limit comes out */
    DECODE_NOMEM
};

struct decoder *decoder_new(void) MUST_CHECK; /* NULL: no memory */
void decoder_free(struct decoder *d);

/* What the value of a Content-Encoding header names. More than one coding, which no server in
 * practice sends, is DECODE_UNKNOWN. */
enum decode_coding decode_coding_of(struct span header);

/* Decodes in into out (cleared first). */
enum decode_result decode_body(struct decoder *d, enum decode_coding coding, struct span in,
                               size_t limit_bytes, struct buf *out) MUST_CHECK;

#endif
