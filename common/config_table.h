/*
 * config_table.h: the values of a program's options: checked against type and limits, each with its
 * origin, a stronger source never overwritten by a weaker one; and how a key is spelt as a flag and as a
 * variable. It reads no file, environment or command line: config.c does, and only it uses this.
 *
 * Thread rule: one owner while it is filled; then reading from any thread.
 */
#ifndef DROVER_CONFIG_TABLE_H
#define DROVER_CONFIG_TABLE_H

#include "config.h"
#include "config_value.h"

enum { CONFIG_TABLE_KEY_MAX = 200 };

/* Weakest first. */
enum config_table_source {
    CONFIG_TABLE_DEFAULT,
    CONFIG_TABLE_FILE,
    CONFIG_TABLE_ENV,
    CONFIG_TABLE_FLAG
};

/* One value: of an option, or of one name of an option with a name part. */
struct config_table_entry {
    char *key; /* the real one: "sink.main.url" */
    const struct config_option *option;
    enum config_table_source source;
    char *origin, *text; /* text NULL: not set */
    int64_t number;      /* INT, DURATION, BYTES, BOOL */
    char **list;
    size_t n_list;
};

struct config_table {
    const struct config_program *program;
    struct config_table_entry *entries;
    size_t n_entries;
};

void config_table_done(struct config_table *t);

/* The option that a real key belongs to ("sink.main.url" to "sink.*.url"), or NULL. */
const struct config_option *config_table_option(const struct config_program *p, const char *key);
bool config_table_has_name(const struct config_option *o);

struct config_table_entry *config_table_find(const struct config_table *t, const char *key);

/* A new entry with its default. */
int config_table_add(struct config_table *t, const struct config_option *o, const char *key,
                     struct config_table_entry **ret, struct error *e) MUST_CHECK;

/* Sets one value unless a stronger source gave one already; the key must belong to an option. A new
 * name brings all options of its section with their defaults. where: "flag --x", "file PATH:12". */
int config_table_set(struct config_table *t, const char *key, enum config_table_source source,
                     const char *where, const char *text, struct error *e) MUST_CHECK;

/* "sink.main.url" as "sink-main-url" or "SINK_MAIN_URL". */
void config_table_spell(const char *key, bool env, char out[CONFIG_TABLE_KEY_MAX]);

/* The option that a flag or variable (without its prefix) means, and the real key. */
const struct config_option *config_table_spelt(const struct config_program *p, const char *word,
                                               bool env, char ret_key[CONFIG_TABLE_KEY_MAX]);

/* A limit as its option would be written. Returns out. */
const char *config_table_write_limit(enum config_type type, int64_t v,
                                     char out[CONFIG_VALUE_TEXT_LEN]);

#endif
