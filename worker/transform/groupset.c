#include "groupset.h"

#include "common/pack.h"

int groupset_init(struct groupset *s, const struct agg *agg, enum sqltype type, size_t limit_bytes)
{
    *s = (struct groupset){.agg = agg};
    keyset_init(&s->set, limit_bytes);
    buf_init(&s->key, 0);
    s->state = calloc(1, agg->state_bytes);
    int rc = s->state ? vec_init(&s->value, type) : ERR_NOMEM;
    if (rc)
        groupset_done(s);
    return rc;
}

void groupset_done(struct groupset *s)
{
    keyset_done(&s->set);
    buf_done(&s->key);
    vec_done(&s->value);
    free(s->state);
    *s = (struct groupset){0};
}

size_t groupset_bytes(const struct groupset *s)
{
    return s->set.memory.used_bytes;
}

/* Puts what stands in the key behind the number of its group. */
static bool put(struct groupset *s, bool *ret_new)
{
    return buf_reserve(&s->key, VEC_PAD) &&
           keyset_put(&s->set, buf_span(&s->key), ret_new) != KEYSET_NONE;
}

static void begin_key(struct groupset *s, uint32_t group)
{
    s->key.len = 0;
    buf_append(&s->key, &group, sizeof group);
}

/* A value that was there before is counted no more, but the scale that it shows is. */
static bool show_scale(struct groupset *s, char *state, const struct vec *arg, uint32_t row,
                       struct arena *a)
{
    static const uint32_t group[VEC_ROWS];
    uint16_t rows[] = {(uint16_t)row};
    struct sel one = {rows, 1};
    memset(s->state, 0, s->agg->state_bytes);
    return s->agg->update(s->state, group, arg, &one, 0, a) && s->agg->raise(state, s->state, a);
}

bool groupset_add(struct groupset *s, char *states, const uint32_t *groups, const struct vec *arg,
                  const struct sel *sel, struct arena *a, struct arena *scratch)
{
    uint16_t fresh[VEC_ROWS];
    struct sel rows = {fresh, 0};
    SEL_EACH(sel, i)
    {
        bool is_new;
        begin_key(s, groups[i]);
        keyset_encode(arg, i, scratch, &s->key);
        if (!put(s, &is_new))
            return false;
        fresh[rows.n] = (uint16_t)i;
        rows.n += is_new;
        if (!is_new && s->agg->raise &&
            !show_scale(s, states + groups[i] * s->agg->state_bytes, arg, i, a))
            return false;
    }
    return s->agg->update(states, groups, arg, &rows, 0, a);
}

/* The bytes of a value, as they stand in a set. */
static bool take(struct groupset *s, char *states, uint32_t group, struct span value,
                 struct arena *a, bool *ret_malformed)
{
    const struct sel one = {NULL, 1};
    bool is_new;
    begin_key(s, group);
    buf_append(&s->key, value.p, value.len);
    if (!put(s, &is_new))
        return false;
    if (!is_new)
        return true;
    *ret_malformed = !keyset_decode(value, &s->value, 0, a);
    return !*ret_malformed && s->agg->update(states, &group, &s->value, &one, 0, a);
}

bool groupset_merge(struct groupset *s, char *states, const struct groupset *from,
                    const char *from_states, const uint32_t *map, uint32_t n, struct arena *a)
{
    size_t size = s->agg->state_bytes;
    bool malformed, ok = true;
    for (uint32_t i = 0; i < from->set.n && ok; i++) {
        const struct keyset_entry *entry = &from->set.entries[i];
        uint32_t group;
        memcpy(&group, entry->p, sizeof group);
        ok = take(s, states, map[group],
                  (struct span){entry->p + sizeof group, entry->len - sizeof group}, a, &malformed);
    }
    for (uint32_t i = 0; i < n && ok && s->agg->raise; i++)
        ok = s->agg->raise(states + map[i] * size, from_states + i * size, a);
    return ok;
}

/* ---- as bytes ---- */

static uint32_t group_of(const struct groupset *s, uint32_t entry)
{
    uint32_t group;
    memcpy(&group, s->set.entries[entry].p, sizeof group);
    return group;
}

bool groupset_sort(const struct groupset *s, uint32_t n_groups, struct groupset_order *ret)
{
    uint32_t *first = calloc((size_t)n_groups + 2, sizeof *first);
    uint32_t *entries = calloc((size_t)s->set.n + 1, sizeof *entries);
    *ret = (struct groupset_order){first, entries};
    if (!first || !entries)
        return false;
    for (uint32_t i = 0; i < s->set.n; i++)
        first[group_of(s, i) + 2]++;
    for (uint32_t i = 2; i <= n_groups; i++)
        first[i] += first[i - 1];
    for (uint32_t i = 0; i < s->set.n; i++)
        entries[first[group_of(s, i) + 1]++] = i;
    return true;
}

void groupset_save(const struct groupset *s, const struct groupset_order *order, uint32_t group,
                   const void *state, struct buf *out)
{
    uint32_t from = order->first[group], to = order->first[group + 1];
    pack_array(out, to - from);
    for (uint32_t j = from; j < to; j++) {
        const struct keyset_entry *x = &s->set.entries[order->entries[j]];
        pack_bin(out, (struct span){x->p + sizeof group, x->len - sizeof group});
    }
    if (s->agg->raise)
        s->agg->save(state, out);
}

bool groupset_load(struct groupset *s, char *states, uint32_t group, struct unpack *u,
                   struct arena *a)
{
    bool ok = true, malformed = false;
    for (size_t n = unpack_array(u); n > 0 && unpack_ok(u) && ok; n--) {
        struct span value = unpack_bin(u);
        u->failed |= !value.p;
        ok = unpack_ok(u) && take(s, states, group, value, a, &malformed);
        u->failed |= malformed;
    }
    if (ok && s->agg->raise) {
        memset(s->state, 0, s->agg->state_bytes);
        ok = s->agg->load(s->state, u, a) &&
             s->agg->raise(states + group * s->agg->state_bytes, s->state, a);
    }
    return ok && unpack_ok(u);
}
