/*
 * agg_string.c: string_agg. The compiler gives it texts with the delimiter in front of each
 * (analyze_call.c), so that it only joins. What comes from one place of the input (agg.h) is one
 * piece; pieces are kept in the order of their places, whichever comes first.
 */
#include "agg_table.h"

struct piece {
    struct piece *next;
    uint64_t place;
    char *p; /* room for cap bytes, in the arena */
    size_t len, cap;
};

struct joined {
    struct piece *pieces;
    struct piece *last; /* that was appended to */
};

/* The piece of that place; a new one goes behind those of the same place. NULL: no memory. */
static struct piece *piece_at(struct joined *s, uint64_t place, bool fresh, struct arena *a)
{
    struct piece **at = &s->pieces;
    if (!fresh && s->last && s->last->place == place)
        return s->last;
    while (*at && (*at)->place <= place)
        at = &(*at)->next;
    struct piece *new = arena_zalloc(a, sizeof *new);
    if (!new)
        return NULL;
    new->place = place;
    new->next = *at;
    *at = s->last = new;
    return new;
}

static bool append(struct piece *piece, struct span s, struct arena *a)
{
    enum { CAP_MIN = 32 };
    if (!piece)
        return false;
    if (piece->cap - piece->len < s.len || !piece->p) {
        size_t least = MAX(piece->len + s.len, (size_t)CAP_MIN);
        size_t cap = MAX(piece->cap * 2, least);
        char *p = arena_alloc(a, cap);
        if (!p)
            return false;
        memcpy(p, piece->p ? piece->p : "", piece->len);
        piece->p = p;
        piece->cap = cap;
    }
    memcpy(piece->p + piece->len, s.p, s.len);
    piece->len += s.len;
    return true;
}

UPDATE(joined_update)
{
    SEL_EACH(sel, i)
    {
        struct joined *s = STATE(struct joined, i);
        if (!append(piece_at(s, place, false, a), arg->text[i], a))
            return false;
    }
    return true;
}

MERGE(joined_merge)
{
    const struct joined *from = from_state;
    for (const struct piece *p = from->pieces; p; p = p->next)
        if (!append(piece_at(to_state, p->place, true, a), (struct span){p->p, p->len}, a))
            return false;
    return true;
}

FINISH(joined_finish)
{
    const struct joined *s = state;
    size_t n = 0;
    for (const struct piece *p = s->pieces; p; p = p->next)
        n += p->len;
    char *to = arena_alloc(a, n + VEC_PAD);
    if (!to)
        return false;
    out->text[i] = (struct span){to, n};
    for (const struct piece *p = s->pieces; p; p = p->next) {
        memcpy(to, p->p, p->len);
        to += p->len;
    }
    memset(to, 0, VEC_PAD);
    if (!s->pieces)
        vec_set_null(out, i);
    return true;
}

SAVE(joined_save)
{
    const struct joined *s = state;
    uint32_t n = 0;
    for (const struct piece *p = s->pieces; p; p = p->next)
        n++;
    pack_array(out, n);
    for (const struct piece *p = s->pieces; p; p = p->next) {
        pack_u64(out, p->place);
        pack_str(out, (struct span){p->p, p->len});
    }
}

LOAD(joined_load)
{
    struct joined *s = state;
    for (size_t n = unpack_array(u); n > 0 && unpack_ok(u); n--) {
        uint64_t place = unpack_u64(u);
        struct span text = state_get_text(u);
        if (unpack_ok(u) && !append(piece_at(s, place, true, a), text, a))
            return false;
    }
    return unpack_ok(u);
}

static const struct agg aggs[] = {
    AGG("string_agg", TEXT, TEXT, NO, struct joined, joined, joined, joined),
};

AGG_TABLE(agg_string_table, aggs);
