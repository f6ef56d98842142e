#include "alarm.h"

#include "mem.h"

void alarm_heap_done(struct alarm_heap *h)
{
    free(h->items);
    *h = (struct alarm_heap){0};
}

static void alarm_put(struct alarm_heap *h, size_t i, struct alarm *t)
{
    h->items[i] = t;
    t->place = (uint32_t)i + 1;
}

static void alarm_up(struct alarm_heap *h, size_t i, struct alarm *t)
{
    for (; i > 0 && h->items[(i - 1) / 2]->at_ms > t->at_ms; i = (i - 1) / 2)
        alarm_put(h, i, h->items[(i - 1) / 2]);
    alarm_put(h, i, t);
}

static void alarm_down(struct alarm_heap *h, size_t i, struct alarm *t)
{
    for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && h->items[child + 1]->at_ms < h->items[child]->at_ms)
            child++;
        if (h->items[child]->at_ms >= t->at_ms)
            break;
        alarm_put(h, i, h->items[child]);
    }
    alarm_put(h, i, t);
}

void alarm_set(struct alarm_heap *h, struct alarm *t, uint64_t at_ms)
{
    if (t->place == 0) {
        if (h->n == h->cap)
            h->items = mem_grow(h->items, &h->cap, sizeof(*h->items));
        t->at_ms = at_ms;
        alarm_up(h, h->n++, t);
        return;
    }
    bool sooner = at_ms < t->at_ms;
    t->at_ms = at_ms;
    if (sooner)
        alarm_up(h, t->place - 1, t);
    else
        alarm_down(h, t->place - 1, t);
}

void alarm_stop(struct alarm_heap *h, struct alarm *t)
{
    if (t->place == 0)
        return;
    size_t i = t->place - 1;
    struct alarm *last = h->items[--h->n];
    t->place = 0;
    if (last == t)
        return;
    if (last->at_ms < t->at_ms)
        alarm_up(h, i, last);
    else
        alarm_down(h, i, last);
}

struct alarm *alarm_due(struct alarm_heap *h, uint64_t now_ms)
{
    if (h->n == 0 || h->items[0]->at_ms > now_ms)
        return NULL;
    struct alarm *t = h->items[0];
    alarm_stop(h, t);
    return t;
}
