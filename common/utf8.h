/* utf8.h: validity of UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). */
#ifndef DROVER_UTF8_H
#define DROVER_UTF8_H

#include "base.h"

/* The length (1 to 4) of the valid sequence at p, or 0 when there is none within n bytes. */
size_t utf8_sequence(const char *p, size_t n);

/* The number of leading bytes of s that are valid UTF-8: s.len when all are. */
size_t utf8_valid_prefix(struct span s);

#endif
