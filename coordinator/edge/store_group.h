/*
 * store_group.h: cuts items into tasks, the same way for every backend, and packs a task's input.
 *
 * Items of one group (same key, and for retries the same error) share tasks of at most task_items
 * and STORE_TASK_BYTES_MAX, in their order; tasks stand in the order of their first items. It
 * refuses items that are not exactly one msgpack value or too large.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_STORE_GROUP_H
#define DROVER_STORE_GROUP_H

#include "coordinator/edge/store.h"

struct store_group_item {
    const struct store_item *item;
    struct span error; /* of a retry; empty for others */
    uint64_t group;    /* items with equal `group` and key go together */
    uint32_t next;     /* of its task, index + 1; 0: the last. Set by store_group_cut */
};

struct store_group_task {
    uint32_t first, last; /* indexes of items */
    uint32_t n_items;
    size_t item_bytes;
};

/* Memory that is kept from one use to the next. Zero-initialise; store_group_done frees. */
struct store_group {
    struct store_group_item *items;
    size_t n_items, items_cap;
    struct store_group_task *tasks;
    size_t n_tasks;  /* as many as items at most */
    uint32_t *table; /* task index + 1 by group; 0: empty */
    size_t table_cap;
};

void store_group_done(struct store_group *g);

/* Empties it and makes room for n items. NOMEM, or LIMIT above 2^24 items. */
int store_group_start(struct store_group *g, size_t n, struct error *e) MUST_CHECK;

/* Checks an item: MALFORMED or PAYLOAD_TOO_LARGE, with `index` in the text. */
int store_group_check(const struct store_item *item, size_t index, struct error *e) MUST_CHECK;

/* Adds an item (borrowed until the next start). There is room: store_group_start saw to it. */
void store_group_add(struct store_group *g, const struct store_item *item, struct span error);

/* Cuts what was added into g->tasks[0..n_tasks). */
int store_group_cut(struct store_group *g, uint32_t task_items, struct error *e) MUST_CHECK;

/* The input of task `t`, a msgpack array of its items, in the arena. p == NULL: no memory. */
struct span store_group_pack(const struct store_group *g, size_t t, struct arena *arena);

#endif
