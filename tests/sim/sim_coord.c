/*
 * sim_coord.c: the coordinator's edge as thin as it can be: frames to events, actions to frames and
 * operations of the store. It holds no policy; the scheduler behind it is the real one.
 */
#include "sim.h"

#include "common/downstream.h"
#include "common/hash.h"
#include "common/pack.h"
#include "common/unpack.h"

enum { SESSIONS_MAX = 64, PER_STEP_MAX = 64 };

struct peer {
    uint64_t session; /* 0: free */
    uint32_t node;
    uint64_t seq_in, seq_out;
    uint64_t boot;                        /* of the process behind it; 0: not known */
    struct wire_task tasks[PER_STEP_MAX]; /* of the step that runs */
    struct wire_verdict acks[PER_STEP_MAX], revokes[PER_STEP_MAX];
    struct wire_breaker breakers[PER_STEP_MAX];
    size_t n_tasks, n_acks, n_revokes, n_breakers;
    bool welcome, bye;
};

struct sim_coord {
    bool alive;
    uint64_t life, frozen_until_ms, tick_at_ms, next_session, steals;
    struct sched *sched;
    struct sched_actions actions;
    struct peer peers[SESSIONS_MAX];
    struct buf out;
    struct arena arena;
    struct buf inputs; /* packed inputs of the tasks of this step: fixed size */
};

bool sim_coord_alive(const struct sim *sim)
{
    return sim->coord->alive;
}

uint64_t sim_coord_frozen_until(const struct sim *sim)
{
    return sim->coord->frozen_until_ms;
}

static struct peer *peer_find(struct sim *sim, uint64_t session)
{
    for (size_t i = 0; session && i < SESSIONS_MAX; i++)
        if (sim->coord->peers[i].session == session)
            return &sim->coord->peers[i];
    return NULL;
}

/* ---- sending ---- */

static void frame_begin(struct sim *sim, struct peer *p, enum wire_type type)
{
    struct buf *out = &sim->coord->out;
    buf_clear(out);
    wire_frame_pack(out, &(struct wire_frame){.version = WIRE_VERSION,
                                              .type = type,
                                              .epoch = sim->store->epoch,
                                              .session = p->session,
                                              .seq = ++p->seq_out,
                                              .ack_seq = p->seq_in});
}

/* A connection ends with its process: what is for a dead one does not reach its successor. */
static void frame_send(struct sim *sim, const struct peer *p)
{
    if (p->boot == 0 || p->boot == sim_worker_boot(sim, p->node))
        sim_send(sim, SIM_COORD, p->node, &sim->coord->out);
}

static void send_reason(struct sim *sim, struct peer *p, enum wire_type type, const char *reason)
{
    frame_begin(sim, p, type);
    wire_reason_pack(&sim->coord->out, reason);
    frame_send(sim, p);
}

static void send_resync(struct sim *sim, uint32_t node, uint64_t session)
{
    send_reason(sim, &(struct peer){.session = session, .node = node}, WIRE_RESYNC, "gap");
}

static void peer_flush(struct sim *sim, struct peer *p)
{
    struct buf *out = &sim->coord->out;
    if (p->welcome) {
        frame_begin(sim, p, WIRE_WELCOME);
        wire_welcome_pack(out, &(struct wire_welcome){WIRE_VERSION, SIM_LEASE_MS, SIM_HEARTBEAT_MS,
                                                      false});
        frame_send(sim, p);
    }
    if (p->n_breakers > 0) {
        frame_begin(sim, p, WIRE_BREAKER);
        wire_breakers_pack(out, p->breakers, p->n_breakers);
        frame_send(sim, p);
    }
    if (p->n_revokes > 0) {
        frame_begin(sim, p, WIRE_REVOKE);
        wire_verdicts_pack(out, p->revokes, p->n_revokes);
        frame_send(sim, p);
    }
    if (p->n_acks > 0) {
        frame_begin(sim, p, WIRE_RESULT_ACK);
        wire_verdicts_pack(out, p->acks, p->n_acks);
        frame_send(sim, p);
    }
    if (p->n_tasks > 0) {
        frame_begin(sim, p, WIRE_ASSIGN);
        wire_assign_pack(out, &(struct wire_assign){NULL, 0, p->tasks, p->n_tasks});
        frame_send(sim, p);
    }
    p->welcome = false;
    p->n_tasks = p->n_acks = p->n_revokes = p->n_breakers = 0;
    if (p->bye) {
        send_reason(sim, p, WIRE_BYE, "over");
        p->session = 0;
        p->bye = false;
    }
}

/* ---- actions ---- */

static void act_assign(struct sim *sim, struct peer *p, const struct sched_action *a)
{
    const struct sim_task *t = &sim->store->tasks[a->task.v];
    struct buf *in = &sim->coord->inputs;
    assert(p->n_tasks < PER_STEP_MAX && in->len + 64 < in->cap);
    size_t start = in->len;
    pack_array(in, 3);
    pack_u64(in, t->key);
    pack_u64(in, t->depth);
    pack_u64(in, t->inputs);
    sim->seen[SIM_SEEN_WHOLE] += t->landing.counter != 0;
    p->tasks[p->n_tasks++] =
        (struct wire_task){.task = a->task.v,
                           .counter = a->token.counter,
                           .job = a->job.v,
                           .attempt = a->u.assign.attempt,
                           .grant = a->u.assign.grant,
                           .run_timeout_ms = a->u.assign.run_timeout_ms,
                           .input = {(char *)in->data + start, in->len - start},
                           .whole = t->landing.counter != 0};
}

static struct wire_verdict act_verdict(const struct sched_action *a, uint32_t code,
                                       const char *reason)
{
    return (
        struct wire_verdict){{a->task.v, a->token.epoch, a->token.counter}, code, span_str(reason)};
}

static void act_complete(struct sim *sim, const struct sched_action *a)
{
    sim_store_put(sim, (struct sim_op){.type = SIM_OP_COMPLETE,
                                       .spec = (uint32_t)a->job.v - 1,
                                       .task = a->task,
                                       .token = a->token,
                                       .write = a->u.complete.write,
                                       .attempt = a->u.complete.attempt,
                                       .kills = a->u.complete.kills,
                                       .payload = a->u.complete.payload});
}

static uint64_t sink_id(uint32_t sink)
{
    return downstream_hash(sim_sink_name(sink));
}

static void act_breaker(struct peer *p, const struct sched_action *a)
{
    if (!p)
        return;
    assert(p->n_breakers < PER_STEP_MAX);
    struct wire_breaker *to = &p->breakers[p->n_breakers++];
    to->state = (enum wire_breaker_state)a->u.breaker.tell;
    if (a->u.breaker.host)
        to->downstream = sim_host_name((uint32_t)a->u.breaker.downstream);
    for (uint32_t i = 0; i < SIM_SINKS && !a->u.breaker.host; i++)
        if (sink_id(i) == a->u.breaker.downstream)
            to->downstream = sim_sink_name(i);
}

static void act_one(struct sim *sim, const struct sched_action *a)
{
    struct peer *p = peer_find(sim, a->session.v);
    switch (a->type) {
    case SCHED_ACT_WELCOME:
        p->welcome = true;
        break;
    case SCHED_ACT_ASSIGN:
        act_assign(sim, p, a);
        break;
    case SCHED_ACT_REVOKE:
        assert(p->n_revokes < PER_STEP_MAX);
        p->revokes[p->n_revokes++] = act_verdict(a, 0, a->u.revoke.reason);
        break;
    case SCHED_ACT_COMPLETE:
        act_complete(sim, a);
        break;
    case SCHED_ACT_DISCARD:
        free(a->u.discard.payload);
        if (p)
            p->acks[p->n_acks++] = act_verdict(a, WIRE_ACK_DISCARDED, NULL);
        break;
    case SCHED_ACT_ACK:
        p->acks[p->n_acks++] = act_verdict(a, WIRE_ACK_STORED, NULL);
        break;
    case SCHED_ACT_LAND:
        p->acks[p->n_acks++] = act_verdict(a, WIRE_ACK_LAND, NULL);
        break;
    case SCHED_ACT_SESSION_END:
        p->bye = true;
        break;
    case SCHED_ACT_BREAKER:
        act_breaker(p, a);
        break;
    case SCHED_ACT_TRACE:
        break;
    case SCHED_ACT_JOB_END:
        sim_store_put(sim, (struct sim_op){.type = SIM_OP_JOB_END,
                                           .spec = (uint32_t)a->job.v - 1,
                                           .how = a->u.end.how});
        break;
    }
}

static void coord_tick(struct sim *sim, void *arg, uint64_t life);

static void coord_step(struct sim *sim, struct sched_event ev)
{
    struct sim_coord *c = sim->coord;
    ev.now_ms = sim->now_ms;
    c->actions.n = 0;
    buf_clear(&c->inputs);
    sched_step(c->sched, &ev, &c->actions);
    sim->n_steps++;
    sim_oracle_step(sim, &ev, &c->actions);
    for (size_t i = 0; i < c->actions.n; i++) {
        const struct sched_action *a = &c->actions.items[i];
        sim_trace(sim, a->type, a->task.v ^ a->session.v << 32, a->token.counter);
        act_one(sim, a);
    }
    for (size_t i = 0; i < SESSIONS_MAX; i++)
        if (c->peers[i].session)
            peer_flush(sim, &c->peers[i]);
    struct sched_stats stats;
    sched_stats(c->sched, sim->now_ms, &stats);
    sim->seen[SIM_SEEN_STEALS] += stats.steals - c->steals;
    c->steals = stats.steals;
    const char *broken =
        sim->invariants && sim->n_steps % 8 == 0 ? sched_invariant(c->sched) : NULL;
    if (broken)
        sim_violate(sim, "invariant: %s", broken);
    uint64_t due = sched_deadline(c->sched);
    if (due < c->tick_at_ms) {
        c->tick_at_ms = due;
        sim_at(sim, due, coord_tick, NULL, c->life);
    }
}

static void coord_tick(struct sim *sim, void *arg, uint64_t life)
{
    struct sim_coord *c = sim->coord;
    if (life != c->life || !c->alive)
        return;
    if (c->frozen_until_ms > sim->now_ms) {
        sim_at(sim, c->frozen_until_ms, coord_tick, arg, life);
        return;
    }
    if (sim->now_ms >= c->tick_at_ms)
        c->tick_at_ms = UINT64_MAX;
    uint64_t due = sched_deadline(c->sched);
    if (due <= sim->now_ms)
        coord_step(sim, (struct sched_event){.type = SCHED_EV_TICK});
    else if (due < c->tick_at_ms) {
        c->tick_at_ms = due;
        sim_at(sim, due, coord_tick, NULL, life);
    }
}

static void coord_heartbeat(struct sim *sim, void *arg, uint64_t life)
{
    struct sim_coord *c = sim->coord;
    if (life != c->life || !c->alive)
        return;
    for (size_t i = 0; c->frozen_until_ms <= sim->now_ms && i < SESSIONS_MAX; i++) {
        if (!c->peers[i].session)
            continue;
        frame_begin(sim, &c->peers[i], WIRE_HEARTBEAT);
        pack_array(&c->out, 0);
        frame_send(sim, &c->peers[i]);
    }
    sim_at(sim, sim->now_ms + SIM_HEARTBEAT_MS, coord_heartbeat, arg, life);
}

/* ---- frames of workers ---- */

static void on_hello(struct sim *sim, uint32_t node, const struct wire_frame *f)
{
    struct sim_coord *c = sim->coord;
    struct wire_hello h;
    struct peer *p = NULL;
    if (wire_hello_read(f->body, &c->arena, &h, NULL))
        return sim_violate(sim, "HELLO does not decode");
    for (size_t i = 0; i < SESSIONS_MAX && !p; i++)
        if (!c->peers[i].session)
            p = &c->peers[i];
    assert(p);
    *p = (struct peer){.session = ++c->next_session, .node = node, .seq_in = 1};
    memcpy(&p->boot, h.boot.p, MIN(h.boot.len, sizeof(p->boot)));
    struct sched_held *held = arena_alloc(&c->arena, (h.n_held + 1) * sizeof(*held));
    assert(held);
    for (size_t i = 0; i < h.n_held; i++)
        held[i] = (struct sched_held){{h.held[i].task}, {h.held[i].epoch, h.held[i].counter}};
    coord_step(sim, (struct sched_event){.type = SCHED_EV_HELLO,
                                         .session = {p->session},
                                         .u.hello = {.worker = hash_64(h.worker.p, h.worker.len, 0),
                                                     .boot = hash_64(h.boot.p, h.boot.len, 0),
                                                     .slots = h.slots,
                                                     .kinds = h.kinds,
                                                     .draining = sim->store->draining[node],
                                                     .held = held,
                                                     .n_held = h.n_held}});
}

static void on_results(struct sim *sim, const struct peer *p, const struct wire_frame *f)
{
    struct wire_result *r;
    size_t n;
    uint64_t session = p->session;
    if (wire_results_read(f->body, &sim->coord->arena, &r, &n, NULL))
        return sim_violate(sim, "RESULT does not decode");
    for (size_t i = 0; i < n; i++) {
        struct sim_payload *payload = calloc(1, sizeof(*payload));
        assert(payload && r[i].n_found <= 3);
        payload->n_found = (uint32_t)r[i].n_found;
        payload->left = r[i].left.len > 0 ? (unsigned char)r[i].left.p[0] : 0;
        for (size_t k = 0; k < r[i].n_again; k++)
            payload->again |= 1U << (r[i].again[k].url.p[0] - '0');
        for (size_t k = 0; k < r[i].n_found; k++)
            payload->found_keys[k] = (uint64_t)r[i].found[k].url.p[0] - 'a';
        payload->retry_after_ms = r[i].retry_after_ms;
        coord_step(
            sim, (struct sched_event){.type = SCHED_EV_RESULT,
                                      .session = {session},
                                      .u.result = {.task = {r[i].token.task},
                                                   .token = {r[i].token.epoch, r[i].token.counter},
                                                   .outcome = (enum sched_outcome)r[i].outcome,
                                                   .key_delay_ms = r[i].key_delay_ms,
                                                   .key_backoff_ms = r[i].key_backoff_ms,
                                                   .retry_after_ms = r[i].retry_after_ms,
                                                   .payload = payload}});
    }
}

static void on_calls(struct sim *sim, const struct peer *p, const struct wire_frame *f)
{
    struct wire_calls *m;
    size_t n;
    const uint64_t session = p->session;
    if (wire_calls_read(f->body, &sim->coord->arena, &m, &n, NULL))
        return sim_violate(sim, "CALLS does not decode");
    for (size_t i = 0; i < n; i++) {
        bool host = false;
        uint32_t index = 0;
        if (!sim_name_read(m[i].downstream, &host, &index))
            return sim_violate(sim, "CALLS names nothing that is");
        coord_step(sim,
                   (struct sched_event){.type = SCHED_EV_CALLS,
                                        .session = {session},
                                        .u.calls = {.downstream = host ? index : sink_id(index),
                                                    .host = host,
                                                    .ok = m[i].ok,
                                                    .fail = m[i].fail,
                                                    .slow = m[i].slow,
                                                    .row = m[i].row,
                                                    .waiting = m[i].waiting}});
    }
}

static void on_worker(struct sim *sim, uint32_t node, const struct wire_frame *f)
{
    if (f->type == WIRE_HELLO)
        return on_hello(sim, node, f);
    struct peer *p = peer_find(sim, f->session);
    if (!p || f->epoch != sim->store->epoch)
        return send_resync(sim, node, f->session);
    if (f->seq <= p->seq_in)
        return;
    if (f->seq != p->seq_in + 1)
        return send_resync(sim, node, f->session);
    p->seq_in++;
    struct wire_credit credit;
    struct sched_event ev = {.session = {p->session}};
    switch (f->type) {
    case WIRE_CREDIT:
        if (wire_credit_read(f->body, &credit, NULL))
            return sim_violate(sim, "CREDIT does not decode");
        ev.type = SCHED_EV_CREDIT;
        ev.u.credit.tasks = credit.tasks;
        ev.u.credit.bytes = credit.bytes;
        return coord_step(sim, ev);
    case WIRE_RESULT:
        return on_results(sim, p, f);
    case WIRE_CALLS:
        return on_calls(sim, p, f);
    case WIRE_HEARTBEAT:
        ev.type = SCHED_EV_HEARTBEAT;
        return coord_step(sim, ev);
    case WIRE_BYE:
        ev.type = SCHED_EV_LOST;
        ev.u.on = true;
        return coord_step(sim, ev);
    default:
        sim_violate(sim, "a worker sent a message of type %u", (unsigned)f->type);
    }
}

/* ---- requests of the client ---- */

static void coord_reply(struct sim *sim, uint64_t request, uint64_t value)
{
    struct buf *out = &sim->coord->out;
    buf_clear(out);
    wire_frame_pack(out, &(struct wire_frame){.version = WIRE_VERSION,
                                              .type = WIRE_REPLY,
                                              .epoch = sim->store->epoch});
    wire_reply_begin(out, request);
    pack_u64(out, value);
    sim_send(sim, SIM_COORD, SIM_CLIENT, out);
}

static void on_request(struct sim *sim, const struct wire_frame *f)
{
    static const struct {
        const char *verb;
        enum sim_op_type op;
    } verbs[] = {
        {"job.submit", SIM_OP_SUBMIT}, {"job.input", SIM_OP_INPUT}, {"job.seal", SIM_OP_SEAL},
        {"job.cancel", SIM_OP_CANCEL}, {"job.pause", SIM_OP_PAUSE}, {"job.resume", SIM_OP_PAUSE},
        {"job.retry", SIM_OP_RETRY},
    };
    struct wire_request r;
    struct unpack u;
    if (wire_request_read(f->body, &r, NULL))
        return sim_violate(sim, "REQUEST does not decode");
    unpack_init(&u, r.args.p, r.args.len);
    unpack_map(&u);
    unpack_str(&u);
    uint64_t spec = unpack_u64(&u);
    unpack_str(&u);
    uint64_t chunk = unpack_u64(&u);
    assert(unpack_finished(&u) && spec < sim->jobs);
    if (span_eq(r.verb, SPAN("job.status")))
        return coord_reply(sim, f->seq,
                           (uint64_t)sim->store->jobs[spec + 1].state |
                               (uint64_t)sim->store->jobs[spec + 1].paused << 8);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (!span_eq(r.verb, span_str(verbs[i].verb)))
            continue;
        if (sim->faults && sim_chance(sim, 20))
            return; /* full: the client asks again later */
        return sim_store_put(sim, (struct sim_op){.type = verbs[i].op,
                                                  .spec = (uint32_t)spec,
                                                  .request = f->seq,
                                                  .chunk = chunk,
                                                  .on = span_eq(r.verb, SPAN("job.pause"))});
    }
    sim_violate(sim, "an unknown verb");
}

void sim_coord_message(struct sim *sim, uint32_t from, struct span message)
{
    struct wire_frame f;
    if (!sim->coord->alive)
        return;
    arena_clear(&sim->coord->arena);
    if (wire_frame_read(message, &f, NULL))
        return sim_violate(sim, "a frame does not decode");
    if (from == SIM_CLIENT)
        on_request(sim, &f);
    else
        on_worker(sim, from, &f);
}

/* ---- answers of the store ---- */

/* ids: room for the sinks of the job; the event points into it. */
static struct sched_event open_event(const struct sim *sim, uint64_t job, uint64_t ids[SIM_SINKS])
{
    const struct sim_spec *s = &sim->specs[job - 1];
    const struct sim_job *j = &sim->store->jobs[job];
    struct sched_event ev = {.type = SCHED_EV_JOB_OPEN, .job = {job}};
    ev.u.open.priority = s->priority;
    ev.u.open.attempts_max = s->attempts_max;
    ev.u.open.backoff_ms = 200;
    ev.u.open.backoff_max_ms = 2000;
    ev.u.open.key_limit = s->key_limit;
    ev.u.open.key_delay_ms = s->key_delay_ms;
    ev.u.open.run_timeout_ms = s->run_timeout_ms;
    ev.u.open.kinds = s->kinds;
    for (uint32_t i = 0; i < SIM_SINKS; i++)
        if (s->sinks & 1U << i)
            ids[ev.u.open.n_downstreams++] = sink_id(i);
    ev.u.open.downstreams = ids;
    ev.u.open.hosts = s->hosts;
    ev.u.open.retry_percent = SIM_RETRY_PERCENT;
    ev.u.open.sealed = j->sealed;
    ev.u.open.cancelled = j->cancelling;
    ev.u.open.paused = j->paused;
    ev.u.open.dead_letters = j->dead;
    return ev;
}

static void on_answer(struct sim *sim, const struct sim_answer *a)
{
    struct sched_event ev = {.job = {a->op.spec + 1}};
    uint64_t ids[SIM_SINKS];
    switch (a->op.type) {
    case SIM_OP_SUBMIT:
        if (!a->refused)
            coord_step(sim, open_event(sim, a->op.spec + 1, ids));
        break;
    case SIM_OP_RETRY:
        if (!a->refused)
            coord_step(sim, open_event(sim, a->op.spec + 1, ids));
        /* fall through */
    case SIM_OP_INPUT:
        ev.type = SCHED_EV_TASKS;
        ev.u.tasks.tasks = a->tasks;
        ev.u.tasks.n = a->n;
        if (!a->refused)
            coord_step(sim, ev);
        if (a->op.type == SIM_OP_INPUT && !a->refused)
            sim_oracle_acknowledged(sim, a->op.spec + 1, a->op.chunk + 1);
        break;
    case SIM_OP_SEAL:
        ev.type = SCHED_EV_JOB_SEAL;
        coord_step(sim, ev);
        break;
    case SIM_OP_CANCEL:
        ev.type = SCHED_EV_JOB_CANCEL;
        if (!a->refused)
            coord_step(sim, ev);
        break;
    case SIM_OP_PAUSE:
        ev.type = SCHED_EV_JOB_PAUSE;
        ev.u.on = a->op.on;
        if (!a->refused)
            coord_step(sim, ev);
        break;
    case SIM_OP_COMPLETE:
        ev.type = SCHED_EV_COMPLETED;
        ev.u.completed.task = a->op.task;
        ev.u.completed.tasks = a->tasks;
        ev.u.completed.n = a->n;
        ev.u.completed.refused = a->refused;
        coord_step(sim, ev);
        break;
    case SIM_OP_JOB_END:
        break;
    }
    if (a->op.request)
        coord_reply(sim, a->op.request, a->refused);
}

void sim_coord_answers(struct sim *sim, struct sim_answer *answers, size_t n, uint64_t life)
{
    for (size_t i = 0; i < n && sim->coord->alive && life == sim->store->life; i++)
        on_answer(sim, &answers[i]);
}

/* ---- life ---- */

void sim_coord_start(struct sim *sim)
{
    struct sim_coord *c = sim->coord;
    struct sched_config config = {.epoch = ++sim->store->epoch,
                                  .seed = sim_random(sim),
                                  .lease_ms = SIM_LEASE_MS,
                                  .kills_max = SIM_KILLS_MAX,
                                  .host_give_up_ms = SIM_GIVE_UP_MS};
    uint64_t ids[SIM_SINKS];
    sim_say(sim, "coordinator starts, epoch %llu", (unsigned long long)config.epoch);
    c->alive = true;
    c->life++;
    c->frozen_until_ms = 0;
    c->tick_at_ms = UINT64_MAX;
    c->steals = 0;
    c->next_session = config.epoch << 32;
    c->sched = sched_new(&config);
    assert(c->sched);
    sim_oracle_restart(sim);
    for (uint32_t i = 0; i < SIM_SINKS; i++)
        if (sim->sinks[i].manual != SCHED_MANUAL_NONE)
            coord_step(sim, (struct sched_event){.type = SCHED_EV_BREAKER,
                                                 .u.breaker = {.downstream = sink_id(i),
                                                               .manual = sim->sinks[i].manual}});
    for (uint64_t job = 1; job <= sim->jobs; job++) {
        if (sim->store->jobs[job].state != SIM_JOB_OPEN)
            continue;
        struct sched_event ev = {.type = SCHED_EV_TASKS, .job = {job}};
        struct sched_task *tasks = sim_store_pending(sim, job, &ev.u.tasks.n);
        ev.u.tasks.tasks = tasks;
        ev.u.tasks.replay = true;
        coord_step(sim, open_event(sim, job, ids));
        coord_step(sim, ev);
        free(tasks);
    }
    coord_step(sim, (struct sched_event){.type = SCHED_EV_REPLAYED});
    sim_at(sim, sim->now_ms + SIM_HEARTBEAT_MS, coord_heartbeat, NULL, c->life);
}

void sim_coord_crash(struct sim *sim)
{
    struct sim_coord *c = sim->coord;
    if (!c->alive)
        return;
    sim_say(sim, "coordinator crashes");
    sim->n_restarts++;
    c->alive = false;
    c->frozen_until_ms = 0;
    memset(c->peers, 0, sizeof(c->peers));
    sched_free(c->sched);
    c->sched = NULL;
    sim_store_crash(sim);
}

void sim_coord_freeze(struct sim *sim, uint64_t for_ms)
{
    if (sim->coord->alive)
        sim->coord->frozen_until_ms = sim->now_ms + for_ms;
}

void sim_coord_drain(struct sim *sim, uint32_t node, bool on)
{
    struct sim_coord *c = sim->coord;
    sim->store->draining[node] = on;
    for (size_t i = 0; c->alive && i < SESSIONS_MAX; i++)
        if (c->peers[i].session && c->peers[i].node == node)
            coord_step(sim, (struct sched_event){.type = SCHED_EV_DRAIN,
                                                 .session = {c->peers[i].session},
                                                 .u.on = on});
}

void sim_coord_manual(struct sim *sim, uint32_t sink, enum sched_manual manual)
{
    sim->sinks[sink].manual = manual; /* durable first */
    if (sim->coord->alive)
        coord_step(sim, (struct sched_event){.type = SCHED_EV_BREAKER,
                                             .u.breaker = {.downstream = sink_id(sink),
                                                           .manual = manual}});
}

void sim_coord_init(struct sim *sim)
{
    sim->coord = calloc(1, sizeof(*sim->coord));
    assert(sim->coord);
    buf_init(&sim->coord->out, 0);
    buf_init(&sim->coord->inputs, 0);
    uint8_t *room = buf_reserve(&sim->coord->inputs, 256 * 1024); /* spans into it must not move */
    assert(room);
    arena_init(&sim->coord->arena, 0);
}

void sim_coord_done(struct sim *sim)
{
    struct sim_coord *c = sim->coord;
    sched_free(c->sched);
    sched_actions_done(&c->actions);
    buf_done(&c->out);
    buf_done(&c->inputs);
    arena_done(&c->arena);
    free(c);
}
