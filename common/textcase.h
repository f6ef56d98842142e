/*
 * textcase.h: characters of UTF-8: counting, stepping, letter case, word characters.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TEXTCASE_H
#define DROVER_TEXTCASE_H

#include "base.h"

enum { TEXTCASE_BYTES_MAX = 4 }; /* of a character */

uint32_t textcase_to_lower(uint32_t c);
uint32_t textcase_to_upper(uint32_t c);
bool textcase_is_alnum(uint32_t c);

/* The character at p (valid UTF-8) and its length. */
uint32_t textcase_read(const char *p, size_t *ret_len);
size_t textcase_write(uint32_t c, char *to);

static inline bool textcase_starts(char byte)
{
    return ((uint8_t)byte & 0xc0) != 0x80;
}

/* Characters in s; bytes of its first n characters, s.len when there are fewer. */
size_t textcase_count(struct span s);
size_t textcase_bytes(struct span s, size_t n);

#endif
