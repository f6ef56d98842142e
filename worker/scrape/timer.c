#include "timer.h"

static struct timer *join(struct timer *a, struct timer *b)
{
    if (!a || !b)
        return a ? a : b;
    if (b->due_ms < a->due_ms) {
        struct timer *t = a;
        a = b;
        b = t;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child)
        a->child->prev = b;
    a->child = b;
    return a;
}

/* Joins a list of siblings pairwise, then the pairs from the last to the first. */
static struct timer *join_siblings(struct timer *first)
{
    struct timer *pairs = NULL;
    while (first) {
        struct timer *a = first, *b = a->next;
        first = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b)
            b->next = b->prev = NULL;
        a = join(a, b);
        a->next = pairs;
        pairs = a;
    }
    struct timer *root = NULL;
    while (pairs) {
        struct timer *a = pairs;
        pairs = a->next;
        a->next = NULL;
        root = join(root, a);
    }
    return root;
}

void timer_cancel(struct timers *all, struct timer *t)
{
    if (!t->set)
        return;
    if (t == all->root) {
        all->root = join_siblings(t->child);
    } else {
        if (t->prev->child == t)
            t->prev->child = t->next;
        else
            t->prev->next = t->next;
        if (t->next)
            t->next->prev = t->prev;
        all->root = join(all->root, join_siblings(t->child));
    }
    if (all->root)
        all->root->prev = all->root->next = NULL;
    t->child = t->next = t->prev = NULL;
    t->set = false;
}

void timer_set(struct timers *all, struct timer *t, uint64_t due_ms)
{
    timer_cancel(all, t);
    t->due_ms = due_ms;
    t->set = true;
    all->root = join(all->root, t);
}

uint64_t timer_next(const struct timers *all)
{
    return all->root ? all->root->due_ms : UINT64_MAX;
}

struct timer *timer_pop(struct timers *all, uint64_t now_ms)
{
    struct timer *t = all->root;
    if (!t || t->due_ms > now_ms)
        return NULL;
    timer_cancel(all, t);
    return t;
}
