/* agg_flags.c: bool_and (every) and bool_or. */
#include "agg_table.h"

struct flags {
    bool any, all_true, one_true;
};

UPDATE(flags_update)
{
    SEL_EACH(sel, i)
    {
        struct flags *f = STATE(struct flags, i);
        f->all_true = (f->all_true || !f->any) && arg->b8[i];
        f->one_true |= arg->b8[i];
        f->any = true;
    }
    return true;
}

MERGE(flags_merge)
{
    struct flags *to = to_state;
    const struct flags *from = from_state;
    if (!from->any)
        return true;
    to->all_true = (to->all_true || !to->any) && from->all_true;
    to->one_true |= from->one_true;
    to->any = true;
    return true;
}

SAVE(flags_save)
{
    const struct flags *f = state;
    pack_u64(out, (uint64_t)(f->any | f->all_true << 1 | f->one_true << 2));
}

LOAD(flags_load)
{
    uint64_t bits = unpack_u64(u);
    *(struct flags *)state = (struct flags){bits & 1, bits >> 1 & 1, bits >> 2 & 1};
    u->failed |= bits > 7;
    return unpack_ok(u);
}

FINISH(and_finish)
{
    const struct flags *f = state;
    out->b8[i] = f->all_true;
    if (!f->any)
        vec_set_null(out, i);
    return true;
}

FINISH(or_finish)
{
    const struct flags *f = state;
    out->b8[i] = f->one_true;
    if (!f->any)
        vec_set_null(out, i);
    return true;
}

static const struct agg aggs[] = {
    AGG("bool_and", BOOL, BOOL, SAME, struct flags, flags, and, flags),
    AGG("every", BOOL, BOOL, SAME, struct flags, flags, and, flags),
    AGG("bool_or", BOOL, BOOL, SAME, struct flags, flags, or, flags),
};

AGG_TABLE(agg_flags_table, aggs);
