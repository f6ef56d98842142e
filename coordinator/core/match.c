#include "match.h"

#include "coordinator/core/core.h"

enum { MATCH_TRIES = 8 }; /* groups to look at for a task that fits the bytes of a session */

enum match { MATCH_ASSIGNED, MATCH_NOTHING, MATCH_MISFIT };

/* The group that the session is to be served from next: its own shard's before another's. */
static struct group *match_group(struct sched *s, struct session *se, bool own_only)
{
    uint32_t kinds = se->shard->kinds;
    int priority = fleet_top_priority(s, kinds);
    if (priority < 0)
        return NULL;
    struct lane *lane = LIST_FIRST(&se->shard->levels[priority].lanes, struct lane, in_ring);
    if (lane)
        return LIST_FIRST(&lane->groups, struct group, in_lane);
    return own_only ? NULL : shard_victim(s, priority, kinds);
}

static enum match match_one(struct sched *s, struct session *se, bool own_only)
{
    for (int i = 0; i < MATCH_TRIES; i++) {
        struct group *g = match_group(s, se, own_only);
        if (!g)
            return MATCH_NOTHING;
        if (session_fits(se, task_queue_peek(&g->ready)->input_bytes)) {
            if (g->lane->shard != se->shard)
                s->steals++;
            lease_assign(s, se, g);
            session_settle(s, se);
            return MATCH_ASSIGNED;
        }
        shard_turn(g);
    }
    se->misfit = true;
    session_settle(s, se);
    return MATCH_MISFIT;
}

void match_run(struct sched *s)
{
    struct shard *sh;
    while ((sh = LIST_FIRST(&s->dirty, struct shard, dirty)) != NULL) {
        list_del(&sh->dirty);
        while (sh->session && list_linked(&sh->session->in_hungry) &&
               match_one(s, sh->session, true) == MATCH_ASSIGNED)
            ;
    }
    LIST_EACH (f, &s->fleets, struct fleet, in_sched) {
        struct session *se;
        while ((se = LIST_FIRST(&f->hungry, struct session, in_hungry)) != NULL) {
            enum match m = match_one(s, se, false);
            if (m == MATCH_NOTHING)
                break;
            if (m == MATCH_ASSIGNED && list_linked(&se->in_hungry))
                list_to_end(&f->hungry, &se->in_hungry);
        }
    }
}
