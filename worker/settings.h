/*
 * settings.h: the options of drover-worker (flags, environment, file: common/config.h), and what the
 * rest of the program wants to know, worked out from them.
 *
 * Thread rule: one thread, at the start.
 */
#ifndef DROVER_SETTINGS_H
#define DROVER_SETTINGS_H

#include "common/config.h"
#include "common/keys.h"
#include "worker/inputs.h"
#include "worker/scrape/scrape.h"

extern const struct config_program settings_program;

enum { SETTINGS_HOST_MAX = 256 };

struct settings {
    const char *coordinator; /* NULL: not set */
    bool has_key;
    struct keys_pair key;
    char server_key[KEYS_Z85_LEN + 1];
    char id[KEYS_NAME_MAX + 1];
    char host[SETTINGS_HOST_MAX];
    size_t loops;
    uint32_t slots;
    size_t memory_max_bytes;
    size_t result_budget_bytes;
    uint64_t drain_ms;
    uint32_t sink_connections; /* of each sink */
    size_t frontier_max_bytes;
    char *cache_dir; /* owned; NULL: a temporary one */
    uint64_t cache_bytes_max;
    struct scrape_config scrape; /* borrows from the configuration and from allow_nets */
    const char **allow_nets;     /* owned; NULL-terminated */
    struct inputs inputs;        /* roots: of the configuration; none when there are none */
};

/* What both the service and `run` need. CONFIG. */
int settings_common(const struct config *c, struct settings *ret, struct error *e) MUST_CHECK;
/* Besides, what the service needs: address, keys, id. The id is kept in the state directory when there
 * is one; without --id and --state-dir it is the host's name and a random word, new at each start. */
int settings_service(const struct config *c, struct settings *ret, struct error *e) MUST_CHECK;
void settings_done(struct settings *o);

/* Open files that the loops may need at once. */
uint64_t settings_files_needed(const struct settings *o);
/* Raises the soft limit of open files to the hard one; returns what it is then. */
uint64_t settings_raise_files(void);

#endif
