#include "store_group.h"

#include "common/unpack.h"

enum { ITEMS_MAX = 1 << 24, ITEMS_KEPT = 1 << 16 };

void store_group_done(struct store_group *g)
{
    free(g->items);
    free(g->tasks);
    free(g->table);
    *g = (struct store_group){0};
}

static size_t table_size(size_t n)
{
    size_t cap = 16;
    while (cap < 2 * n)
        cap *= 2;
    return cap;
}

int store_group_start(struct store_group *g, size_t n, struct error *e)
{
    if (n > ITEMS_MAX)
        return error_set(e, ERR_LIMIT, "%zu items at once, the limit is %d", n, (int)ITEMS_MAX);
    if (g->items_cap > ITEMS_KEPT && n <= ITEMS_KEPT)
        store_group_done(g);
    if (n > g->items_cap) {
        size_t cap = MAX(n, (size_t)64);
        store_group_done(g);
        g->items = malloc(cap * sizeof *g->items);
        g->tasks = malloc(cap * sizeof *g->tasks);
        g->table = malloc(table_size(cap) * sizeof *g->table);
        if (!g->items || !g->tasks || !g->table) {
            store_group_done(g);
            return error_set(e, ERR_NOMEM, "no memory for %zu items", n);
        }
        g->items_cap = cap;
        g->table_cap = table_size(cap);
    }
    g->n_items = g->n_tasks = 0;
    return 0;
}

int store_group_check(const struct store_item *item, size_t index, struct error *e)
{
    if (item->input.len > STORE_TASK_BYTES_MAX)
        return error_set(e, ERR_PAYLOAD_TOO_LARGE, "item %zu has %zu bytes, the limit is %d", index,
                         item->input.len, (int)STORE_TASK_BYTES_MAX);
    struct unpack u;
    unpack_init(&u, item->input.p, item->input.len);
    unpack_skip(&u);
    if (!unpack_finished(&u))
        return error_set(e, ERR_MALFORMED, "item %zu is not exactly one msgpack value", index);
    return 0;
}

void store_group_add(struct store_group *g, const struct store_item *item, struct span error)
{
    assert(g->n_items < g->items_cap);
    uint64_t group = item->key;
    if (error.len > 0)
        group ^= hash_64(error.p, error.len, 1);
    g->items[g->n_items++] = (struct store_group_item){item, error, group, 0};
}

static bool same_group(const struct store_group_item *a, const struct store_group_item *b)
{
    return a->group == b->group && a->item->key == b->item->key && span_eq(a->error, b->error);
}

/* The slot of the table that names the open task of this item's group, or an empty one. */
static uint32_t *slot_of(struct store_group *g, size_t mask, const struct store_group_item *it)
{
    for (size_t i = (size_t)hash_mix(it->group) & mask;; i = (i + 1) & mask) {
        uint32_t t = g->table[i];
        if (t == 0 || same_group(&g->items[g->tasks[t - 1].first], it))
            return &g->table[i];
    }
}

int store_group_cut(struct store_group *g, uint32_t task_items, struct error *e)
{
    if (task_items == 0)
        return error_set(e, ERR_INVALID_ARGUMENT, "task_items is 0");
    if (g->n_items == 0)
        return 0;
    size_t mask = table_size(g->n_items) - 1;
    memset(g->table, 0, (mask + 1) * sizeof *g->table);
    for (size_t i = 0; i < g->n_items; i++) {
        struct store_group_item *it = &g->items[i];
        size_t bytes = it->item->input.len;
        uint32_t *slot = slot_of(g, mask, it);
        struct store_group_task *t = *slot ? &g->tasks[*slot - 1] : NULL;
        if (t && t->n_items < task_items && t->item_bytes + bytes <= STORE_TASK_BYTES_MAX) {
            g->items[t->last].next = (uint32_t)i + 1;
            t->last = (uint32_t)i;
            t->n_items++;
            t->item_bytes += bytes;
            continue;
        }
        g->tasks[g->n_tasks] = (struct store_group_task){(uint32_t)i, (uint32_t)i, 1, bytes};
        *slot = (uint32_t)++g->n_tasks;
    }
    return 0;
}

/* The head of a msgpack array: 0x90+n, 0xdc and 2 bytes, or 0xdd and 4 bytes. */
static size_t array_head(uint8_t *to, uint32_t n)
{
    if (n < 16) {
        to[0] = (uint8_t)(0x90 | n);
        return 1;
    }
    size_t width = n < 65536 ? 2 : 4;
    to[0] = width == 2 ? 0xdc : 0xdd;
    for (size_t i = 0; i < width; i++)
        to[1 + i] = (uint8_t)(n >> (8 * (width - 1 - i)));
    return 1 + width;
}

struct span store_group_pack(const struct store_group *g, size_t t, struct arena *arena)
{
    const struct store_group_task *task = &g->tasks[t];
    uint8_t *data = arena_alloc(arena, 5 + task->item_bytes);
    if (!data)
        return (struct span){NULL, 0};
    size_t len = array_head(data, task->n_items);
    for (uint32_t i = task->first + 1; i != 0; i = g->items[i - 1].next) {
        struct span input = g->items[i - 1].item->input;
        memcpy(data + len, input.p, input.len);
        len += input.len;
    }
    return (struct span){(const char *)data, len};
}
