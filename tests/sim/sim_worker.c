/*
 * sim_worker.c: workers that behave: they keep to docs/PROTOCOL.md, and are slow, stopped, killed and
 * started again by sim.c. A worker holds a task until its result is acknowledged or revoked. Rows go to
 * sinks through the real gates, one call at a time to each.
 */
#include "sim.h"

#include <stdio.h>

#include "common/pack.h"
#include "common/unpack.h"
#include "worker/sinks/gate.h"

/* Planted bugs of workers: see coordinator/core/core.h. */
#ifdef DROVER_PLANTED_BUG
#define WORKER_BUG(n) (DROVER_PLANTED_BUG == (n))
#else
#define WORKER_BUG(n) false
#endif

enum { HELD_MAX = 64, PREFILL = 2, HELLO_AGAIN_MS = 2000, SILENCE_MS = 4000, CALLS_MS = 250 };

enum held_state { HELD_QUEUED, HELD_RUNNING, HELD_LANDING, HELD_FINISHED };

struct held {
    struct wire_token token;
    enum held_state state;
    uint64_t job, key, depth;
    struct wire_result result;     /* without spans: those are made when it is sent */
    uint32_t n_found, left, again; /* of inputs: bits */
    uint32_t inputs;               /* until its rows are made: all; then those that have rows */
    bool whole;
    bool asks;        /* FINISHED: it is no result, but asks for leave to land */
    uint32_t to_land; /* LANDING: bits of the sinks that do not have its rows yet */
    uint64_t run;     /* which run of this worker finishes it */
};

/* A sink as this worker sees it. */
struct lane {
    struct gate gate;
    bool calling, timer;
    enum wire_breaker_state heard; /* the last of this session; closed before */
    uint32_t calls;                /* since then */
    uint64_t began_ms;
    struct wire_token list[HELD_MAX]; /* in the call */
    size_t n;
};

/* A host: what came of calls since it was last told. */
struct host_calls {
    uint32_t ok, fail;
    bool watched; /* the coordinator wants to hear of successes too */
};

struct sim_worker {
    bool alive, welcomed, leaving;
    uint32_t node, slots, kinds;
    uint64_t life, boot, epoch, session, seq_in, seq_out, heard_ms, hello_ms, frozen_until_ms, runs;
    uint64_t received; /* tasks of this session */
    struct held held[HELD_MAX];
    size_t n_held;
    struct lane lanes[SIM_SINKS];
    struct host_calls hosts[SIM_KEYS];
    uint64_t calls_ms; /* when calls are told next, unless they are urgent */
    bool calls_timer;
    struct buf out;
    struct arena arena;
};

static void lane_heard(struct lane *lane, enum wire_breaker_state state)
{
    lane->heard = state;
    lane->calls = 0;
}

uint64_t sim_worker_boot(const struct sim *sim, uint32_t node)
{
    return sim->worker[node].boot;
}

uint64_t sim_worker_frozen_until(const struct sim *sim, uint32_t node)
{
    return sim->worker[node].frozen_until_ms;
}

/* ---- sending ---- */

static void frame_begin(struct sim_worker *w, enum wire_type type)
{
    buf_clear(&w->out);
    wire_frame_pack(&w->out, &(struct wire_frame){.version = WIRE_VERSION,
                                                  .type = type,
                                                  .epoch = w->epoch,
                                                  .session = w->session,
                                                  .seq = ++w->seq_out,
                                                  .ack_seq = w->seq_in});
}

static void send_hello(struct sim *sim, struct sim_worker *w)
{
    char name[16], boot[16] = {0};
    struct wire_token held[HELD_MAX];
    int n = snprintf(name, sizeof(name), "worker-%u", w->node);
    memcpy(boot, &w->boot, sizeof(w->boot));
    for (size_t i = 0; i < w->n_held; i++)
        held[i] = w->held[i].token;
    w->session = 0;
    w->seq_out = w->seq_in = 0;
    w->welcomed = false;
    w->received = 0;
    for (uint32_t i = 0; i < SIM_SINKS; i++) {
        lane_heard(&w->lanes[i], WIRE_BREAKER_CLOSED);
        gate_session(&w->lanes[i].gate);
    }
    w->hello_ms = w->heard_ms = sim->now_ms;
    frame_begin(w, WIRE_HELLO);
    wire_hello_pack(&w->out, &(struct wire_hello){.version_min = WIRE_VERSION_MIN,
                                                  .version_max = WIRE_VERSION,
                                                  .worker = {name, (size_t)n},
                                                  .boot = {boot, sizeof(boot)},
                                                  .kinds = w->kinds,
                                                  .slots = w->slots,
                                                  .version = SPAN("0.1.0"),
                                                  .host = SPAN("sim"),
                                                  .held = held,
                                                  .n_held = w->n_held});
    sim_send(sim, w->node, SIM_COORD, &w->out);
}

static void send_credit(struct sim *sim, struct sim_worker *w)
{
    size_t waiting = 0;
    for (size_t i = 0; i < w->n_held; i++)
        waiting += w->held[i].state < HELD_LANDING;
    if (!w->welcomed || w->leaving)
        return;
    uint64_t room = w->n_held + PREFILL < HELD_MAX / 2 ? w->slots + PREFILL : 0;
    uint64_t tasks = w->received + (room > waiting ? room - waiting : 0);
    frame_begin(w, WIRE_CREDIT);
    wire_credit_pack(&w->out, &(struct wire_credit){tasks, tasks * 1000});
    sim_send(sim, w->node, SIM_COORD, &w->out);
}

static void send_result(struct sim *sim, struct sim_worker *w, struct held *h)
{
    char urls[4][2];
    struct wire_found found[4];
    static const char inputs[] = "0123";
    struct wire_again again[SIM_INPUTS];
    const char left = (char)h->left;
    if (!w->welcomed)
        return;
    for (uint32_t i = 0; i < 4; i++) {
        urls[i][0] = (char)('a' + (h->key + i) % 6);
        found[i] = (struct wire_found){{urls[i], 1}, (uint32_t)h->depth + 1};
    }
    struct wire_result r = h->result;
    r.token = h->token;
    r.found = found;
    r.n_found = h->n_found;
    r.again = again;
    for (uint32_t i = 0; i < SIM_INPUTS; i++)
        if (h->again >> i & 1)
            again[r.n_again++] = (struct wire_again){{&inputs[i], 1}, 0, SPAN("TIMEOUT")};
    r.left = (struct span){&left, 1};
    frame_begin(w, WIRE_RESULT);
    pack_array(&w->out, 1);
    wire_result_pack(&w->out, &r);
    sim_send(sim, w->node, SIM_COORD, &w->out);
}

/* ---- running tasks ---- */

static void worker_finish(struct sim *sim, void *arg, uint64_t run);

static void held_drop(struct sim_worker *w, struct held *h)
{
    *h = w->held[--w->n_held];
}

static struct held *held_find(struct sim_worker *w, const struct wire_token *t)
{
    for (size_t i = 0; i < w->n_held; i++)
        if (w->held[i].token.task == t->task && w->held[i].token.epoch == t->epoch &&
            w->held[i].token.counter == t->counter)
            return &w->held[i];
    return NULL;
}

static void worker_run(struct sim *sim, struct sim_worker *w)
{
    size_t running = 0;
    for (size_t i = 0; i < w->n_held; i++)
        running += w->held[i].state == HELD_RUNNING;
    for (size_t i = 0; i < w->n_held && running < w->slots; i++) {
        struct held *h = &w->held[i];
        if (h->state != HELD_QUEUED)
            continue;
        h->state = HELD_RUNNING;
        h->run = (w->life << 32) + ++w->runs;
        running++;
        sim_at(sim, sim->now_ms + 5 + sim_below(sim, sim->specs[h->job - 1].run_ms), worker_finish,
               w, h->run);
    }
}

static void held_result(struct sim *sim, struct held *h)
{
    const struct sim_spec *s = &sim->specs[h->job - 1];
    uint64_t dice = sim_below(sim, 1000);
    h->state = HELD_FINISHED;
    h->result = (struct wire_result){.outcome = WIRE_DONE, .key_delay_ms = s->learned_delay_ms};
    if (dice < s->retry_pm) {
        h->result.outcome = WIRE_RETRY;
        h->result.error = SPAN("TIMEOUT");
        h->result.retry_after_ms = dice % 3 ? 0 : 500;
        h->result.key_backoff_ms = dice % 5 ? 0 : 700;
    } else if (dice < s->retry_pm + s->fail_pm) {
        h->result.outcome = WIRE_FAIL;
        h->result.error = SPAN("LIMIT");
    } else if (dice > 980) {
        h->result.outcome = WIRE_RETURNED;
    } else if (h->depth < 2) {
        h->n_found = sim_chance(sim, s->found_pm) ? 1 + (uint32_t)sim_below(sim, 3) : 0;
        for (uint32_t i = 0; i < SIM_INPUTS; i++) {
            const bool again = sim_chance(sim, s->again_pm);
            h->again |= (again ? h->inputs : 0) & 1U << i;
            h->left |= (again || sim_chance(sim, s->reject_pm) ? h->inputs : 0) & 1U << i;
        }
    }
}

/* A whole task whose inputs cannot all be had goes back. */
static void check_whole(struct sim *sim, struct held *h)
{
    if (!h->whole || h->left == 0 || WORKER_BUG(17))
        return;
    h->result = (struct wire_result){.outcome = WIRE_RETRY, .error = SPAN("TIMEOUT")};
    h->left = h->again = h->n_found = 0;
    sim->seen[SIM_SEEN_WHOLE_BACK]++;
}

/* Its rows are made; they land at once, or after the coordinator has noted what they hold. */
static bool must_land(const struct sim *sim, struct held *h)
{
    h->inputs &= ~h->left;
    if (h->result.outcome != WIRE_DONE || h->inputs == 0 || sim->specs[h->job - 1].sinks == 0)
        return false;
    h->to_land = sim->specs[h->job - 1].sinks;
    if (h->whole || WORKER_BUG(16))
        return true;
    h->asks = true;
    h->result.outcome = WIRE_LAND;
    return false;
}

/* ---- calls to downstreams ---- */

static void lane_go(struct sim *sim, struct sim_worker *w, uint32_t sink);
static void lane_timer(struct sim *sim, void *arg, uint64_t tag);
static void lane_done(struct sim *sim, void *arg, uint64_t tag);
static void calls_timer(struct sim *sim, void *arg, uint64_t life);

static uint32_t lane_waiting(const struct sim_worker *w, uint32_t sink)
{
    uint32_t n = 0;
    for (size_t i = 0; i < w->n_held; i++)
        n += w->held[i].state == HELD_LANDING && w->held[i].to_land & 1U << sink;
    return n;
}

static size_t calls_fill(struct sim_worker *w, struct wire_calls *m, bool *ret_urgent)
{
    size_t n = 0;
    *ret_urgent = false;
    for (uint32_t i = 0; i < SIM_SINKS; i++) {
        struct gate *g = &w->lanes[i].gate;
        const uint32_t waiting = lane_waiting(w, i);
        *ret_urgent |= gate_urgent(g, waiting);
        if (gate_news(g, waiting)) {
            m[n].downstream = sim_sink_name(i);
            gate_take(g, waiting, &m[n++]);
        }
    }
    for (uint32_t i = 0; i < SIM_KEYS; i++) {
        struct host_calls *h = &w->hosts[i];
        *ret_urgent |= h->watched && h->ok + h->fail > 0;
        if (h->fail > 0 || (h->watched && h->ok > 0))
            m[n++] = (struct wire_calls){.downstream = sim_host_name(i),
                                         .ok = h->ok,
                                         .fail = h->fail,
                                         .row = h->ok ? 0 : h->fail};
        h->ok = h->fail = 0;
    }
    return n;
}

static void calls_send(struct sim *sim, struct sim_worker *w)
{
    struct wire_calls m[SIM_SINKS + SIM_KEYS];
    bool urgent = false, news = false;
    if (!w->welcomed)
        return;
    for (uint32_t i = 0; i < SIM_SINKS; i++) {
        urgent |= gate_urgent(&w->lanes[i].gate, lane_waiting(w, i));
        news |= gate_news(&w->lanes[i].gate, lane_waiting(w, i));
    }
    for (uint32_t i = 0; i < SIM_KEYS; i++)
        urgent |= w->hosts[i].fail > 0 || (w->hosts[i].watched && w->hosts[i].ok > 0);
    if (!urgent && (!news || sim->now_ms < w->calls_ms)) {
        if (news && !w->calls_timer) {
            w->calls_timer = true;
            sim_at(sim, w->calls_ms, calls_timer, w, w->life);
        }
        return;
    }
    const size_t n = calls_fill(w, m, &urgent);
    w->calls_ms = sim->now_ms + CALLS_MS;
    if (n == 0)
        return;
    frame_begin(w, WIRE_CALLS);
    wire_calls_pack(&w->out, m, n);
    sim_send(sim, w->node, SIM_COORD, &w->out);
}

static void calls_timer(struct sim *sim, void *arg, uint64_t life)
{
    struct sim_worker *w = arg;
    if (!w->alive || life != w->life)
        return;
    if (w->frozen_until_ms > sim->now_ms)
        return sim_at(sim, w->frozen_until_ms, calls_timer, w, life);
    w->calls_timer = false;
    calls_send(sim, w);
}

/* The life of the process and the sink, in one tag. */
static uint64_t lane_tag(const struct sim_worker *w, uint32_t sink)
{
    return w->life << 8 | sink;
}

static bool sink_reached(const struct sim *sim, const struct sim_worker *w, uint32_t sink)
{
    const struct sim_downstream *d = &sim->sinks[sink];
    return sim->now_ms >= d->down_until_ms && d->bad_worker != w->node;
}

/* Begins a call with all rows that wait, when the gate lets it. */
static void lane_go(struct sim *sim, struct sim_worker *w, uint32_t sink)
{
    struct lane *lane = &w->lanes[sink];
    if (lane->calling || lane_waiting(w, sink) == 0)
        return;
    const uint64_t at_ms = gate_next_ms(&lane->gate);
    if (at_ms > sim->now_ms) {
        if (at_ms != UINT64_MAX && !lane->timer) {
            lane->timer = true;
            sim_at(sim, at_ms, lane_timer, w, lane_tag(w, sink));
        }
        return;
    }
    lane->n = 0;
    for (size_t i = 0; i < w->n_held; i++)
        if (w->held[i].state == HELD_LANDING && w->held[i].to_land & 1U << sink)
            lane->list[lane->n++] = w->held[i].token;
    lane->calling = true;
    lane->began_ms = sim->now_ms;
    gate_called(&lane->gate);
    sim_told_call(sim, w->node, sink, lane->heard, lane->calls++);
    const bool good = sink_reached(sim, w, sink);
    const uint64_t ms = good || sim->sinks[sink].bad_worker == w->node ? 5 + sim_below(sim, 40)
                                                                       : sim->sinks[sink].call_ms;
    sim_at(sim, sim->now_ms + ms, lane_done, w, lane_tag(w, sink));
}

static void lane_timer(struct sim *sim, void *arg, uint64_t tag)
{
    struct sim_worker *w = arg;
    if (!w->alive || tag >> 8 != w->life)
        return;
    if (w->frozen_until_ms > sim->now_ms)
        return sim_at(sim, w->frozen_until_ms, lane_timer, w, tag);
    w->lanes[tag & 255].timer = false;
    lane_go(sim, w, (uint32_t)tag & 255);
}

static void landed(struct sim *sim, struct sim_worker *w, struct held *h, uint32_t sink)
{
    struct sim_task *t = &sim->store->tasks[h->token.task];
    if (t->landed & 1U << sink) /* the ledger has it */
        sim->seen[SIM_SEEN_LANDED_TWICE]++;
    else
        sim_oracle_landed(sim, h->token.task, sink, h->inputs);
    t->landed |= 1U << sink;
    h->to_land &= ~(1U << sink);
    if (h->to_land == 0) {
        h->state = HELD_FINISHED;
        send_result(sim, w, h);
    }
}

static void lane_done(struct sim *sim, void *arg, uint64_t tag)
{
    struct sim_worker *w = arg;
    const uint32_t sink = (uint32_t)tag & 255;
    struct lane *lane = &w->lanes[sink];
    if (!w->alive || tag >> 8 != w->life)
        return;
    if (w->frozen_until_ms > sim->now_ms)
        return sim_at(sim, w->frozen_until_ms, lane_done, w, tag);
    const bool good = sink_reached(sim, w, sink);
    lane->calling = false;
    gate_done(&lane->gate, sim->now_ms - lane->began_ms, good ? NULL : "down", sim->now_ms);
    for (size_t i = 0; i < lane->n && good; i++) {
        struct held *h = held_find(w, &lane->list[i]);
        if (h && h->state == HELD_LANDING)
            landed(sim, w, h, sink);
    }
    calls_send(sim, w);
    send_credit(sim, w);
    lane_go(sim, w, sink);
}

/* Rows that wait for a sink which this worker alone cannot reach. */
static void give_back(struct sim *sim, struct sim_worker *w, uint32_t sink)
{
    for (size_t i = 0; i < w->n_held; i++) {
        struct held *h = &w->held[i];
        if (h->state != HELD_LANDING || !(h->to_land & 1U << sink))
            continue;
        h->state = HELD_FINISHED;
        h->result = (struct wire_result){.outcome = WIRE_RETURNED};
        sim->seen[SIM_SEEN_GIVEN_BACK]++;
        send_result(sim, w, h);
    }
}

/* What running a task of a host came to, when the host is down: its URLs were tried, and are to be tried
 * again as a new task. */
static void call_host(struct sim *sim, struct sim_worker *w, struct held *h)
{
    const bool up = sim->now_ms >= sim->hosts[h->key].down_until_ms;
    struct host_calls *calls = &w->hosts[h->key];
    calls->ok += up;
    calls->fail += up ? 0 : 5;
    if (up || h->result.outcome != WIRE_DONE || h->depth >= 2)
        return;
    h->left = h->again = h->inputs;
    h->n_found = MAX(h->n_found, 1u); /* its URLs led here from others, which lead to more */
}

static void worker_finish(struct sim *sim, void *arg, uint64_t run)
{
    struct sim_worker *w = arg;
    if (!w->alive || run >> 32 != w->life)
        return;
    if (w->frozen_until_ms > sim->now_ms)
        return sim_at(sim, w->frozen_until_ms, worker_finish, w, run);
    for (size_t i = 0; i < w->n_held; i++) {
        struct held *h = &w->held[i];
        if (h->run != run || h->state != HELD_RUNNING)
            continue;
        if (sim->specs[h->job - 1].poison_pm > 0 &&
            h->token.task * 7 % 1000 < sim->specs[h->job - 1].poison_pm)
            return sim_worker_crash(sim, w->node, 300);
        held_result(sim, h);
        if (sim->specs[h->job - 1].hosts)
            call_host(sim, w, h);
        check_whole(sim, h);
        if (!must_land(sim, h)) {
            send_result(sim, w, h);
            break;
        }
        h->state = HELD_LANDING;
        for (uint32_t sink = 0; sink < SIM_SINKS; sink++)
            lane_go(sim, w, sink);
        break;
    }
    worker_run(sim, w);
    calls_send(sim, w);
    send_credit(sim, w);
}

/* ---- receiving ---- */

static void on_assign(struct sim *sim, struct sim_worker *w, const struct wire_frame *f)
{
    struct wire_assign a;
    if (wire_assign_read(f->body, &w->arena, &a, NULL))
        return sim_violate(sim, "ASSIGN does not decode");
    for (size_t i = 0; i < a.n_tasks; i++) {
        struct unpack u;
        assert(w->n_held < HELD_MAX);
        struct held *h = &w->held[w->n_held++];
        *h = (struct held){.token = {a.tasks[i].task, f->epoch, a.tasks[i].counter},
                           .job = a.tasks[i].job};
        unpack_init(&u, a.tasks[i].input.p, a.tasks[i].input.len);
        unpack_array(&u);
        h->key = unpack_u64(&u);
        h->depth = unpack_u64(&u);
        h->inputs = (uint32_t)unpack_u64(&u);
        h->whole = a.tasks[i].whole;
        assert(unpack_finished(&u));
        w->received++;
    }
    worker_run(sim, w);
}

static void may_land(struct sim *sim, struct sim_worker *w, struct held *h)
{
    if (!h->asks)
        return;
    h->asks = false;
    h->state = HELD_LANDING;
    h->result.outcome = WIRE_DONE;
    h->left = h->again = h->n_found = 0; /* told with the question */
    for (uint32_t sink = 0; sink < SIM_SINKS; sink++)
        lane_go(sim, w, sink);
}

static void on_verdicts(struct sim *sim, struct sim_worker *w, const struct wire_frame *f)
{
    struct wire_verdict *v;
    size_t n;
    if (wire_verdicts_read(f->body, &w->arena, &v, &n, NULL))
        return sim_violate(sim, "RESULT_ACK or REVOKE does not decode");
    for (size_t i = 0; i < n; i++) {
        struct held *h = held_find(w, &v[i].token);
        if (h && v[i].code == WIRE_ACK_LAND)
            may_land(sim, w, h);
        else if (h)
            held_drop(w, h);
    }
    worker_run(sim, w);
    send_credit(sim, w);
}

static void on_breakers(struct sim *sim, struct sim_worker *w, const struct wire_frame *f)
{
    struct wire_breaker *m;
    size_t n;
    if (wire_breakers_read(f->body, &w->arena, &m, &n, NULL))
        return sim_violate(sim, "BREAKER does not decode");
    for (size_t i = 0; i < n; i++) {
        bool host = false;
        uint32_t index = 0;
        if (!sim_name_read(m[i].downstream, &host, &index))
            return sim_violate(sim, "BREAKER names nothing that is");
        if (host) {
            w->hosts[index].watched = m[i].state != WIRE_BREAKER_CLOSED;
            continue;
        }
        lane_heard(&w->lanes[index], m[i].state);
        gate_tell(&w->lanes[index].gate, m[i].state, lane_waiting(w, index));
        if (m[i].state == WIRE_BREAKER_QUARANTINED)
            give_back(sim, w, index);
        lane_go(sim, w, index);
    }
    calls_send(sim, w);
    send_credit(sim, w);
}

static void on_welcome(struct sim *sim, struct sim_worker *w, const struct wire_frame *f)
{
    if (w->welcomed)
        return; /* of another HELLO: the coordinator will see that nobody uses that session */
    w->welcomed = true;
    w->epoch = f->epoch;
    w->session = f->session;
    w->seq_in = w->seq_out = 1;
    for (size_t i = 0; i < w->n_held; i++)
        if (w->held[i].state == HELD_FINISHED)
            send_result(sim, w, &w->held[i]);
    send_credit(sim, w);
    calls_send(sim, w);
    for (uint32_t i = 0; i < SIM_SINKS; i++)
        lane_go(sim, w, i);
}

void sim_worker_message(struct sim *sim, uint32_t node, struct span message)
{
    struct sim_worker *w = &sim->worker[node];
    struct wire_frame f;
    if (!w->alive)
        return;
    arena_clear(&w->arena);
    if (wire_frame_read(message, &f, NULL))
        return sim_violate(sim, "a frame does not decode");
    if (f.type == WIRE_WELCOME)
        return on_welcome(sim, w, &f);
    if (!w->welcomed || f.session != w->session)
        return;
    if (f.type == WIRE_RESYNC || f.type == WIRE_BYE)
        return send_hello(sim, w);
    if (f.seq <= w->seq_in)
        return;
    if (f.seq != w->seq_in + 1)
        return send_hello(sim, w); /* something was lost */
    w->seq_in++;
    w->heard_ms = sim->now_ms;
    if (f.type == WIRE_ASSIGN)
        on_assign(sim, w, &f);
    else if (f.type == WIRE_RESULT_ACK || f.type == WIRE_REVOKE)
        on_verdicts(sim, w, &f);
    else if (f.type == WIRE_BREAKER)
        on_breakers(sim, w, &f);
    else if (f.type != WIRE_HEARTBEAT)
        sim_violate(sim, "a worker got a message of type %u", (unsigned)f.type);
}

/* ---- life ---- */

static void worker_beat(struct sim *sim, void *arg, uint64_t life)
{
    struct sim_worker *w = arg;
    if (!w->alive || life != w->life)
        return;
    if (w->frozen_until_ms > sim->now_ms)
        return sim_at(sim, w->frozen_until_ms, worker_beat, w, life);
    if (!w->welcomed && sim->now_ms >= w->hello_ms + HELLO_AGAIN_MS) {
        send_hello(sim, w);
    } else if (w->welcomed && sim->now_ms >= w->heard_ms + SILENCE_MS) {
        send_hello(sim, w);
    } else if (w->welcomed) {
        frame_begin(w, WIRE_HEARTBEAT);
        wire_heartbeat_pack(&w->out, &(struct wire_heartbeat){.queued = (uint32_t)w->n_held});
        sim_send(sim, w->node, SIM_COORD, &w->out);
    }
    sim_at(sim, sim->now_ms + SIM_HEARTBEAT_MS, worker_beat, w, life);
}

void sim_worker_start(struct sim *sim, uint32_t node)
{
    struct sim_worker *w = &sim->worker[node];
    w->alive = true;
    w->leaving = false;
    w->life++;
    sim->n_worker_lives++;
    w->boot = sim_random(sim);
    w->epoch = 0;
    w->n_held = 0;
    memset(w->hosts, 0, sizeof(w->hosts));
    w->calls_timer = false;
    for (uint32_t i = 0; i < SIM_SINKS; i++) {
        w->lanes[i] = (struct lane){.n = 0};
        gate_init(&w->lanes[i].gate, sim_random(sim));
    }
    w->frozen_until_ms = 0;
    send_hello(sim, w);
    sim_at(sim, sim->now_ms + SIM_HEARTBEAT_MS, worker_beat, w, w->life);
}

static void worker_back(struct sim *sim, void *arg, uint64_t life)
{
    struct sim_worker *w = arg;
    if (!w->alive && w->life == life)
        sim_worker_start(sim, w->node);
}

void sim_worker_crash(struct sim *sim, uint32_t node, uint64_t back_ms)
{
    struct sim_worker *w = &sim->worker[node];
    if (!w->alive)
        return;
    w->alive = false;
    w->frozen_until_ms = 0;
    sim_at(sim, sim->now_ms + back_ms, worker_back, w, w->life);
}

void sim_worker_freeze(struct sim *sim, uint32_t node, uint64_t for_ms)
{
    if (sim->worker[node].alive)
        sim->worker[node].frozen_until_ms = sim->now_ms + for_ms;
}

static void worker_bye(struct sim *sim, void *arg, uint64_t life)
{
    struct sim_worker *w = arg;
    if (!w->alive || w->life != life)
        return;
    if (w->welcomed) {
        frame_begin(w, WIRE_BYE);
        wire_reason_pack(&w->out, "shutdown");
        sim_send(sim, w->node, SIM_COORD, &w->out);
    }
    sim_worker_crash(sim, w->node, 500);
}

void sim_worker_leave(struct sim *sim, uint32_t node)
{
    struct sim_worker *w = &sim->worker[node];
    if (!w->alive || w->frozen_until_ms > sim->now_ms)
        return;
    w->leaving = true;
    for (size_t i = 0; i < w->n_held; i++) {
        if (w->held[i].state == HELD_FINISHED && !(w->held[i].asks && sim_chance(sim, 500)))
            continue;
        w->held[i].asks = false;
        w->held[i].state = HELD_FINISHED;
        w->held[i].result = (struct wire_result){.outcome = WIRE_RETURNED};
        send_result(sim, w, &w->held[i]);
    }
    sim_at(sim, sim->now_ms + sim_below(sim, 50), worker_bye, w, w->life);
}

void sim_worker_heal(struct sim *sim, uint32_t node)
{
    if (!sim->worker[node].alive)
        sim_worker_start(sim, node);
}

void sim_worker_init(struct sim *sim)
{
    sim->worker = calloc(SIM_NODES, sizeof(*sim->worker));
    assert(sim->worker);
    for (uint32_t n = 1; n <= sim->workers; n++) {
        struct sim_worker *w = &sim->worker[n];
        w->node = n;
        w->slots = 1 + (uint32_t)sim_below(sim, 4);
        w->kinds = n == 1 || sim_chance(sim, 600) ? 15 : 1; /* at least one can do everything */
        buf_init(&w->out, 0);
        arena_init(&w->arena, 0);
        sim_at(sim, sim_below(sim, 3000), worker_back, w, 0);
    }
}

void sim_worker_done(struct sim *sim)
{
    for (uint32_t n = 1; n <= sim->workers; n++) {
        buf_done(&sim->worker[n].out);
        arena_done(&sim->worker[n].arena);
    }
    free(sim->worker);
}
