/* verbs_fleet.c: the coordinator itself, its workers, keys and configuration. */
#include "verbs.h"

#include <stdio.h>

#include "common/config.h"
#include "common/wire.h"
#include "coordinator/edge/downstreams.h"
#include "coordinator/edge/jobs.h"
#include "coordinator/edge/sessions.h"
#include "coordinator/edge/verbs_pack.h"

static double seconds_since(const struct edge *e, uint64_t ms)
{
    return e->now_ms > ms ? (double)(e->now_ms - ms) / 1000.0 : 0.0;
}

int verbs_server_info(struct call *c, struct error *error)
{
    const struct edge *e = c->edge;
    struct buf *out = front_reply(c);
    (void)error;
    pack_map(out, 6);
    verbs_text(out, "version", DROVER_VERSION);
    verbs_number(out, "protocol", WIRE_VERSION);
    verbs_number(out, "epoch", e->epoch);
    verbs_real(out, "uptime_s", seconds_since(e, e->started_ms));
    verbs_text(out, "role", keys_role_name(c->role));
    pack_cstr(out, "name");
    pack_str(out, c->client);
    front_send(c);
    return 0;
}

/* ---- status ---- */

struct fleet {
    uint64_t ready, draining, lost, busy, slots;
};

static struct fleet count_fleet(const struct edge *e)
{
    struct fleet f = {0};
    size_t at = 0;
    for (struct worker *w; (w = sessions_worker_next(e->sessions, &at));) {
        if (!w->session) {
            f.lost += !w->left;
            continue;
        }
        f.draining += w->draining;
        f.ready += !w->draining;
        f.busy += w->busy;
        f.slots += w->slots;
    }
    return f;
}

enum { PROBLEMS_MAX = 5, STATUS_BREAKERS_MAX = 20 };

/* Open breakers, and the tasks that they hold. */
static void describe_breakers(const struct edge *e, char *ret, size_t size)
{
    struct downstreams_entry b;
    uint64_t sinks = 0, hosts = 0, held = 0;
    for (struct downstreams_walk walk = {0}; downstreams_next(e->downstreams, &walk, &b);) {
        if (b.view.state == SCHED_BREAKER_CLOSED)
            continue;
        sinks += !b.view.host;
        hosts += b.view.host;
        held += b.view.held;
    }
    ret[0] = 0;
    if (sinks + hosts)
        snprintf(ret, size, "breakers are open (%llu of sinks, %llu of hosts): %llu tasks are held",
                 (unsigned long long)sinks, (unsigned long long)hosts, (unsigned long long)held);
}

static size_t find_problems(const struct edge *e, const struct sched_stats *stats,
                            const struct fleet *fleet, const char *breakers,
                            const char *ret[PROBLEMS_MAX])
{
    size_t n = 0;
    struct error error = {0};
    if (breakers[0])
        ret[n++] = breakers;
    if (stats->recovering)
        ret[n++] = "recovering: waiting for workers to say what they hold";
    if (e->store_full || e->sizes.refusing)
        ret[n++] = "the disk of the data directory is full: submits are refused";
    else if (edge_admit(e, &error))
        ret[n++] = "submits are refused for the moment: the queue is full";
    if (stats->tasks[SCHED_READY] && fleet->ready == 0)
        ret[n++] = "tasks are ready and no worker is connected";
    return n;
}

int verbs_status(struct call *c, struct error *error)
{
    const struct edge *e = c->edge;
    const char *problems[PROBLEMS_MAX];
    char breakers[160];
    struct sched_stats stats;
    struct fleet f = count_fleet(e);
    (void)error;
    sched_stats(e->sched, e->now_ms, &stats);
    describe_breakers(e, breakers, sizeof(breakers));
    size_t n_problems = find_problems(e, &stats, &f, breakers, problems);
    struct buf *out = front_reply(c);
    pack_map(out, 14);
    verbs_text(out, "version", DROVER_VERSION);
    verbs_real(out, "uptime_s", seconds_since(e, e->started_ms));
    pack_cstr(out, "healthy");
    pack_bool(out, n_problems == 0);
    pack_cstr(out, "workers");
    pack_map(out, 3);
    verbs_number(out, "ready", f.ready);
    verbs_number(out, "draining", f.draining);
    verbs_number(out, "lost", f.lost);
    pack_cstr(out, "slots");
    pack_map(out, 2);
    verbs_number(out, "busy", f.busy);
    verbs_number(out, "total", f.slots);
    pack_cstr(out, "jobs");
    pack_map(out, 1);
    verbs_number(out, "open", jobs_count(e->jobs));
    pack_cstr(out, "tasks");
    pack_map(out, 4);
    verbs_number(out, "ready", stats.tasks[SCHED_READY]);
    verbs_number(out, "running", stats.tasks[SCHED_LEASED] + stats.tasks[SCHED_COMMITTING]);
    verbs_number(out, "delayed", stats.tasks[SCHED_DELAYED]);
    verbs_number(out, "dead", e->sizes.dead);
    verbs_real(out, "oldest_ready_s", (double)stats.oldest_ready_age_ms / 1000.0);
    verbs_real(out, "done_per_s", e->done_per_s);
    verbs_real(out, "rows_per_s", e->rows_per_s);
    verbs_known(out, "run_p95_s", histogram_recent_quantile(&e->recent_runs, 0.95));
    verbs_known(out, "eta_s", edge_eta_s(e, &stats));
    pack_cstr(out, "breakers");
    verbs_pack_breakers(e, out, STATUS_BREAKERS_MAX);
    pack_cstr(out, "problems");
    pack_array(out, n_problems);
    for (size_t i = 0; i < n_problems; i++)
        pack_cstr(out, problems[i]);
    front_send(c);
    return 0;
}

/* ---- workers ---- */

static void pack_worker(const struct edge *e, struct buf *out, const struct worker *w)
{
    struct sched_session_view view = {0};
    if (w->session)
        (void)!sched_session_view(e->sched, (struct session_id){w->session->id}, e->now_ms, &view);
    pack_map(out, 15);
    verbs_text(out, "worker", w->id);
    verbs_text(out, "host", w->host);
    verbs_text(out, "version", w->version);
    verbs_text(out, "state", sessions_state(w));
    verbs_number(out, "slots", w->slots);
    verbs_number(out, "busy", w->busy);
    verbs_number(out, "queued", w->queued);
    verbs_number(out, "leased", view.leased);
    verbs_number(out, "rss_bytes", w->rss_bytes);
    verbs_real(out, "cpu_s", w->cpu_s);
    verbs_number(out, "tasks_done", w->attempts[EDGE_DONE]);
    verbs_number(out, "tasks_failed", w->attempts[EDGE_RETRIED] + w->attempts[EDGE_DEAD]);
    verbs_number(out, "rows", w->rows_stored);
    verbs_real(out, "silent_s",
               w->session ? (double)view.silent_ms / 1000.0 : seconds_since(e, w->lost_ms));
    verbs_real(out, "connected_s", w->session ? seconds_since(e, w->connected_ms) : 0.0);
}

int verbs_worker_ls(struct call *c, struct error *error)
{
    const struct edge *e = c->edge;
    struct buf *out = front_reply(c);
    size_t at = 0;
    (void)error;
    pack_map(out, 1);
    pack_cstr(out, "workers");
    pack_array(out, sessions_worker_count(e->sessions));
    for (struct worker *w; (w = sessions_worker_next(e->sessions, &at));)
        pack_worker(e, out, w);
    front_send(c);
    return 0;
}

static int find_worker(struct call *c, struct worker **ret, struct error *error)
{
    int rc = front_need(c->args.worker.len > 0, "worker", error);
    if (rc)
        return rc;
    *ret = sessions_worker(c->edge->sessions, c->args.worker, false);
    if (*ret)
        return 0;
    return error_set(error, ERR_NOT_FOUND, "no worker \"%.*s\" is known",
                     (int)MIN(c->args.worker.len, (size_t)64), c->args.worker.p);
}

int verbs_worker_show(struct call *c, struct error *error)
{
    struct worker *w;
    int rc = find_worker(c, &w, error);
    if (rc)
        return rc;
    pack_worker(c->edge, front_reply(c), w);
    front_send(c);
    return 0;
}

static int drain_run(struct store *s, struct store_request *r)
{
    struct call *c = (struct call *)r;
    return store_drain_set(s, c->args.worker, c->n != 0, &r->error);
}

static void drain_done(struct store_request *r, void *user)
{
    struct call *c = (struct call *)r;
    struct edge *e = user;
    struct worker *w = NULL;
    edge_store_result(e, r->rc);
    int rc = r->rc ? r->rc : sessions_drain(e->sessions, c->args.worker, c->n != 0, &r->error);
    if (rc == 0)
        rc = find_worker(c, &w, &r->error);
    if (rc)
        return front_fail(c, rc, r->error.detail);
    pack_worker(e, front_reply(c), w);
    front_send(c);
}

static int drain_start(struct call *c, bool on, struct error *error)
{
    struct worker *w;
    int rc = find_worker(c, &w, error);
    if (rc)
        return rc;
    c->n = on;
    front_store(c, true, drain_run, drain_done);
    return 0;
}

int verbs_worker_drain(struct call *c, struct error *error)
{
    return drain_start(c, true, error);
}

int verbs_worker_resume(struct call *c, struct error *error)
{
    return drain_start(c, false, error);
}

/* ---- keys ---- */

static int need_keys(const struct call *c, struct error *error)
{
    if (c->edge->keys)
        return 0;
    return error_set(
        error, ERR_WRONG_STATE,
        "this coordinator runs without keys: give it a secret key (key.file) and a list "
        "(key.authorized) first");
}

static void reply_keys(struct call *c)
{
    size_t n = 0;
    struct keys_entry *list = keys_allow_list(c->edge->keys, &n);
    struct buf *out = front_reply(c);
    pack_map(out, 1);
    pack_cstr(out, "keys");
    pack_array(out, n);
    for (size_t i = 0; i < n; i++) {
        pack_map(out, 3);
        verbs_text(out, "name", list[i].name);
        verbs_text(out, "role", keys_role_name(list[i].role));
        verbs_text(out, "public", list[i].public_z85);
    }
    free(list);
    front_send(c);
}

int verbs_key_ls(struct call *c, struct error *error)
{
    int rc = need_keys(c, error);
    if (rc == 0)
        reply_keys(c);
    return rc;
}

int verbs_key_authorize(struct call *c, struct error *error)
{
    struct keys_entry entry = {0};
    int rc = need_keys(c, error);
    if (rc)
        return rc;
    if (!keys_name_valid(c->args.name))
        return error_set(error, ERR_INVALID_ARGUMENT, "a name is 1 to 64 of A-Z a-z 0-9 . _ -");
    if (!keys_role_parse(c->args.role, &entry.role))
        return error_set(error, ERR_INVALID_ARGUMENT, "a role is worker, client or admin");
    if (!keys_public_valid(c->args.public))
        return error_set(error, ERR_INVALID_ARGUMENT, "a public key is 40 characters of Z85");
    memcpy(entry.name, c->args.name.p, c->args.name.len);
    memcpy(entry.public_z85, c->args.public.p, c->args.public.len);
    rc = keys_allow_add(c->edge->keys, &entry, error);
    if (rc == 0)
        reply_keys(c);
    return rc;
}

int verbs_key_revoke(struct call *c, struct error *error)
{
    size_t n = 0;
    int rc = need_keys(c, error);
    if (rc == 0)
        rc = front_need(c->args.name.len || c->args.public.len, "name or public", error);
    if (rc)
        return rc;
    char *name =
        c->args.name.len ? arena_strndup(&c->arena, c->args.name.p, c->args.name.len) : NULL;
    char *public =
        c->args.public.len ? arena_strndup(&c->arena, c->args.public.p, c->args.public.len) : NULL;
    rc = keys_allow_revoke(c->edge->keys, name, public, &n, error);
    if (rc)
        return rc;
    sessions_revoked(c->edge->sessions);
    reply_keys(c);
    return 0;
}

/* ---- configuration ---- */

int verbs_config_show(struct call *c, struct error *error)
{
    struct config_entry entry;
    size_t n = 0;
    (void)error;
    while (config_entry(c->edge->config, n, &entry))
        n++;
    struct buf *out = front_reply(c);
    pack_map(out, 1);
    pack_cstr(out, "options");
    pack_array(out, n);
    for (size_t i = 0; i < n && config_entry(c->edge->config, i, &entry); i++) {
        pack_map(out, 4);
        verbs_text(out, "key", entry.key);
        verbs_text(out, "value", entry.value);
        verbs_text(out, "origin", entry.origin);
        verbs_text(out, "help", entry.help);
    }
    front_send(c);
    return 0;
}
