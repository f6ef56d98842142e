/*
 * verbs_pack.h: members of the maps that verbs answer with: the key, then the value.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_VERBS_PACK_H
#define DROVER_VERBS_PACK_H

#include "common/pack.h"

static inline void verbs_number(struct buf *out, const char *key, uint64_t v)
{
    pack_cstr(out, key);
    pack_u64(out, v);
}

static inline void verbs_real(struct buf *out, const char *key, double v)
{
    pack_cstr(out, key);
    pack_f64(out, v);
}

/* Negative: not known, nil. */
static inline void verbs_known(struct buf *out, const char *key, double v)
{
    pack_cstr(out, key);
    if (v < 0)
        pack_nil(out);
    else
        pack_f64(out, v);
}

static inline void verbs_flag(struct buf *out, const char *key, bool v)
{
    pack_cstr(out, key);
    pack_bool(out, v);
}

/* NULL: nil. */
static inline void verbs_text(struct buf *out, const char *key, const char *v)
{
    pack_cstr(out, key);
    pack_cstr(out, v);
}

/* Empty: nil. */
static inline void verbs_span(struct buf *out, const char *key, struct span v)
{
    pack_cstr(out, key);
    if (v.p && v.len)
        pack_str(out, v);
    else
        pack_nil(out);
}

#endif
