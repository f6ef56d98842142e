/*
 * engines.h: the table of engines that this build has, for spec_parse. The coordinator uses it too:
 * descriptions are compiled at submit, so that their errors reach the person who made them.
 *
 * Thread rule: immutable.
 */
#ifndef DROVER_ENGINES_H
#define DROVER_ENGINES_H

#include "common/spec.h"

extern const struct spec_engine engines_table[];
extern const size_t engines_count;

/* Bits of wire_kind of all engines in the table. */
uint32_t engines_kinds(void);

/* Of the compiled noop stage: each item becomes a row with one text column "item". Its packed item
 * is the text itself. (Scrape items are packed [url, depth].) */
bool engines_noop_rows(const void *compiled);

#endif
