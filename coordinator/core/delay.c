#include "delay.h"

#include "coordinator/core/group.h"

void delay_done(struct delay_heap *h)
{
    free(h->items);
    *h = (struct delay_heap){0};
}

static bool delay_before(const struct delay_item *a, const struct delay_item *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->task.id.v < b->task.id.v;
}

static void delay_down(struct delay_heap *h, size_t i, struct delay_item item)
{
    for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && delay_before(&h->items[child + 1], &h->items[child]))
            child++;
        if (!delay_before(&h->items[child], &item))
            break;
        h->items[i] = h->items[child];
    }
    h->items[i] = item;
}

void delay_push(struct delay_heap *h, struct delay_item item)
{
    if (h->n == h->cap)
        h->items = mem_grow(h->items, &h->cap, sizeof(*h->items));
    size_t i = h->n++;
    for (; i > 0 && delay_before(&item, &h->items[(i - 1) / 2]); i = (i - 1) / 2)
        h->items[i] = h->items[(i - 1) / 2];
    h->items[i] = item;
}

bool delay_pop_due(struct delay_heap *h, uint64_t now_ms, struct delay_item *ret)
{
    if (h->n == 0 || h->items[0].due_ms > now_ms)
        return false;
    *ret = h->items[0];
    struct delay_item last = h->items[--h->n];
    if (h->n > 0)
        delay_down(h, 0, last);
    if (h->cap > 1024 && h->n < h->cap / 4) {
        h->cap /= 2;
        h->items = mem_resize(h->items, h->cap, sizeof(*h->items));
    }
    return true;
}

uint64_t delay_remove_job(struct delay_heap *h, const struct job *job)
{
    size_t kept = 0, before = h->n;
    for (size_t i = 0; i < h->n; i++) {
        if (h->items[i].group->job == job)
            h->items[i].group->n_delayed--;
        else
            h->items[kept++] = h->items[i];
    }
    h->n = kept;
    for (size_t i = kept / 2; kept != before && i-- > 0;)
        delay_down(h, i, h->items[i]);
    return before - kept;
}
