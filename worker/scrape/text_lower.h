/* text_lower.h: lower case without a locale. Pure. */
#ifndef DROVER_TEXT_LOWER_H
#define DROVER_TEXT_LOWER_H

#include "common/base.h"

/* Makes valid UTF-8 lower case in place: ASCII, Latin-1, Latin Extended-A, Greek, Cyrillic and
 * Armenian, whose capital and small letters take the same number of bytes. */
void text_lower(char *p, size_t n);

#endif
