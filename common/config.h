/*
 * config.h: one table of options per program gives the keys of its file, its flags, its environment
 * variables, its defaults, limits, documentation and --help.
 *
 *     key "listen.front"  ->  [listen] front = ...   --listen-front ...   DROVER_LISTEN_FRONT
 *     key "url"           ->  url = ...              --url ...            DROVER_URL
 *     key "sink.*.url"    ->  [sink.main] url = ...  --sink-main-url ...  DROVER_SINK_MAIN_URL
 *
 * Flags win over the environment, that over the file, that over the default; where each value came
 * from is kept. An unknown key or flag is an error that names the nearest one; a value outside its
 * limits is an error that names them. Secrets are given only as paths of files. Variables
 * DROVER_... that this table does not know are left alone, since other programs share the prefix.
 *
 * The file is a small part of TOML: comments, [section] and [section.name], key = "text" (with \" \\
 * \n \t), key = bare, key = [ "a", "b" ] on one line.
 *
 * Thread rule: load on one thread; then reading from any.
 */
#ifndef DROVER_CONFIG_H
#define DROVER_CONFIG_H

#include "buf.h"
#include "err.h"

enum {
    CONFIG_FILE_MAX = 1024 * 1024, /* bytes */
    CONFIG_SECRET_MAX = 64 * 1024,
    CONFIG_LIST_MAX = 1000
};

enum config_type {
    CONFIG_STR,
    CONFIG_INT,
    CONFIG_DURATION,   /* "1.5s" "250ms" "10m" "2h" "7d", or seconds; kept in milliseconds */
    CONFIG_BYTES,      /* "64MiB" "10k" (1024) "2GB" (10^9), or bytes */
    CONFIG_BOOL,       /* true false yes no on off 1 0; a flag alone is true, --no-FLAG false */
    CONFIG_LIST,       /* [ "a", "b" ] or a,b */
    CONFIG_SECRET_FILE /* a path; the content is read by config_secret and never shown */
};

struct config_option {
    const char *key;
    enum config_type type;
    const char *fallback; /* as in the file; NULL: not set */
    int64_t min, max;     /* INT, DURATION (ms), BYTES, both inclusive; max 0: no limits */
    const char *help;     /* one or two sentences */
};

struct config_program {
    const char *name;  /* "drover-coordinator" */
    const char *usage; /* "[OPTION]..." */
    const char *about; /* a paragraph for --help */
    const char
        *file; /* read when it exists; NULL: none. --config FILE and DROVER_CONFIG replace it */
    const struct config_option *options;
    size_t n_options;
    /* Flags outside the table: kept for config_flag. "name" takes no value, "name=" takes one. A
     * letter after a bar is its short form: "output=|o". NULL-terminated, or NULL. */
    const char *const *extra_flags;
};

struct config;

/* argv[0] is skipped. --help and --version are known everywhere. CONFIG (file, environment) or
 * INVALID_ARGUMENT (command line). With --help or --version nothing is checked. */
int config_load(const struct config_program *program, int argc, char **argv, struct config **ret,
                struct error *e) MUST_CHECK;
void config_free(struct config *c);

bool config_wants_help(const struct config *c);
bool config_wants_version(const struct config *c);
/* Words that are no flags, in order; everything after "--" too. */
size_t config_args(const struct config *c, const char *const **ret);
/* An extra flag: NULL when not given; "" when it takes no value. The last one given counts. */
const char *config_flag(const struct config *c, const char *name);

/* Values. The key must be in the table with a fitting type (asserted). For a key with a name part
 * pass the real one: "sink.main.url". */
bool config_has(const struct config *c, const char *key); /* has a value */
const char *config_str(const struct config *c,
                       const char *key); /* STR, SECRET_FILE: NULL: not set */
int64_t config_int(const struct config *c,
                   const char *key); /* INT, DURATION (ms), BYTES; 0: not set */
bool config_bool(const struct config *c, const char *key);
size_t config_list(const struct config *c, const char *key, const char *const **ret);
/* Reads the file of a SECRET_FILE without the newline at its end; the caller frees. CONFIG when it
 * cannot be read, is too large, or others may read it. *ret NULL: the option is not set. */
int config_secret(const struct config *c, const char *key, char **ret, struct error *e) MUST_CHECK;

/* The names of sections "section.NAME" that have any value, in order of first sight, at most max. They
 * belong to the configuration. */
size_t config_names(const struct config *c, const char *section, struct span *ret, size_t max);

/* Every option with its value, for `config show`. False when there are no more. */
struct config_entry {
    const char *key, *value; /* value NULL: not set */
    const char *origin;      /* "default", "flag --url", "environment DROVER_URL", "file PATH:12" */
    const char *help;
};
bool config_entry(const struct config *c, size_t index, struct config_entry *ret);

/* The text of --help, made from the table. */
void config_help(const struct config_program *program, struct buf *out);

#endif
