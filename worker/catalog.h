/*
 * catalog.h: the descriptions of the jobs that the coordinator told in this session, and what was
 * compiled from them. A description is sent once in a session, so it is kept as long as that lasts;
 * it is compiled when its first task starts, and again when that was dropped to save memory.
 *
 * Bounded: CATALOG_COMPILED_MAX compiled jobs beside those in use, and the caller begins a new
 * session (in which only the jobs at work are told again) when catalog_full says so.
 *
 * Thread rule: the session thread.
 */
#ifndef DROVER_CATALOG_H
#define DROVER_CATALOG_H

#include "common/wire.h"
#include "pipeline.h"

enum {
    CATALOG_BYTES_MAX = 16 * 1024 * 1024, /* of all descriptions */
    CATALOG_COMPILED_MAX = 64,
    CATALOG_BUCKETS = 256
};

struct catalog_job;

struct catalog {
    struct catalog_job *buckets[CATALOG_BUCKETS];
    size_t bytes, n_compiled;
};

void catalog_init(struct catalog *c);
void catalog_done(struct catalog *c);

/* A new session: descriptions without a task at work are forgotten. */
void catalog_session(struct catalog *c);
/* Copies the description, and what names the job in sinks. NOMEM. */
int catalog_put(struct catalog *c, const struct wire_job *job, struct error *e) MUST_CHECK;
/* The job, compiled; a reference that the caller gives back by pipeline_unref. NOT_FOUND: the
 * description was never told. INVALID_SPEC, NOMEM. */
int catalog_get(struct catalog *c, uint64_t job, struct pipeline **ret, struct error *e) MUST_CHECK;
bool catalog_full(const struct catalog *c);

#endif
