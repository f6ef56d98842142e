#include "map64.h"

#include "common/hash.h"

enum { MAP64_CAP_MIN = 64 };

static size_t slot_of(const struct map64 *m, uint64_t key)
{
    return (size_t)hash_mix(key) & (m->cap - 1);
}

void map64_done(struct map64 *m)
{
    free(m->entries);
    *m = (struct map64){0};
}

static bool resize(struct map64 *m, size_t cap)
{
    struct map64 next = {calloc(cap, sizeof(*next.entries)), m->n, cap};
    if (!next.entries)
        return false;
    for (size_t i = 0; i < m->cap; i++) {
        if (m->entries[i].key == 0)
            continue;
        size_t s = slot_of(&next, m->entries[i].key);
        while (next.entries[s].key != 0)
            s = (s + 1) & (cap - 1);
        next.entries[s] = m->entries[i];
    }
    free(m->entries);
    *m = next;
    return true;
}

bool map64_put(struct map64 *m, uint64_t key, void *value)
{
    assert(key != 0);
    if ((m->n + 1) * 4 > m->cap * 3 && !resize(m, m->cap ? m->cap * 2 : MAP64_CAP_MIN))
        return false;
    size_t s = slot_of(m, key);
    while (m->entries[s].key != 0 && m->entries[s].key != key)
        s = (s + 1) & (m->cap - 1);
    if (m->entries[s].key == 0)
        m->n++;
    m->entries[s] = (struct map64_entry){key, value};
    return true;
}

static struct map64_entry *find(const struct map64 *m, uint64_t key)
{
    if (m->cap == 0 || key == 0)
        return NULL;
    size_t s = slot_of(m, key);
    while (m->entries[s].key != 0) {
        if (m->entries[s].key == key)
            return &m->entries[s];
        s = (s + 1) & (m->cap - 1);
    }
    return NULL;
}

void *map64_get(const struct map64 *m, uint64_t key)
{
    struct map64_entry *e = find(m, key);
    return e ? e->value : NULL;
}

void *map64_take(struct map64 *m, uint64_t key)
{
    struct map64_entry *e = find(m, key);
    if (!e)
        return NULL;
    void *value = e->value;
    size_t hole = (size_t)(e - m->entries), mask = m->cap - 1;
    for (size_t s = (hole + 1) & mask; m->entries[s].key != 0; s = (s + 1) & mask) {
        size_t home = slot_of(m, m->entries[s].key);
        /* An entry may fill the hole when its home is not between the hole and itself. */
        if (((s - home) & mask) >= ((s - hole) & mask)) {
            m->entries[hole] = m->entries[s];
            hole = s;
        }
    }
    m->entries[hole] = (struct map64_entry){0};
    m->n--;
    /* Shrinking is best effort: without memory the larger table stays. */
    if (m->cap > MAP64_CAP_MIN && m->n * 8 < m->cap)
        (void)resize(m, m->cap / 2);
    return value;
}

struct map64_entry *map64_next(const struct map64 *m, size_t *at)
{
    while (*at < m->cap) {
        struct map64_entry *e = &m->entries[(*at)++];
        if (e->key != 0)
            return e;
    }
    return NULL;
}
