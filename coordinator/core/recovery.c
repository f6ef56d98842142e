#include "recovery.h"

#include "coordinator/core/core.h"

void recovery_done(struct recovery *r)
{
    free(r->items);
    free(r->floors);
    r->items = NULL;
    r->floors = NULL;
    r->n = r->cap = r->n_floors = r->cap_floors = 0;
}

static void recovery_move(struct recovery *r, enum recovery_state to)
{
    static const unsigned allowed[] = {
        [RECOVERY_LOADING] = 1u << RECOVERY_WAITING | 1u << RECOVERY_OVER,
        [RECOVERY_WAITING] = 1u << RECOVERY_RELEASING,
        [RECOVERY_RELEASING] = 1u << RECOVERY_OVER,
        [RECOVERY_OVER] = 0,
    };
    assert(allowed[r->state] & 1u << to);
    r->state = to;
}

void recovery_park(struct sched *s, struct job *job, const struct sched_task *t)
{
    struct recovery *r = &s->recovery;
    struct group *g = group_get(s, job, t->key);
    if (r->n == r->cap)
        r->items = mem_grow(r->items, &r->cap, sizeof(*r->items));
    if (r->n > 0 && r->items[r->n - 1].task.id.v > t->id.v)
        r->unsorted = true;
    r->items[r->n++] = (struct recovery_item){task_from_event(t), g};
    if (t->retry_after_ms > 0) {
        if (r->n_floors == r->cap_floors)
            r->floors = mem_grow(r->floors, &r->cap_floors, sizeof(*r->floors));
        r->floors[r->n_floors++] = (struct recovery_floor){t->id, t->retry_after_ms};
    }
    g->n_parked++;
    job_count_move(s, job, TASK_NONE, SCHED_READY, 1);
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_items(const void *a, const void *b)
{
    return compare_u64(((const struct recovery_item *)a)->task.id.v,
                       ((const struct recovery_item *)b)->task.id.v);
}

static int compare_floors(const void *a, const void *b)
{
    return compare_u64(((const struct recovery_floor *)a)->task.v,
                       ((const struct recovery_floor *)b)->task.v);
}

void recovery_replayed(struct sched *s)
{
    struct recovery *r = &s->recovery;
    if (r->state != RECOVERY_LOADING)
        return;
    if (r->unsorted) {
        qsort(r->items, r->n, sizeof(*r->items), compare_items);
        if (r->n_floors > 0)
            qsort(r->floors, r->n_floors, sizeof(*r->floors), compare_floors);
    }
    if (r->n > 0) {
        recovery_move(r, RECOVERY_WAITING);
        r->until_ms = s->now_ms + s->config.lease_ms;
    } else {
        recovery_move(r, RECOVERY_OVER);
        recovery_done(r);
    }
    LIST_EACH (job, &s->jobs, struct job, in_sched)
        job_check_end(s, job);
}

bool recovery_claim(struct sched *s, struct task_id id, struct group **ret_group,
                    struct task *ret_task)
{
    struct recovery *r = &s->recovery;
    if (r->state != RECOVERY_WAITING)
        return false;
    struct recovery_item wanted = {.task = {.id = id}};
    struct recovery_item *item = bsearch(&wanted, r->items, r->n, sizeof(*r->items), compare_items);
    if (!item || !item->group)
        return false;
    *ret_group = item->group;
    *ret_task = item->task;
    item->group->n_parked--;
    item->group = NULL;
    return true;
}

uint64_t recovery_remove_job(struct sched *s, const struct job *job)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->recovery.n; i++) {
        struct recovery_item *item = &s->recovery.items[i];
        if (item->group && item->group->job == job) {
            item->group->n_parked--;
            item->group = NULL;
            n++;
        }
    }
    return n;
}

static void recovery_release_one(struct sched *s)
{
    struct recovery *r = &s->recovery;
    struct recovery_item item = r->items[--r->n];
    uint32_t floor_ms = 0;
    if (r->n_floors > 0 && r->floors[r->n_floors - 1].task.v == item.task.id.v)
        floor_ms = r->floors[--r->n_floors].retry_after_ms;
    if (!item.group)
        return;
    item.group->n_parked--;
    job_admit(s, item.group, SCHED_READY, item.task, floor_ms);
}

void recovery_tick(struct sched *s)
{
    struct recovery *r = &s->recovery;
    if (r->state == RECOVERY_WAITING && s->now_ms >= r->until_ms) {
        recovery_move(r, RECOVERY_RELEASING);
        LIST_EACH (job, &s->jobs, struct job, in_sched)
            LIST_EACH (g, &job->groups, struct group, in_job)
                group_settle(s, g);
    }
    if (r->state != RECOVERY_RELEASING)
        return;
    for (int i = 0; i < RECOVERY_RELEASE_MAX && r->n > 0; i++)
        recovery_release_one(s);
    if (r->cap > 1024 && r->n < r->cap / 2) {
        r->cap = r->cap / 2;
        r->items = mem_resize(r->items, r->cap, sizeof(*r->items));
    }
    if (r->n == 0) {
        recovery_move(r, RECOVERY_OVER);
        recovery_done(r);
    }
}

uint64_t recovery_deadline_ms(const struct sched *s)
{
    switch (s->recovery.state) {
    case RECOVERY_WAITING:
        return s->recovery.until_ms;
    case RECOVERY_RELEASING:
        return s->now_ms;
    default:
        return UINT64_MAX;
    }
}
