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

/* The compiled noop stage. Each item becomes a row with a text column "item" (rows), besides with
 * "bytes" and "sha256" of the blob that the stage names, or that each item names: those items are slices
 * (common/slice.h). Other items are packed as the text itself. (Scrape items are packed [url, depth].) */
enum engines_noop_blob { ENGINES_NOOP_NONE, ENGINES_NOOP_STAGE, ENGINES_NOOP_ITEM };
struct engines_noop {
    bool rows;
    enum engines_noop_blob of;
    struct blob_name blob; /* of = STAGE */
};

#endif
