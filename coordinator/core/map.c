#include "map.h"

#include "mem.h"

void map_done(struct map *m)
{
    free(m->slots);
    *m = (struct map){0};
}

static void map_place(struct map *m, uint64_t hash, void *value)
{
    size_t i = hash & (m->cap - 1);
    while (m->slots[i].value)
        i = (i + 1) & (m->cap - 1);
    m->slots[i] = (struct map_slot){hash, value};
}

static void map_resize(struct map *m, size_t cap)
{
    struct map old = *m;
    m->slots = mem_alloc(cap * sizeof(struct map_slot));
    m->cap = cap;
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].value)
            map_place(m, old.slots[i].hash, old.slots[i].value);
    free(old.slots);
}

void map_add(struct map *m, uint64_t hash, void *value)
{
    if ((m->n + 1) * 4 > m->cap * 3)
        map_resize(m, m->cap ? m->cap * 2 : 16);
    map_place(m, hash, value);
    m->n++;
}

void *map_next(const struct map *m, uint64_t hash, size_t *cursor)
{
    if (m->cap == 0)
        return NULL;
    size_t i = *cursor == SIZE_MAX ? hash & (m->cap - 1) : (*cursor + 1) & (m->cap - 1);
    for (; m->slots[i].value; i = (i + 1) & (m->cap - 1)) {
        if (m->slots[i].hash == hash) {
            *cursor = i;
            return m->slots[i].value;
        }
    }
    return NULL;
}

void map_remove(struct map *m, uint64_t hash, const void *value)
{
    size_t mask = m->cap - 1, i = hash & mask;
    while (m->slots[i].value != value) {
        assert(m->slots[i].value); /* it must be there */
        i = (i + 1) & mask;
    }
    /* Close the hole: move back each later entry of the run that may stand here (Knuth, 6.4 R). */
    for (size_t j = (i + 1) & mask; m->slots[j].value; j = (j + 1) & mask) {
        size_t home = m->slots[j].hash & mask;
        if (((j - home) & mask) >= ((j - i) & mask)) {
            m->slots[i] = m->slots[j];
            i = j;
        }
    }
    m->slots[i] = (struct map_slot){0};
    m->n--;
    if (m->cap > 64 && m->n * 8 < m->cap)
        map_resize(m, m->cap / 4);
}
