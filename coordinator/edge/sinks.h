/*
 * sinks.h: the administrator's sinks, as [sink.NAME] of the configuration says: where each is, its
 * kind (by the scheme of its URL) and its secrets. Jobs name them; they never name an address.
 *
 *     [sink.main]
 *     url = "postgresql://db.example/warehouse"
 *     user = "drover_worker"
 *     password_file = "/etc/drover/main.password"
 *     ca_file = "/etc/drover/ca.pem"
 *
 * A section is read by worker/sinks/section.h. It connects to nothing: sink_thread.h does.
 *
 * Thread rule: immutable after sinks_new; any thread may read.
 */
#ifndef DROVER_SINKS_H
#define DROVER_SINKS_H

#include "common/config.h"
#include "common/downstream.h"
#include "common/spec.h"
#include "worker/sinks/sink.h"

enum { SINKS_MAX = 64 };

#define SINKS_NONE SIZE_MAX

struct sinks_entry {
    struct sink_settings settings;
    const struct sink_kind *kind;
    char downstream[DOWNSTREAM_NAME_MAX]; /* "postgres:main" */
    uint64_t hash;                        /* of that: what the scheduler knows it by */
};

struct sinks {
    struct sinks_entry entries[SINKS_MAX];
    size_t n;
};

/* CONFIG, naming the key. */
int sinks_new(const struct config *config, struct sinks **ret, struct error *e) MUST_CHECK;
void sinks_free(struct sinks *s);

/* Index of a sink by its name, by its downstream ("postgres:main") or hash; SINKS_NONE. */
size_t sinks_find(const struct sinks *s, struct span name);
size_t sinks_find_downstream(const struct sinks *s, struct span downstream);
size_t sinks_find_hash(const struct sinks *s, uint64_t hash);

/* Index of the sink that a job means; SINKS_NONE: it is not there, or of another kind. */
size_t sinks_of(const struct sinks *s, const struct spec_sink *target);

/* Whether the job names sinks that are there and of the kind that it says; INVALID_SPEC with the
 * path. */
int sinks_check_spec(const struct sinks *s, const struct spec *spec, struct error *e) MUST_CHECK;

#endif
