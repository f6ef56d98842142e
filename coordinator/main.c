/*
 * main.c: drover-coordinator: puts the pieces together in order, and takes them apart in reverse.
 * It holds no logic beyond that.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "worker/engines.h"
#include "common/log.h"
#include "common/transport.h"
#include "coordinator/edge/blob_serve.h"
#include "coordinator/edge/blobs.h"
#include "coordinator/edge/completions.h"
#include "coordinator/edge/downstreams.h"
#include "coordinator/edge/inputs.h"
#include "coordinator/edge/jobs.h"
#include "coordinator/edge/loop.h"
#include "coordinator/edge/looks.h"
#include "coordinator/edge/notify.h"
#include "coordinator/edge/options.h"
#include "coordinator/edge/predict.h"
#include "coordinator/edge/predict_http.h"
#include "coordinator/edge/replay.h"
#include "coordinator/edge/sessions.h"
#include "coordinator/edge/sink_thread.h"
#include "coordinator/edge/waiters.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct coordinator {
    struct config *config;
    struct edge edge;
    struct store *store; /* until its thread takes it */
    struct keys_pair key;
    struct transport_context *zmq;
    struct http *http;
    int signal_fd;
};

/* ---- pieces ---- */

/* Before any thread is made, so that none of them takes the signal. */
static int start_signals(struct coordinator *c, struct error *e)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) == 0)
        c->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return c->signal_fd >= 0 ? 0 : error_set(e, ERR_IO, "signals cannot be received");
}

static int start_keys(struct coordinator *c, struct error *e)
{
    const char *file = config_str(c->config, "key.file");
    const char *list = config_str(c->config, "key.authorized");
    if (!file != !list)
        return error_set(e, ERR_CONFIG, "key.file and key.authorized belong together");
    if (!file)
        return 0;
    int rc = keys_load(file, &c->key, e);
    if (rc == 0)
        rc = keys_allow_open(list, &c->edge.keys, e);
    c->edge.keyed = rc == 0;
    return rc;
}

static int start_scheduler(struct coordinator *c, struct error *e)
{
    struct edge *edge = &c->edge;
    struct sched_config config = {.epoch = edge->epoch,
                                  .lease_ms = edge->options.lease_ms,
                                  .kills_max = edge->options.kills_max,
                                  .host_give_up_ms = edge->options.host_give_up_ms,
                                  .memory_max_bytes = edge->options.tasks_memory_bytes};
    if (getrandom(&config.seed, sizeof(config.seed), 0) != (ssize_t)sizeof(config.seed))
        return error_set(e, ERR_IO, "the system has no random numbers");
    edge->sched = sched_new(&config);
    edge->sessions = sessions_new(edge);
    edge->jobs = jobs_new(edge, engines_table, engines_count);
    edge->inputs = inputs_new(edge->options.inputs_memory_bytes);
    edge->waiters = waiters_new(edge, edge->options.waiters_max);
    edge->completions = completions_new(edge);
    edge->downstreams = downstreams_new(edge);
    edge->blob_serve = blob_serve_new(edge);
    edge->predict = predict_new(edge);
    if (edge->sched && edge->sessions && edge->jobs && edge->inputs && edge->waiters &&
        edge->completions && edge->downstreams && edge->blob_serve && edge->predict)
        return 0;
    return error_set(e, ERR_NOMEM, "no memory to start");
}

static int start_sinks(struct coordinator *c, struct error *e)
{
    int rc = sinks_new(c->config, &c->edge.sinks, e);
    return rc ? rc : sink_thread_new(c->edge.sinks, &c->edge.sink_thread, e);
}

static int start_store(struct coordinator *c, struct error *e)
{
    struct edge *edge = &c->edge;
    int rc = store_sqlite_open(config_str(c->config, "data_dir"), &c->store, &edge->epoch, e);
    if (rc == 0)
        rc = start_scheduler(c, e);
    if (rc == 0) /* behind the store's lock: nobody else has the folder */
        rc = blobs_new(edge, config_str(c->config, "data_dir"), &edge->blobs, e);
    if (rc == 0)
        rc = looks_new(config_str(c->config, "data_dir"), edge->blobs, &edge->looks, e);
    if (rc == 0)
        rc = replay_store(edge, c->store, e);
    if (rc == 0)
        rc = store_thread_new(c->store, edge->options.store_queue_bytes, &edge->store, e);
    if (rc)
        return rc;
    c->store = NULL;
    edge_carry_out(edge);
    return 0;
}

static int start_socket(struct coordinator *c, const char *option, uint32_t roles,
                        struct transport **ret, struct error *e)
{
    struct error why = {0};
    struct transport_bind bind = {.url = config_str(c->config, option),
                                  .key = c->edge.keyed ? &c->key : NULL,
                                  .roles = roles};
    int rc = transport_bind(c->zmq, &bind, ret, &why);
    return rc ? error_set(e, (enum err)rc, "%s: %.400s", option, why.detail) : 0;
}

static int start_sockets(struct coordinator *c, struct error *e)
{
    const char *http = config_str(c->config, "listen.http");
    int rc = transport_context_new(c->edge.keys, 1, &c->zmq, e);
    if (rc == 0)
        rc = start_socket(c, "listen.back", KEYS_WORKER, &c->edge.back, e);
    if (rc == 0)
        rc = start_socket(c, "listen.front", KEYS_CLIENT | KEYS_ADMIN, &c->edge.front, e);
    if (rc == 0 && strcmp(http, "off") != 0)
        rc = http_new(http, config_bool(c->config, "listen.http_anywhere"), &c->http, e);
    if (rc == 0)
        rc = predict_http_new(&c->edge, &c->edge.predict_http, e);
    return rc;
}

/* Written beside and renamed, so that who sees it sees all of it. */
static int write_ports(const struct coordinator *c, const char *path, struct error *e)
{
    char temporary[4096];
    if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
        return error_set(e, ERR_INVALID_ARGUMENT, "--ports-file: the path is too long");
    FILE *f = fopen(temporary, "we");
    if (!f)
        return error_set(e, ERR_IO, "--ports-file: %s cannot be written: %m", temporary);
    fprintf(
        f,
        "{\"front\": \"%s\", \"back\": \"%s\", \"http\": \"%s\", \"predict\": \"%s\", \"pid\": %ld}\n",
        transport_url(c->edge.front), transport_url(c->edge.back), c->http ? http_url(c->http) : "",
        c->edge.predict_http ? predict_http_url(c->edge.predict_http) : "", (long)getpid());
    bool ok = fflush(f) == 0 && !ferror(f);
    fclose(f);
    if (ok && rename(temporary, path) == 0)
        return 0;
    return error_set(e, ERR_IO, "--ports-file: %s cannot be written: %m", path);
}

/* ---- life ---- */

static int run(struct coordinator *c, struct error *e)
{
    const char *ports = config_flag(c->config, "ports-file");
    options_edge(c->config, &c->edge.options);
    c->edge.config = c->config;
    buf_init(&c->edge.out, 0);
    arena_init(&c->edge.scratch, 0);
    edge_clock(&c->edge);
    c->edge.started_ms = c->edge.now_ms;
    int rc = start_signals(c, e);
    if (rc == 0)
        rc = start_keys(c, e);
    if (rc == 0)
        rc = start_sinks(c, e);
    if (rc == 0)
        rc = start_store(c, e);
    if (rc == 0)
        rc = start_sockets(c, e);
    if (rc == 0 && ports)
        rc = write_ports(c, ports, e);
    if (rc)
        return rc;
    LOG_INFO("serving", log_str("front", transport_url(c->edge.front)),
             log_str("back", transport_url(c->edge.back)),
             log_str("http", c->http ? http_url(c->http) : "off"), log_u64("epoch", c->edge.epoch),
             log_str("version", DROVER_VERSION));
    notify_send("READY=1");
    struct loop loop = {.edge = &c->edge, .http = c->http, .signal_fd = c->signal_fd};
    return loop_run(&loop, e);
}

static void stop(struct coordinator *c)
{
    struct edge *e = &c->edge;
    http_free(c->http);
    e->stopping = true;
    predict_http_free(e->predict_http);
    looks_free(e->looks);
    sink_thread_free(e->sink_thread, e); /* requests that wait for a sink are answered */
    store_thread_free(e->store);         /* commits what is queued */
    blobs_free(e->blobs);
    store_close(c->store);
    waiters_free(e->waiters);
    completions_free(e->completions);
    downstreams_free(e->downstreams);
    predict_free(e->predict);
    sessions_free(e->sessions);
    blob_serve_free(e->blob_serve);
    jobs_free(e->jobs);
    inputs_free(e->inputs);
    sched_free(e->sched);
    sched_actions_done(&e->actions);
    transport_free(e->back);
    transport_free(e->front);
    transport_context_free(c->zmq);
    keys_allow_free(e->keys);
    sinks_free(e->sinks);
    buf_done(&e->out);
    arena_done(&e->scratch);
    if (c->signal_fd >= 0)
        close(c->signal_fd);
    explicit_bzero(&c->key, sizeof(c->key));
}

static void print_help(void)
{
    struct buf text;
    buf_init(&text, 0);
    config_help(&options_program, &text);
    fwrite(text.data, 1, text.len, stdout);
    buf_done(&text);
}

int main(int argc, char **argv)
{
    struct coordinator c = {.signal_fd = -1};
    struct error e = {0};
    log_init(LOG_LEVEL_INFO);
    int rc = config_load(&options_program, argc, argv, &c.config, &e);
    if (rc) {
        fprintf(stderr, "drover-coordinator: %s\n", e.detail);
        return EXIT_USAGE;
    }
    if (config_wants_help(c.config) || config_wants_version(c.config)) {
        if (config_wants_help(c.config))
            print_help();
        else
            printf("drover-coordinator " DROVER_VERSION "\n");
        config_free(c.config);
        return EXIT_OK;
    }
    rc = options_log(c.config, &e);
    if (rc == 0)
        rc = run(&c, &e);
    if (rc)
        LOG_ERROR("the coordinator ends", log_str("code", err_name((enum err)rc)), log_err(&e));
    stop(&c);
    config_free(c.config);
    LOG_INFO("ended");
    return rc == 0                                          ? EXIT_OK
           : rc == ERR_CONFIG || rc == ERR_INVALID_ARGUMENT ? EXIT_USAGE
                                                            : EXIT_FAILED;
}
