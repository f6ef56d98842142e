/*
 * downstreams.h: the names of downstreams, which the scheduler knows by their hashes, and the last
 * error that a worker reported of each: what people and workers are told about breakers.
 *
 * Sinks are known from the configuration. A host is known once a worker reported trouble with it or
 * an administrator named it; of those DOWNSTREAMS_MAX are kept. When there are more, the ones whose
 * breakers are closed are forgotten. It decides nothing about breakers: the scheduler does.
 *
 * Thread rule: the loop thread.
 */
#ifndef DROVER_DOWNSTREAMS_H
#define DROVER_DOWNSTREAMS_H

#include "common/downstream.h"
#include "coordinator/edge/edge.h"

enum {
    DOWNSTREAMS_MAX = 65536,
    DOWNSTREAMS_ERROR_MAX = 300 /* bytes of an error that are kept */
};

struct downstream {
    uint64_t hash;
    bool host;
    size_t sink;       /* index in the table of sinks; SINKS_NONE: a host */
    char *name;        /* "postgres:main", "host:https://example.org" */
    char *error;       /* the last one; NULL: none */
    uint64_t error_ms; /* when it was reported */
};

struct downstreams;

struct downstreams *downstreams_new(struct edge *e) MUST_CHECK; /* with the sinks in it */
void downstreams_free(struct downstreams *d);

/* NULL: not known. */
struct downstream *downstreams_get(const struct downstreams *d, uint64_t hash);
/* The same by name; a host is added. NULL: no sink of that name, a host's name that is none, or no
 * room. */
struct downstream *downstreams_name(struct downstreams *d, struct span name);
void downstreams_error(struct downstreams *d, struct downstream *one, struct span error);

/* A job needs a sink that the configuration has no more: adds it, so that it can be told about. */
struct downstream *downstreams_missing(struct downstreams *d, struct span name);

/* What an administrator may write, as a name of ours: "main" (a sink), "postgres:main",
 * "https://example.org", "host:https://Example.org:443/". out: DOWNSTREAM_NAME_MAX bytes. NOT_FOUND
 * or INVALID_ARGUMENT, with what is known. */
int downstreams_resolve(const struct downstreams *d, struct span text, char *out,
                        struct error *error) MUST_CHECK;

/* "postgres", "redis", "file" or "host"; DOWNSTREAMS_KINDS of them, by index. */
enum { DOWNSTREAMS_KINDS = 4 };
const char *downstreams_kind_name(size_t index);
size_t downstreams_kind(const struct downstreams *d, uint64_t hash, bool host);

/* SCHED_ACT_TRACE: a line for the log. */
void downstreams_trace(struct downstreams *d, const struct sched_action *a);

/* Breakers that are not simply closed, and all sinks: those that people look at. Returns false when
 * there are no more; *at = 0 first. Sinks that the scheduler never heard of come at the end. */
struct downstreams_entry {
    const char *name;
    const struct downstream *known; /* NULL: a host whose name was forgotten */
    struct sched_breaker_view view;
};
struct downstreams_walk {
    size_t at, sink;
    uint64_t seen; /* bits of sinks that the scheduler told of */
    char unknown[40];
};
bool downstreams_next(struct downstreams *d, struct downstreams_walk *w,
                      struct downstreams_entry *ret);

#endif
