/*
 * charset.h: the bytes of a page as UTF-8. The encoding is told by a byte order mark, the
 * Content-Type header, a <meta> in the first 1024 bytes, or else: UTF-8 when the bytes are that, and
 * windows-1252 (the WHATWG HTML standard's order). What cannot be decoded becomes U+FFFD; NUL is
 * dropped. lexbor's encoding module decodes.
 *
 * Thread rule: a charset_ctx belongs to one thread.
 */
#ifndef DROVER_CHARSET_H
#define DROVER_CHARSET_H

#include "common/base.h"

struct charset_ctx;

struct charset_ctx *charset_ctx_new(void) MUST_CHECK; /* NULL: no memory */
void charset_ctx_free(struct charset_ctx *c);
void charset_ctx_trim(struct charset_ctx *c,
                      size_t bytes); /* gives back a scratch buffer above it */

/* *ret points into bytes when they need no change, else into memory of c until the next call.
 * False: no memory. */
bool charset_decode(struct charset_ctx *c, struct span bytes, struct span content_type,
                    struct span *ret) MUST_CHECK;

/* The value of charset= in a Content-Type; empty: there is none. */
struct span charset_of_content_type(struct span content_type);

#endif
