#include "fleet.h"

#include "coordinator/core/core.h"

struct fleet_class *fleet_class_take(struct sched *s, uint32_t kinds)
{
    struct fleet_class *found = NULL;
    LIST_EACH (c, &s->classes, struct fleet_class, in_sched)
        if (c->kinds == kinds)
            found = c;
    if (!found) {
        found = mem_alloc(sizeof(*found));
        found->kinds = kinds;
        list_add(&s->classes, &found->in_sched);
    }
    found->jobs++;
    return found;
}

void fleet_class_give(struct sched *s, struct fleet_class *c)
{
    (void)s;
    if (--c->jobs > 0)
        return;
    list_del(&c->in_sched);
    free(c);
}

void fleet_class_load(struct fleet_class *c, int priority, int64_t change)
{
    c->queued[priority] += (uint64_t)change;
    if (c->queued[priority] > 0)
        c->levels |= 1u << priority;
    else
        c->levels &= ~(1u << priority);
}

void fleet_join(struct sched *s, struct shard *sh)
{
    struct fleet *fleet = NULL;
    LIST_EACH (f, &s->fleets, struct fleet, in_sched)
        if (f->kinds == sh->kinds)
            fleet = f;
    if (!fleet) {
        fleet = mem_alloc(sizeof(*fleet));
        fleet->kinds = sh->kinds;
        list_init(&fleet->hungry);
        list_add(&s->fleets, &fleet->in_sched);
    }
    if (fleet->n == fleet->cap) {
        fleet->cap = fleet->cap ? fleet->cap * 2 : 8;
        fleet->mix = mem_resize(fleet->mix, fleet->cap, sizeof(*fleet->mix));
        fleet->shards = mem_resize(fleet->shards, fleet->cap, sizeof(struct shard *));
    }
    sh->fleet = fleet;
    sh->fleet_index = fleet->n;
    fleet->mix[fleet->n] = sh->mix;
    fleet->shards[fleet->n] = sh;
    fleet->n++;
    s->fleet_version++;
}

void fleet_leave(struct sched *s, struct shard *sh)
{
    struct fleet *fleet = sh->fleet;
    if (!fleet)
        return;
    uint32_t last = --fleet->n;
    fleet->mix[sh->fleet_index] = fleet->mix[last];
    fleet->shards[sh->fleet_index] = fleet->shards[last];
    fleet->shards[sh->fleet_index]->fleet_index = sh->fleet_index;
    sh->fleet = NULL;
    s->fleet_version++;
    if (fleet->n > 0)
        return;
    assert(list_empty(&fleet->hungry));
    list_del(&fleet->in_sched);
    free(fleet->mix);
    free(fleet->shards);
    free(fleet);
}

uint32_t fleet_workers_for(const struct sched *s, uint32_t kinds)
{
    uint32_t n = 0;
    LIST_EACH (f, &s->fleets, struct fleet, in_sched)
        if (fleet_may(f->kinds, kinds))
            n += f->n;
    return n;
}

int fleet_top_priority(const struct sched *s, uint32_t kinds)
{
    uint32_t levels = 0;
    LIST_EACH (c, &s->classes, struct fleet_class, in_sched)
        if (fleet_may(kinds, c->kinds))
            levels |= c->levels;
    return levels ? 31 - __builtin_clz(levels) : -1;
}
