/* sim.c: clock, randomness, network, and the faults of a run. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/hash.h"

/* ---- randomness and trace ---- */

uint64_t sim_random(struct sim *sim)
{
    sim->rng += UINT64_C(0x9e3779b97f4a7c15);
    return hash_mix(sim->rng);
}

uint64_t sim_below(struct sim *sim, uint64_t n)
{
    return n ? sim_random(sim) % n : 0;
}

bool sim_chance(struct sim *sim, uint32_t per_mille)
{
    return sim_below(sim, 1000) < per_mille;
}

void sim_trace(struct sim *sim, uint64_t a, uint64_t b, uint64_t c)
{
    sim->trace =
        hash_mix(sim->trace ^ hash_mix(a + 0x51) ^ hash_mix(b + 0x1234567) * 3) + c + sim->now_ms;
}

void sim_violate(struct sim *sim, const char *fmt, ...)
{
    if (sim->violation[0])
        return;
    int n = snprintf(sim->violation, sizeof(sim->violation),
                     "at %llu ms: ", (unsigned long long)sim->now_ms);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(sim->violation + n, sizeof(sim->violation) - (size_t)n, fmt, ap);
    va_end(ap);
}

void sim_say(const struct sim *sim, const char *fmt, ...)
{
    if (!sim->verbose)
        return;
    va_list ap;
    va_start(ap, fmt);
    printf("%8llu  ", (unsigned long long)sim->now_ms);
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
}

/* ---- the clock: a heap of what happens next ---- */

static bool event_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void sim_at(struct sim *sim, uint64_t at_ms, sim_fn *fn, void *arg, uint64_t tag)
{
    if (sim->n_queue == sim->cap_queue) {
        sim->cap_queue = sim->cap_queue ? sim->cap_queue * 2 : 1024;
        sim->queue = realloc(sim->queue, sim->cap_queue * sizeof(*sim->queue));
        assert(sim->queue);
    }
    struct sim_event ev = {MAX(at_ms, sim->now_ms), sim->order++, fn, arg, tag};
    size_t i = sim->n_queue++;
    for (; i > 0 && event_before(&ev, &sim->queue[(i - 1) / 2]); i = (i - 1) / 2)
        sim->queue[i] = sim->queue[(i - 1) / 2];
    sim->queue[i] = ev;
}

static struct sim_event sim_next(struct sim *sim)
{
    struct sim_event first = sim->queue[0], last = sim->queue[--sim->n_queue];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < sim->n_queue; i = child) {
        if (child + 1 < sim->n_queue && event_before(&sim->queue[child + 1], &sim->queue[child]))
            child++;
        if (!event_before(&sim->queue[child], &last))
            break;
        sim->queue[i] = sim->queue[child];
    }
    sim->queue[i] = last;
    return first;
}

/* ---- the network ---- */

struct datagram {
    uint32_t from, to;
    size_t len;
    char bytes[];
};

static void net_deliver(struct sim *sim, void *arg, uint64_t tag)
{
    struct datagram *d = arg;
    uint64_t frozen = d->to == SIM_COORD    ? sim_coord_frozen_until(sim)
                      : d->to == SIM_CLIENT ? 0
                                            : sim_worker_frozen_until(sim, d->to);
    if (frozen > sim->now_ms) { /* it waits in the socket of a stopped process */
        sim_at(sim, frozen, net_deliver, d, tag);
        return;
    }
    struct span message = {d->bytes, d->len};
    sim->n_messages++;
    sim_trace(sim, d->from, d->to, hash_64(d->bytes, d->len, 0));
    if (d->to == SIM_COORD)
        sim_coord_message(sim, d->from, message);
    else if (d->to == SIM_CLIENT)
        sim_client_message(sim, message);
    else
        sim_worker_message(sim, d->to, message);
    free(d);
}

static void net_send_once(struct sim *sim, uint32_t from, uint32_t to, const struct buf *message)
{
    uint64_t delay_ms = 1 + sim_below(sim, 4);
    if (sim->faults && sim_chance(sim, sim->late_pm))
        delay_ms += sim_below(sim, 400);
    struct datagram *d = malloc(sizeof(*d) + message->len);
    assert(d);
    *d = (struct datagram){.from = from, .to = to, .len = message->len};
    memcpy(d->bytes, message->data, message->len);
    sim_at(sim, sim->now_ms + delay_ms, net_deliver, d, 0);
}

void sim_send(struct sim *sim, uint32_t from, uint32_t to, const struct buf *message)
{
    assert(buf_ok(message));
    uint32_t node = from == SIM_COORD ? to : from;
    if (from == SIM_COORD ? sim->cut_to[node] : sim->cut_from[node])
        return;
    if (sim->faults && sim_chance(sim, sim->drop_pm))
        return;
    net_send_once(sim, from, to, message);
    if (sim->faults && sim_chance(sim, sim->twice_pm))
        net_send_once(sim, from, to, message);
}

/* ---- downstreams ---- */

static const char *const sink_names[SIM_SINKS] = {"postgres:s0", "redis:s1"};
static const char *const host_names[SIM_KEYS] = {"host:k0", "host:k1", "host:k2", "host:k3",
                                                 "host:k4", "host:k5", "host:k6", "host:k7"};

struct span sim_sink_name(uint32_t sink)
{
    return span_str(sink_names[sink]);
}

struct span sim_host_name(uint32_t key)
{
    return span_str(host_names[key]);
}

bool sim_name_read(struct span name, bool *ret_host, uint32_t *ret_index)
{
    for (uint32_t i = 0; i < SIM_SINKS; i++)
        if (span_eq(name, sim_sink_name(i))) {
            *ret_host = false;
            *ret_index = i;
            return true;
        }
    for (uint32_t i = 0; i < SIM_KEYS; i++)
        if (span_eq(name, sim_host_name(i))) {
            *ret_host = true;
            *ret_index = i;
            return true;
        }
    return false;
}

static void fault_cured(struct sim *sim, void *arg, uint64_t node)
{
    struct sim_downstream *d = arg;
    if (d->bad_worker == node)
        d->bad_worker = 0;
    (void)sim;
}

static void fault_by_hand_over(struct sim *sim, void *arg, uint64_t sink)
{
    (void)arg;
    sim_coord_manual(sim, (uint32_t)sink, SCHED_MANUAL_NONE);
}

/* An outage, fast or slow, of a sink or a host; one worker alone; or an administrator. */
static void fault_downstream(struct sim *sim)
{
    const uint64_t kind = sim_below(sim, 10), ms = 500 + sim_below(sim, 12000);
    const uint32_t sink = (uint32_t)sim_below(sim, SIM_SINKS);
    struct sim_downstream *d = &sim->sinks[sink];
    if (kind < 4) {
        d->down_until_ms = sim->now_ms + ms;
        d->call_ms = sim_chance(sim, 300) ? 1500 : 5;
    } else if (kind < 6) {
        d->bad_worker = 1 + (uint32_t)sim_below(sim, sim->workers);
        const uint64_t more_ms = sim->outages ? 20000 : 0; /* until it has failed often enough */
        sim_at(sim, sim->now_ms + 2 * ms + more_ms, fault_cured, d, d->bad_worker);
    } else if (kind < 9) {
        sim->hosts[sim_below(sim, SIM_KEYS)].down_until_ms = sim->now_ms + 3 * ms;
    } else {
        sim_coord_manual(sim, sink,
                         sim_chance(sim, 500) ? SCHED_MANUAL_TRIPPED : SCHED_MANUAL_PINNED);
        sim_at(sim, sim->now_ms + ms, fault_by_hand_over, NULL, sink);
    }
}

/* ---- faults ---- */

static void fault_reconnect(struct sim *sim, void *arg, uint64_t node)
{
    (void)arg;
    sim->cut_to[node] = sim->cut_from[node] = false;
}

static void fault_coord_back(struct sim *sim, void *arg, uint64_t tag)
{
    (void)arg;
    (void)tag;
    if (!sim_coord_alive(sim))
        sim_coord_start(sim);
}

static void fault_resume(struct sim *sim, void *arg, uint64_t node)
{
    (void)arg;
    sim_coord_drain(sim, (uint32_t)node, false);
}

static void fault_one(struct sim *sim)
{
    if (sim->outages && !sim_chance(sim, 200))
        return fault_downstream(sim);
    uint32_t node = 1 + (uint32_t)sim_below(sim, sim->workers);
    uint64_t kind = sim_below(sim, 16), long_ms = sim_below(sim, 3 * SIM_LEASE_MS);
    sim_say(sim, "fault %llu on worker %u, %llu ms", (unsigned long long)kind, node,
            (unsigned long long)long_ms);
    if (kind < 3) {
        sim_worker_crash(sim, node, 100 + long_ms / 3);
    } else if (kind < 5) {
        sim_worker_freeze(sim, node, long_ms);
    } else if (kind < 8) { /* one direction or both */
        sim->cut_to[node] = kind != 6;
        sim->cut_from[node] = kind != 7;
        sim_at(sim, sim->now_ms + long_ms, fault_reconnect, NULL, node);
    } else if (kind < 9) {
        sim_worker_leave(sim, node);
    } else if (kind < 11) {
        sim_coord_crash(sim);
        sim_at(sim, sim->now_ms + 50 + long_ms / 4, fault_coord_back, NULL, 0);
    } else if (kind < 12) {
        sim_coord_freeze(sim, long_ms);
    } else if (kind < 13) {
        sim_coord_drain(sim, node, true);
        sim_at(sim, sim->now_ms + long_ms, fault_resume, NULL, node);
    }
    if (sim_chance(sim, 400))
        fault_downstream(sim);
}

static void fault_next(struct sim *sim, void *arg, uint64_t every_ms)
{
    if (!sim->faults)
        return;
    fault_one(sim);
    sim_at(sim, sim->now_ms + sim_below(sim, 2 * every_ms), fault_next, arg, every_ms);
}

static void fault_heal(struct sim *sim, void *arg, uint64_t tag)
{
    (void)arg;
    (void)tag;
    sim_say(sim, "healed");
    sim->faults = false;
    for (uint32_t n = 0; n < SIM_NODES; n++)
        sim->cut_to[n] = sim->cut_from[n] = false;
    if (!sim_coord_alive(sim))
        sim_coord_start(sim);
    for (uint32_t i = 0; i < SIM_SINKS; i++) {
        sim->sinks[i].down_until_ms = sim->sinks[i].bad_worker = 0;
        sim_coord_manual(sim, i, SCHED_MANUAL_NONE);
    }
    for (uint32_t i = 0; i < SIM_KEYS; i++)
        sim->hosts[i].down_until_ms = 0;
    for (uint32_t n = 1; n <= sim->workers; n++) {
        sim_worker_heal(sim, n);
        sim_coord_drain(sim, n, false);
    }
}

/* ---- a run ---- */

static struct sim_spec sim_draw_spec(struct sim *sim)
{
    /* One draw a statement: the order inside an initialiser is the compiler's. */
    struct sim_spec s = {0};
    s.priority = (uint8_t)sim_below(sim, 10);
    s.attempts_max = 1 + (uint32_t)sim_below(sim, 4);
    s.key_limit = (uint32_t)sim_below(sim, 4);
    s.run_timeout_ms = sim_chance(sim, 300) ? 3000 : 0;
    s.kinds = sim_chance(sim, 200) ? 3 : 1;
    s.chunks = 1 + (uint32_t)sim_below(sim, 3);
    s.chunk_tasks = 1 + (uint32_t)sim_below(sim, 25);
    s.keys = 1 + (uint32_t)sim_below(sim, 6);
    s.run_ms = sim_chance(sim, 200) ? 6000 : 500;
    s.retry_pm = (uint32_t)sim_below(sim, 300);
    s.fail_pm = (uint32_t)sim_below(sim, 50);
    s.found_pm = sim_chance(sim, 400) ? 400 : 0;
    s.again_pm = sim_chance(sim, 300) ? 200 : 0;
    s.reject_pm = sim_chance(sim, 300) ? 100 : 0;
    s.poison_pm = sim_chance(sim, 150) ? 40 : 0;
    s.cancel_at_ms = sim_chance(sim, 200) ? 1000 + sim_below(sim, 20000) : 0;
    s.pause_at_ms = sim_chance(sim, 200) ? 1000 + sim_below(sim, 20000) : 0;
    s.retry_dead = sim_chance(sim, 300);
    if (s.key_limit > 0 && sim_chance(sim, 400))
        s.key_delay_ms = 50 + (uint32_t)sim_below(sim, 300);
    if (s.key_limit > 0 && sim_chance(sim, 400))
        s.learned_delay_ms = 50 + (uint32_t)sim_below(sim, 300);
    s.sinks = sim_chance(sim, 500) ? (uint32_t)sim_below(sim, 1U << SIM_SINKS) : 0;
    s.hosts = sim_chance(sim, 300);
    if (sim->outages) { /* tasks enough to be at work when an outage ends */
        s.sinks = 1 + (uint32_t)sim_below(sim, (1U << SIM_SINKS) - 1);
        s.chunk_tasks += 100;
        s.run_ms = 500;           /* one key's, one after the other, are over in time */
        if (sim_chance(sim, 500)) /* and some of them side by side */
            s.key_limit = s.key_delay_ms = s.learned_delay_ms = 0;
    }
    return s;
}

static void sim_loop(struct sim *sim)
{
    while (sim->n_queue > 0 && !sim->violation[0]) {
        struct sim_event ev = sim_next(sim);
        sim->now_ms = ev.at_ms;
        ev.fn(sim, ev.arg, ev.tag);
        if (!sim->faults && sim_client_finished(sim))
            return;
        if (sim->now_ms > SIM_END_MS)
            sim_violate(sim, "not every job has ended although the faults stopped long ago");
    }
}

bool sim_run(struct sim *sim, uint64_t seed, bool invariants, bool verbose)
{
    *sim = (struct sim){.seed = seed,
                        .rng = hash_mix(seed + 1),
                        .invariants = invariants,
                        .verbose = verbose,
                        .faults = true};
    bool calm = sim_chance(sim, 100); /* some runs have no fault at all */
    sim->drop_pm = calm ? 0 : (uint32_t)sim_below(sim, 30);
    sim->twice_pm = calm ? 0 : (uint32_t)sim_below(sim, 30);
    sim->late_pm = calm ? 0 : (uint32_t)sim_below(sim, 50);
    sim->outages = !calm && sim_chance(sim, 200);
    sim->workers = 1 + (uint32_t)sim_below(sim, SIM_WORKERS_MAX);
    sim->jobs = 1 + (uint32_t)sim_below(sim, SIM_JOBS_MAX);
    for (uint32_t j = 0; j < sim->jobs; j++)
        sim->specs[j] = sim_draw_spec(sim);
    sim_oracle_init(sim);
    sim_told_init(sim);
    sim_store_init(sim);
    sim_coord_init(sim);
    sim_worker_init(sim);
    sim_client_init(sim);
    sim_coord_start(sim);
    if (!calm) {
        uint64_t first_ms = 500 + sim_below(sim, 2000);
        sim_at(sim, first_ms, fault_next, NULL, 500 + sim_below(sim, 6000));
    }
    sim_at(sim, SIM_FAULTS_MS, fault_heal, NULL, 0);
    sim_loop(sim);
    if (!sim->violation[0])
        sim_oracle_end(sim);
    for (size_t i = 0; i < sim->n_queue; i++) {
        sim_store_drop(&sim->queue[i]);
        if (sim->queue[i].fn == net_deliver)
            free(sim->queue[i].arg);
    }
    free(sim->queue);
    sim->queue = NULL;
    sim_client_done(sim);
    sim_worker_done(sim);
    sim_coord_done(sim);
    sim_store_done(sim);
    sim_told_done(sim);
    sim_oracle_done(sim);
    return !sim->violation[0];
}
