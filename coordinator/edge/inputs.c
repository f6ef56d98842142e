#include "inputs.h"

#include "map64.h"

/* One allocation: the block, then for each input its length (4 bytes), its block's distance (4) and
 * the bytes. The map points at the entry. */
struct block {
    uint32_t live;  /* entries that are in the map */
    uint32_t bytes; /* of the whole allocation */
};

struct entry {
    uint32_t offset; /* of the entry from the start of its block */
    uint32_t len;
    char data[];
};

enum { BLOCK_BYTES_MAX = 256 * 1024, ENTRY_ALIGN = 8 };

struct inputs {
    struct map64 map; /* task -> struct entry */
    size_t bytes, max_bytes;
};

struct inputs *inputs_new(size_t max_bytes)
{
    struct inputs *in = calloc(1, sizeof(*in));
    if (in)
        in->max_bytes = max_bytes;
    return in;
}

static void release(struct inputs *in, struct entry *e)
{
    struct block *b = (struct block *)(void *)((char *)e - e->offset);
    if (--b->live > 0)
        return;
    in->bytes -= b->bytes;
    free(b);
}

void inputs_free(struct inputs *in)
{
    if (!in)
        return;
    size_t at = 0;
    for (struct map64_entry *m; (m = map64_next(&in->map, &at));)
        release(in, m->value);
    map64_done(&in->map);
    free(in);
}

static size_t entry_bytes(size_t len)
{
    return (sizeof(struct entry) + len + ENTRY_ALIGN - 1) & ~(size_t)(ENTRY_ALIGN - 1);
}

static void put_block(struct inputs *in, const struct task_id *tasks, const struct span *inputs,
                      size_t n, size_t bytes)
{
    struct block *b = malloc(bytes);
    if (!b)
        return;                              /* no cache, no harm */
    *b = (struct block){1, (uint32_t)bytes}; /* 1: ours while filling */
    size_t at = sizeof(*b);
    for (size_t i = 0; i < n; i++) {
        struct entry *e = (struct entry *)(void *)((char *)b + at);
        e->offset = (uint32_t)at;
        e->len = (uint32_t)inputs[i].len;
        memcpy(e->data, inputs[i].p, inputs[i].len);
        at += entry_bytes(inputs[i].len);
        inputs_drop(in, tasks[i]);
        if (map64_put(&in->map, tasks[i].v, e))
            b->live++;
    }
    in->bytes += bytes;
    if (--b->live == 0) {
        in->bytes -= bytes;
        free(b);
    }
}

void inputs_put(struct inputs *in, const struct task_id *tasks, const struct span *inputs, size_t n)
{
    size_t from = 0;
    while (from < n) {
        size_t bytes = sizeof(struct block), to = from;
        while (to < n) {
            size_t one = entry_bytes(inputs[to].len);
            if (in->bytes + bytes + one > in->max_bytes)
                break;
            if (to > from && bytes + one > BLOCK_BYTES_MAX)
                break;
            bytes += one;
            to++;
        }
        if (to == from)
            return; /* full */
        put_block(in, tasks + from, inputs + from, to - from, bytes);
        from = to;
    }
}

struct span inputs_get(const struct inputs *in, struct task_id task)
{
    struct entry *e = map64_get(&in->map, task.v);
    return e ? (struct span){e->data, e->len} : (struct span){0};
}

void inputs_drop(struct inputs *in, struct task_id task)
{
    struct entry *e = map64_take(&in->map, task.v);
    if (e)
        release(in, e);
}

size_t inputs_bytes(const struct inputs *in)
{
    return in->bytes;
}

size_t inputs_count(const struct inputs *in)
{
    return in->map.n;
}
