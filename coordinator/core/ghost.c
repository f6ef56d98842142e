#include "ghost.h"

#include "coordinator/core/core.h"

void ghost_new(struct sched *s, struct key *k, uint32_t grant, uint64_t worker, uint64_t until_ms)
{
    struct ghost *g = mem_pool_get(&s->ghost_pool);
    g->key = k;
    g->worker = worker;
    g->grant = grant;
    list_add(&s->ghosts, &g->in_sched);
    alarm_set(&s->ghost_alarms, &g->end, until_ms);
}

void ghost_worker_back(struct sched *s, uint64_t worker)
{
    const uint64_t soon_ms = s->now_ms + KEY_REVOKE_REST_MS;
    LIST_EACH (g, &s->ghosts, struct ghost, in_sched)
        if (g->worker == worker && g->end.at_ms > soon_ms)
            alarm_set(&s->ghost_alarms, &g->end, soon_ms);
}

void ghost_end_due(struct sched *s)
{
    for (struct alarm *t; (t = alarm_due(&s->ghost_alarms, s->now_ms)) != NULL;) {
        struct ghost *g = CONTAINER_OF(t, struct ghost, end);
        key_free_slots(s, g->key, g->grant);
        list_del(&g->in_sched);
        mem_pool_put(&s->ghost_pool, g);
    }
}
