#include "timer.h"

#include "mem.h"

void timer_heap_done(struct timer_heap *h)
{
    free(h->items);
    *h = (struct timer_heap){0};
}

static void timer_put(struct timer_heap *h, size_t i, struct timer *t)
{
    h->items[i] = t;
    t->place = (uint32_t)i + 1;
}

static void timer_up(struct timer_heap *h, size_t i, struct timer *t)
{
    for (; i > 0 && h->items[(i - 1) / 2]->at_ms > t->at_ms; i = (i - 1) / 2)
        timer_put(h, i, h->items[(i - 1) / 2]);
    timer_put(h, i, t);
}

static void timer_down(struct timer_heap *h, size_t i, struct timer *t)
{
    for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && h->items[child + 1]->at_ms < h->items[child]->at_ms)
            child++;
        if (h->items[child]->at_ms >= t->at_ms)
            break;
        timer_put(h, i, h->items[child]);
    }
    timer_put(h, i, t);
}

void timer_set(struct timer_heap *h, struct timer *t, uint64_t at_ms)
{
    if (t->place == 0) {
        if (h->n == h->cap)
            h->items = mem_grow(h->items, &h->cap, sizeof(*h->items));
        t->at_ms = at_ms;
        timer_up(h, h->n++, t);
        return;
    }
    bool sooner = at_ms < t->at_ms;
    t->at_ms = at_ms;
    if (sooner)
        timer_up(h, t->place - 1, t);
    else
        timer_down(h, t->place - 1, t);
}

void timer_stop(struct timer_heap *h, struct timer *t)
{
    if (t->place == 0)
        return;
    size_t i = t->place - 1;
    struct timer *last = h->items[--h->n];
    t->place = 0;
    if (last == t)
        return;
    if (last->at_ms < t->at_ms)
        timer_up(h, i, last);
    else
        timer_down(h, i, last);
}

struct timer *timer_due(struct timer_heap *h, uint64_t now_ms)
{
    if (h->n == 0 || h->items[0]->at_ms > now_ms)
        return NULL;
    struct timer *t = h->items[0];
    timer_stop(h, t);
    return t;
}
