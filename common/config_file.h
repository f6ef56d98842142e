/*
 * config_file.h: reads the small part of TOML that configuration files are written in, and calls back
 * for each key. It knows no options; it refuses what it does not understand, naming file and line.
 *
 * Thread rule: pure functions and file access.
 */
#ifndef DROVER_CONFIG_FILE_H
#define DROVER_CONFIG_FILE_H

#include "buf.h"
#include "err.h"

/* key: "section.name.key". text: the value without quotes; of a list, as it stands, for
 * config_file_list. What it returns, when not OK, ends the reading. */
typedef int config_file_fn(void *user, const char *path, unsigned line, const char *key,
                           const char *text, struct error *e);

int config_file_read(const char *path, config_file_fn *fn, void *user, struct error *e) MUST_CHECK;

/* The same for text that is already there; path is only for messages. */
int config_file_parse(struct span text, const char *path, config_file_fn *fn, void *user,
                      struct error *e) MUST_CHECK;

/* [ "a", "b" ] or a,b into an array of texts that the caller frees one by one. INVALID_ARGUMENT,
 * LIMIT, NOMEM. */
int config_file_list(const char *text, char ***ret, size_t *ret_n) MUST_CHECK;

/* A whole file into out. private: CONFIG when others than owner and group may read it, or the group
 * may write it. CONFIG names the file and the reason; also when it is larger than max_bytes. */
int config_file_load(const char *path, bool private, size_t max_bytes, struct buf *out,
                     struct error *e) MUST_CHECK;

#endif
