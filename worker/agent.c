#include "agent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/credit.h"
#include "worker/predictor.h"
#include "worker/systemd.h"
#include "worker/uplink.h"

enum {
    ACK_WAIT_MS = 10000, /* after the drain's end, for the acknowledgement of what was given back */
    READS_IN_A_ROW = 64, /* messages read before results are sent */
    LOG_REFUSED_EVERY_MS = 60000,
    CALLS_EVERY_MS = 250
};

/*      SIGTERM                 nothing held, or the time is over        second signal
 *  SERVING -----> DRAINING -----------------------------------> ENDED <--------------- any
 */
enum agent_state { AGENT_SERVING, AGENT_DRAINING, AGENT_ENDED };

struct agent {
    const struct agent_config *config;
    enum agent_state state;
    struct uplink uplink;
    struct workload work;
    struct predictor *predictor;
    struct credit credit;
    struct transport_context *context;
    struct transport *transport;
    int signal_fd;
    struct arena arena; /* of one message */
    struct buf out;     /* the message that is being made */
    bool told_to_drain; /* by the coordinator */
    bool frozen;
    uint64_t lease_end_ms;   /* as the loops know it */
    bool cancelled;          /* running tasks, because the drain's time is over */
    uint64_t drain_until_ms; /* when DRAINING */
    uint64_t watchdog_ms, watchdog_at_ms;
    uint64_t problem_logged_ms;
    bool ever_up;
    uint64_t calls_at_ms; /* when calls to downstreams are told next, unless they are urgent */
    bool calls_wait;      /* there is something to tell then */
    bool up;              /* there was a session at the end of the last turn */
};

/* Milliseconds that go on while the machine sleeps or the process is stopped. */
static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void fill_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}

void agent_block_signals(void)
{
    sigset_t set;
    fill_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* ---- sending ---- */

static void lost(struct agent *a, const char *why)
{
    if (a->uplink.state == UPLINK_UP) {
        LOG_WARN("session lost", log_str("err", why));
        systemd_status("no session with %s: %s", a->config->coordinator, why);
    }
    uplink_down(&a->uplink, true, now_ms());
}

/* Begins a message in a->out; send_message sends it. */
static struct buf *begin_message(struct agent *a, enum wire_type type)
{
    buf_clear(&a->out);
    uplink_begin(&a->uplink, type, &a->out);
    return &a->out;
}

static bool send_message(struct agent *a, enum wire_type type)
{
    struct error e = {0};
    const int rc = buf_ok(&a->out) ? transport_send(a->transport, NULL, buf_span(&a->out), &e)
                                   : error_set(&e, ERR_NOMEM, "no memory for a message");
    if (rc != ERR_OK) {
        lost(a, e.detail[0] ? e.detail : err_text((enum err)rc));
        return false;
    }
    uplink_sent(&a->uplink, type, now_ms());
    return true;
}

static void send_hello(struct agent *a)
{
    struct error e = {0};
    size_t n;
    struct wire_token *tokens = held_tokens(&a->work.held, &n);
    int rc = ERR_OK;
    if (!tokens && n > 0)
        rc = error_set(&e, ERR_NOMEM, "no memory for HELLO");
    if (rc == ERR_OK) {
        buf_clear(&a->out);
        uplink_hello(&a->uplink, tokens, n, &a->out);
        rc = transport_send(a->transport, NULL, buf_span(&a->out), &e);
    }
    free(tokens);
    if (rc == ERR_OK)
        uplink_greeted(&a->uplink, now_ms());
    else
        uplink_unsent(&a->uplink, now_ms());
}

static void send_heartbeat(struct agent *a)
{
    struct wire_heartbeat m;
    struct rusage u;
    workload_heartbeat(&a->work, &m);
    getrusage(RUSAGE_SELF, &u);
    m.cpu_s = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
              (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f) {
        if (fscanf(f, "%*u %lu", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    m.rss_bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
    wire_heartbeat_pack(begin_message(a, WIRE_HEARTBEAT), &m);
    send_message(a, WIRE_HEARTBEAT);
}

static void send_results(struct agent *a)
{
    while (a->uplink.state == UPLINK_UP && held_count(&a->work.held, HELD_READY) > 0) {
        struct buf *out = begin_message(a, WIRE_RESULT);
        if (workload_results(&a->work, out) == 0 || !send_message(a, WIRE_RESULT))
            return;
    }
}

/* What came of calls to sinks and hosts: at once when it is urgent, else every CALLS_EVERY_MS. */
static void send_calls(struct agent *a)
{
    struct wire_calls calls[BATCHER_SINKS_MAX + WORKLOAD_HOST_CALLS];
    if (a->uplink.state != UPLINK_UP)
        return;
    const uint64_t now = now_ms();
    const bool urgent = now < a->calls_at_ms;
    arena_clear(&a->arena);
    const size_t n = workload_calls(&a->work, urgent, calls, ARRAY_LEN(calls), &a->arena);
    if (n > 0) {
        wire_calls_pack(begin_message(a, WIRE_CALLS), calls, n);
        send_message(a, WIRE_CALLS);
    }
    if (n > 0 || !urgent)
        a->calls_at_ms = now + CALLS_EVERY_MS;
    a->calls_wait = workload_is_calling(&a->work);
}

/* Tasks whose time counts from now. */
static void send_begun(struct agent *a)
{
    struct wire_token tokens[WIRE_TASKS_MAX];
    size_t n;
    while (a->uplink.state == UPLINK_UP &&
           (n = workload_begun(&a->work, tokens, ARRAY_LEN(tokens))) > 0) {
        wire_begun_pack(begin_message(a, WIRE_BEGUN), tokens, n);
        if (!send_message(a, WIRE_BEGUN))
            return;
    }
}

/* Questions for blobs and parts that tasks wait for, as many as may be open. */
static void send_blob_asks(struct agent *a)
{
    struct wire_blob_ask ask;
    while (a->uplink.state == UPLINK_UP && (cache_ask(a->work.cache, now_ms(), &ask) ||
                                            parts_ask(&a->work.parts, now_ms(), &ask))) {
        wire_blob_ask_pack(begin_message(a, WIRE_BLOB), &ask);
        if (!send_message(a, WIRE_BLOB))
            return;
    }
}

static void send_predictions(struct agent *a)
{
    struct wire_predicted m;
    while (a->uplink.state == UPLINK_UP && predictor_next(a->predictor, &m)) {
        wire_predicted_pack(begin_message(a, WIRE_PREDICTED), &m);
        if (!send_message(a, WIRE_PREDICTED))
            return;
    }
}

static void send_credit(struct agent *a)
{
    if (a->uplink.state != UPLINK_UP)
        return;
    struct credit_state state;
    struct wire_credit m;
    const uint64_t now = now_ms();
    workload_state(&a->work, &state);
    state.closed =
        a->state != AGENT_SERVING || a->told_to_drain || !uplink_lease_holds(&a->uplink, now);
    credit_measure(&a->credit, &state, now);
    if (!credit_due(&a->credit, &state, &m))
        return;
    wire_credit_pack(begin_message(a, WIRE_CREDIT), &m);
    if (send_message(a, WIRE_CREDIT))
        a->credit.announced = m;
}

/* ---- what the coordinator says ---- */

static void set_returning(struct agent *a)
{
    workload_return(&a->work, a->state != AGENT_SERVING || a->told_to_drain);
}

static void told_to_drain(struct agent *a, bool on)
{
    if (on != a->told_to_drain) {
        if (on)
            LOG_INFO("draining, as the coordinator says");
        else
            LOG_INFO("serving again, as the coordinator says");
    }
    a->told_to_drain = on;
    set_returning(a);
}

static void welcomed(struct agent *a, const struct uplink_event *ev)
{
    LOG_INFO("session up", log_str("coordinator", a->config->coordinator),
             log_u64("session", a->uplink.id), log_u64("epoch", a->uplink.epoch),
             log_u64("held", a->work.held.n));
    systemd_status("serving %s as %s", a->config->coordinator, a->config->id);
    a->ever_up = true;
    credit_session(&a->credit);
    workload_session(&a->work);
    predictor_session(a->predictor);
    told_to_drain(a, ev->on);
}

static void assigned(struct agent *a, const struct uplink_event *ev)
{
    struct error e = {0};
    uint64_t bytes = 0;
    for (size_t i = 0; i < ev->assign.n_tasks; i++)
        bytes += ev->assign.tasks[i].input.len;
    credit_assigned(&a->credit, ev->assign.n_tasks, bytes);
    if (workload_assign(&a->work, ev->epoch, &ev->assign, &e) != ERR_OK)
        lost(a, e.detail);
    else if (catalog_full(&a->work.catalog))
        lost(a, "more job descriptions than fit in memory: beginning anew");
}

static void told_of_sink(struct agent *a, const struct wire_sink *m)
{
    struct sink_settings s = {0};
    struct error e = {0};
    char kind[16];
    int rc = ERR_OK;
    snprintf(kind, sizeof(kind), "%.*s", (int)MIN(m->kind.len, sizeof(kind) - 1), m->kind.p);
    if (!spec_sink_kind_find(kind, &s.kind) || !sink_kind_of(s.kind))
        rc = error_set(&e, ERR_INVALID_ARGUMENT, "a kind of sink that this version does not know");
    else if (!(s.name = strndup(m->name.p, m->name.len)))
        rc = error_set(&e, ERR_NOMEM, "no memory for a sink");
    for (size_t i = 0; i < m->n_settings && rc == ERR_OK; i++) {
        char key[32];
        snprintf(key, sizeof(key), "%.*s", (int)MIN(m->settings[i].key.len, sizeof(key) - 1),
                 m->settings[i].key.p);
        rc = sink_settings_set(&s, key, m->settings[i].value, &e);
    }
    if (rc == ERR_OK)
        rc = batcher_sink(a->work.batcher, &s, &e);
    /* Tasks that need it fail, and say so. */
    if (rc != ERR_OK)
        LOG_WARN("a sink cannot be used", log_span("sink", m->name), log_err(&e));
    sink_settings_done(&s);
}

static void told_of_breakers(struct agent *a, const struct uplink_event *ev)
{
    for (size_t i = 0; i < ev->n_breakers; i++)
        workload_breaker(&a->work, &ev->breakers[i]);
}

/* Without a session nobody says what is broken. */
static void check_session(struct agent *a)
{
    const bool up = a->uplink.state == UPLINK_UP;
    if (a->up && !up)
        workload_no_breakers(&a->work);
    a->up = up;
}

static void handle(struct agent *a, const struct uplink_event *ev)
{
    switch (ev->type) {
    case UPLINK_EV_NONE:
        break;
    case UPLINK_EV_WELCOME:
        welcomed(a, ev);
        break;
    case UPLINK_EV_REFUSED:
        LOG_ERROR("the coordinator refuses this worker",
                  log_str("code", err_name((enum err)ev->code)), log_span("err", ev->reason));
        systemd_status("refused by %s: %.*s", a->config->coordinator, (int)ev->reason.len,
                       ev->reason.p ? ev->reason.p : "");
        break;
    case UPLINK_EV_ASSIGN:
        assigned(a, ev);
        break;
    case UPLINK_EV_ACK:
    case UPLINK_EV_REVOKE:
        workload_settle(&a->work, ev->verdicts, ev->n_verdicts);
        break;
    case UPLINK_EV_SINK:
        told_of_sink(a, &ev->sink);
        break;
    case UPLINK_EV_BREAKER:
        told_of_breakers(a, ev);
        break;
    case UPLINK_EV_BLOB:
        if (ev->blob.what == WIRE_BLOB_PARTS)
            parts_answer(&a->work.parts, now_ms(), &ev->blob);
        else
            cache_answer(a->work.cache, now_ms(), &ev->blob);
        break;
    case UPLINK_EV_PREDICT:
        predictor_take(a->predictor, &ev->predict);
        break;
    case UPLINK_EV_DRAIN:
        told_to_drain(a, ev->on);
        break;
    case UPLINK_EV_DOWN:
        LOG_WARN("session lost", log_span("err", ev->reason));
        systemd_status("no session with %s: %.*s", a->config->coordinator, (int)ev->reason.len,
                       ev->reason.p ? ev->reason.p : "");
        break;
    }
}

static void read_messages(struct agent *a)
{
    for (int i = 0; i < READS_IN_A_ROW; i++) {
        struct transport_message m;
        struct uplink_event ev;
        struct error e = {0};
        if (transport_recv(a->transport, &m, &e) != ERR_OK)
            return;
        arena_clear(&a->arena);
        const int rc = uplink_receive(&a->uplink, m.data, now_ms(), &a->arena, &ev, &e);
        if (rc != ERR_OK)
            LOG_WARN("a message of the coordinator cannot be read", log_err(&e));
        handle(a, &ev);
        transport_message_done(&m);
    }
}

/* ---- time ---- */

static void log_problem(struct agent *a, uint64_t now)
{
    struct error e = {0};
    if (transport_problem(a->transport, &e) == ERR_OK)
        error_set(&e, ERR_UNREACHABLE, "%s answers no HELLO", a->config->coordinator);
    if (a->problem_logged_ms != 0 && now < a->problem_logged_ms + LOG_REFUSED_EVERY_MS)
        return;
    a->problem_logged_ms = now;
    LOG_WARN("no coordinator", log_err(&e));
    systemd_status("no coordinator: %s", e.detail);
}

static void relink(struct agent *a, uint64_t now)
{
    struct error e = {0};
    log_problem(a, now);
    if (transport_reconnect(a->transport, &e) != ERR_OK)
        LOG_WARN("cannot make a socket", log_err(&e));
    uplink_relinked(&a->uplink, now);
}

static void uplink_timers(struct agent *a)
{
    const uint64_t now = now_ms();
    switch (uplink_due(&a->uplink, now)) {
    case UPLINK_DUE_NOTHING:
        break;
    case UPLINK_DUE_HELLO:
        send_hello(a);
        break;
    case UPLINK_DUE_RELINK:
        relink(a, now);
        break;
    case UPLINK_DUE_HEARTBEAT:
        send_heartbeat(a);
        break;
    case UPLINK_DUE_SILENCE:
        LOG_WARN("session lost", log_str("err", "the coordinator is silent"));
        systemd_status("no session with %s: it is silent", a->config->coordinator);
        break;
    }
}

/* Loops begin no request that another worker may have been given in the meantime. */
static void check_lease(struct agent *a)
{
    const uint64_t now = now_ms();
    const bool over = a->ever_up && now >= uplink_lease_end(&a->uplink);
    const bool frozen = over || (a->frozen && !uplink_may_start(&a->uplink, now));
    const uint64_t end_ms = frozen ? 0 : a->ever_up ? uplink_lease_end(&a->uplink) : UINT64_MAX;
    if (end_ms != a->lease_end_ms)
        runner_lease(a->work.runner, end_ms); /* before they are thawed */
    a->lease_end_ms = end_ms;
    if (frozen == a->frozen)
        return;
    a->frozen = frozen;
    runner_freeze(a->work.runner, frozen);
    if (frozen)
        LOG_WARN("the lease is in doubt: no new requests");
    else
        LOG_INFO("the lease holds again");
}

static bool may_start(void *user)
{
    const struct agent *a = user;
    return uplink_may_start(&a->uplink, now_ms());
}

static void drain_timers(struct agent *a)
{
    if (a->state != AGENT_DRAINING)
        return;
    const uint64_t now = now_ms();
    if (!a->cancelled && now >= a->drain_until_ms) {
        a->cancelled = true;
        LOG_WARN("the time to drain is over: giving back what runs",
                 log_u64("tasks", held_count(&a->work.held, HELD_RUNNING) +
                                      held_count(&a->work.held, HELD_LANDING)));
        workload_cancel_running(&a->work);
    }
    if ((a->work.held.n == 0 && predictor_idle(a->predictor)) ||
        now >= a->drain_until_ms + ACK_WAIT_MS)
        a->state = AGENT_ENDED;
}

static void watchdog(struct agent *a)
{
    const uint64_t now = now_ms();
    if (a->watchdog_ms == 0 || now < a->watchdog_at_ms)
        return;
    systemd_send("WATCHDOG=1");
    a->watchdog_at_ms = now + a->watchdog_ms;
}

static int64_t time_to_wait(const struct agent *a)
{
    const uint64_t now = now_ms();
    uint64_t next = uplink_deadline(&a->uplink);
    if (a->ever_up && !a->frozen)
        next = MIN(next, uplink_lease_end(&a->uplink));
    if (a->calls_wait && a->uplink.state == UPLINK_UP)
        next = MIN(next, a->calls_at_ms);
    if (a->uplink.state == UPLINK_UP)
        next = MIN(next, cache_deadline(a->work.cache));
    if (a->uplink.state == UPLINK_UP)
        next = MIN(next, parts_deadline(&a->work.parts));
    if (a->state == AGENT_DRAINING)
        next = MIN(next, a->cancelled ? a->drain_until_ms + ACK_WAIT_MS : a->drain_until_ms);
    if (a->watchdog_ms)
        next = MIN(next, a->watchdog_at_ms);
    return next > now ? (int64_t)(next - now) : 0;
}

/* ---- signals ---- */

static void signalled(struct agent *a)
{
    struct signalfd_siginfo info;
    while (read(a->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (a->state == AGENT_SERVING) {
            a->state = AGENT_DRAINING;
            a->drain_until_ms = now_ms() + a->config->drain_ms;
            LOG_INFO("draining", log_u64("tasks", a->work.held.n),
                     log_f64("at_most_s", (double)a->config->drain_ms / 1000));
            systemd_send("STOPPING=1");
            systemd_status("draining");
            set_returning(a);
        } else if (a->state == AGENT_DRAINING) {
            LOG_WARN("ending at once", log_u64("tasks", a->work.held.n));
            a->state = AGENT_ENDED;
        }
    }
}

/* ---- life ---- */

static int init(struct agent *a, struct error *e)
{
    const struct agent_config *config = a->config;
    struct uplink_config uplink = {.worker = config->id,
                                   .host = config->host,
                                   .version = DROVER_VERSION,
                                   .kinds = config->kinds,
                                   .slots = config->slots};
    if (getrandom(uplink.boot, sizeof(uplink.boot), 0) != (ssize_t)sizeof(uplink.boot))
        return error_set(e, ERR_UNAVAILABLE, "getrandom: %s", strerror(errno));
    memcpy(&uplink.seed, uplink.boot, sizeof(uplink.seed));
    sigset_t set;
    fill_signals(&set);
    a->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (a->signal_fd < 0)
        return error_set(e, ERR_UNAVAILABLE, "signalfd: %s", strerror(errno));
    arena_init(&a->arena, 0);
    buf_init(&a->out, WIRE_MESSAGE_MAX);
    credit_init(&a->credit, config->slots, config->result_budget_bytes, now_ms());
    uplink_init(&a->uplink, &uplink, now_ms());
    int rc = transport_context_new(NULL, 1, &a->context, e);
    if (rc != ERR_OK)
        return rc;
    const struct transport_connect connect = {.url = config->coordinator,
                                              .key = config->key,
                                              .server_key = config->server_key};
    rc = transport_connect(a->context, &connect, &a->transport, e);
    if (rc != ERR_OK)
        return rc;
    const struct workload_config work = {.loops = config->loops,
                                         .slots = config->slots,
                                         .scrape = config->scrape,
                                         .inputs = config->inputs,
                                         .sink_connections = config->sink_connections,
                                         .landing_budget_bytes = config->result_budget_bytes,
                                         .cache = config->cache,
                                         .seed = uplink.seed};
    rc = workload_init(&a->work, &work, e);
    return rc ? rc : predictor_new(a->work.cache, &a->predictor, e);
}

static void done(struct agent *a)
{
    transport_free(a->transport);
    transport_context_free(a->context);
    arena_done(&a->arena);
    buf_done(&a->out);
    if (a->signal_fd >= 0)
        close(a->signal_fd);
}

static void turn(struct agent *a)
{
    struct transport_item items[] = {
        {.transport = a->transport, .fd = -1}, {.fd = workload_fd(&a->work)},
        {.fd = workload_sinks_fd(&a->work)},   {.fd = a->signal_fd},
        {.fd = predictor_fd(a->predictor)},    {.fd = cache_fd(a->work.cache)},
    };
    const size_t n = ARRAY_LEN(items) - (cache_fd(a->work.cache) < 0);
    transport_wait(items, n, time_to_wait(a));
    /* First of all: the process may have been stopped for longer than its lease. */
    check_lease(a);
    signalled(a);
    read_messages(a);
    check_lease(a);
    cache_poll(a->work.cache, now_ms());
    predictor_pump(a->predictor);
    send_predictions(a);
    workload_collect(&a->work);
    workload_pump(&a->work, may_start, a);
    send_begun(a);
    send_results(a);
    send_blob_asks(a);
    uplink_timers(a);
    send_calls(a);
    send_credit(a);
    drain_timers(a);
    check_session(a);
    watchdog(a);
}

int agent_run(const struct agent_config *config, struct error *e)
{
    struct agent a = {.config = config, .signal_fd = -1, .lease_end_ms = UINT64_MAX};
    const int rc = init(&a, e);
    if (rc != ERR_OK) {
        done(&a);
        return rc;
    }
    LOG_INFO("worker started", log_str("worker", config->id), log_str("version", DROVER_VERSION),
             log_str("coordinator", config->coordinator), log_u64("loops", config->loops),
             log_u64("slots", config->slots));
    a.watchdog_ms = systemd_watchdog_ms();
    systemd_send("READY=1");
    while (a.state != AGENT_ENDED)
        turn(&a);
    predictor_free(a.predictor);
    runner_stop(a.work.runner); /* BYE gives the hosts to others */
    if (a.uplink.state == UPLINK_UP) {
        wire_reason_pack(begin_message(&a, WIRE_BYE), "drained");
        send_message(&a, WIRE_BYE);
    }
    LOG_INFO("worker ended", log_u64("tasks_done", a.work.tasks_done),
             log_u64("given_up", a.work.held.n));
    done(&a);
    if (!workload_done(&a.work))
        _exit(0); /* not through exit handlers, while a thread still writes */
    return ERR_OK;
}
