#include "replay.h"

#include <inttypes.h>

#include "common/log.h"
#include "coordinator/edge/downstreams.h"
#include "coordinator/edge/jobs.h"
#include "coordinator/edge/predict.h"
#include "coordinator/edge/sessions.h"

struct replay {
    struct edge *edge;
    uint64_t job; /* the last one */
    bool skip;    /* its description cannot be read */
    uint64_t n_jobs, n_tasks;
};

static int replay_job(void *user, const struct store_job *job, const struct sched_task *tasks,
                      size_t n)
{
    struct replay *r = user;
    if (job->id != r->job) {
        struct error error = {0};
        struct spec *none = NULL;
        r->job = job->id;
        r->skip = jobs_open(r->edge->jobs, job, &none, &error) != 0;
        r->n_jobs++;
        if (r->skip)
            LOG_ERROR("a job cannot be resumed", log_u64("job", job->id), log_err(&error));
    }
    if (r->skip)
        return 0;
    struct sched_event ev = {.type = SCHED_EV_TASKS, .job = {job->id}};
    ev.u.tasks.tasks = tasks;
    ev.u.tasks.n = n;
    ev.u.tasks.replay = true;
    edge_event(r->edge, &ev);
    r->n_tasks += n;
    return 0;
}

static int replay_drains(struct edge *e, struct store *store, struct error *error)
{
    struct span *workers;
    size_t n = 0;
    int rc = store_drain_list(store, &e->scratch, &workers, &n, error);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = sessions_drain(e->sessions, workers[i], true, error);
    arena_clear(&e->scratch);
    return rc;
}

static int replay_breakers(struct edge *e, struct store *store, struct error *error)
{
    struct store_breaker *list;
    size_t n = 0;
    int rc = store_breaker_list(store, &e->scratch, &list, &n, error);
    for (size_t i = 0; i < n && rc == 0; i++) {
        const struct downstream *one = downstreams_name(e->downstreams, list[i].downstream);
        if (!one) {
            LOG_WARN("a breaker that was set by hand is left out: there is no such sink",
                     log_span("downstream", list[i].downstream));
            continue;
        }
        struct sched_event ev = {.type = SCHED_EV_BREAKER};
        ev.u.breaker.downstream = one->hash;
        ev.u.breaker.host = one->host;
        ev.u.breaker.manual = list[i].manual;
        edge_event(e, &ev);
    }
    arena_clear(&e->scratch);
    return rc;
}

static int replay_models(struct edge *e, struct store *store, struct error *error)
{
    struct store_model *list;
    struct model *model;
    size_t n = 0;
    int rc = store_model_list(store, &e->scratch, &list, &n, error);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = model_table_add(predict_models(e->predict), &list[i], &model, error);
    arena_clear(&e->scratch);
    return rc;
}

int replay_store(struct edge *e, struct store *store, struct error *error)
{
    struct replay r = {.edge = e};
    edge_clock(e);
    uint64_t from_ms = e->now_ms;
    int rc = replay_drains(e, store, error);
    if (rc == 0)
        rc = replay_breakers(e, store, error);
    if (rc == 0)
        rc = replay_models(e, store, error);
    if (rc == 0)
        rc = store_replay(store, replay_job, &r, error);
    if (rc)
        return rc;
    edge_clock(e);
    edge_event(e, &(struct sched_event){.type = SCHED_EV_REPLAYED});
    LOG_INFO("store replayed", log_u64("epoch", e->epoch), log_u64("jobs", r.n_jobs),
             log_u64("tasks", r.n_tasks), log_u64("ms", e->now_ms - from_ms));
    return 0;
}
