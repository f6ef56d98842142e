/*
 * agent.h: drover-worker as a service: one loop that joins the session with the coordinator, the
 * tasks in hand, signals and systemd.
 *
 *     wait for: the socket | finished tasks | signals | the next deadline
 *     then:     read -> session event -> workload; start what may start; send results, credit
 *
 * It decides when work may be started (session up and lease sure, not draining) and when the process
 * ends. SIGTERM or SIGINT drains: nothing new is taken, what is not started goes back, what runs has
 * drain_ms to finish; a second one ends the process at once.
 *
 * Thread rule: one thread, the process's first; it blocks the signals before others are started.
 */
#ifndef DROVER_AGENT_H
#define DROVER_AGENT_H

#include "common/transport.h"
#include "worker/workload.h"

struct agent_config {
    const char *coordinator;     /* "tcp://host:7701" */
    const struct keys_pair *key; /* NULL: without CURVE */
    const char *server_key;      /* Z85, with key */
    const char *id, *host;       /* durable name of this worker; host name for people */
    uint32_t kinds;              /* bits of wire_kind */
    size_t loops;
    uint32_t slots;
    struct scrape_config scrape;
    struct inputs inputs;         /* files that jobs may read */
    uint32_t sink_connections;    /* of each sink */
    uint64_t result_budget_bytes; /* of results that wait for their acknowledgement, and as much for
                                     rows on their way into sinks */
    struct cache_config cache;    /* of blobs */
    uint64_t drain_ms;
};

/* Blocks the signals that the agent handles, for this thread and those that it starts. */
void agent_block_signals(void);

/* Serves until it is told to end. OK: drained, or told twice. Otherwise what prevents it from
 * starting; losing the coordinator never ends it. */
int agent_run(const struct agent_config *config, struct error *e) MUST_CHECK;

#endif
