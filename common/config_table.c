#include "config_table.h"

#include <ctype.h>
#include <stdio.h>

#include "config_file.h"

enum { ENTRIES_MAX = 10000 };

/* ---- values ---- */

static const char *example_of(enum config_type type)
{
    switch (type) {
    case CONFIG_INT:
        return "a whole number";
    case CONFIG_DURATION:
        return "a duration such as 500ms, 30s, 10m, 2h or 7d";
    case CONFIG_BYTES:
        return "a size such as 512KiB, 64MiB or 2GB";
    case CONFIG_BOOL:
        return "true or false";
    default:
        return "text";
    }
}

/* A limit as its option would be written. */
const char *config_table_write_limit(enum config_type type, int64_t v,
                                     char out[CONFIG_VALUE_TEXT_LEN])
{
    if (type == CONFIG_DURATION)
        return config_value_write_duration(v, out);
    if (type == CONFIG_BYTES)
        return config_value_write_bytes(v, out);
    snprintf(out, CONFIG_VALUE_TEXT_LEN, "%lld", (long long)v);
    return out;
}

static void free_texts(char **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(list[i]);
    free(list);
}

/* Gives the entry its value, checked. where: "flag --x", "file PATH:12". */
static int entry_set(struct config_table_entry *entry, enum config_table_source source,
                     const char *where, const char *text, struct error *e)
{
    const struct config_option *o = entry->option;
    int64_t v = 0;
    bool good = true, number = true;
    switch (o->type) {
    case CONFIG_INT:
        good = config_value_int(text, &v);
        break;
    case CONFIG_DURATION:
        good = config_value_duration(text, &v);
        break;
    case CONFIG_BYTES:
        good = config_value_bytes(text, &v);
        break;
    case CONFIG_BOOL:
        good = config_value_bool(text, &v);
        break;
    default:
        number = false;
    }
    enum err code = source == CONFIG_TABLE_FLAG ? ERR_INVALID_ARGUMENT : ERR_CONFIG;
    if (!good)
        return error_set(e, code, "%s: \"%s\" is not %s", where, text, example_of(o->type));
    if (number && o->max && (v < o->min || v > o->max)) {
        char min[CONFIG_VALUE_TEXT_LEN], max[CONFIG_VALUE_TEXT_LEN];
        return error_set(e, code, "%s: %s is outside its limits, %s to %s", where, text,
                         config_table_write_limit(o->type, o->min, min),
                         config_table_write_limit(o->type, o->max, max));
    }
    if (o->type == CONFIG_LIST) {
        char **list;
        size_t n;
        if (config_file_list(text, &list, &n))
            return error_set(e, code, "%s: \"%s\" is not a list such as [ \"a\", \"b\" ] or a,b",
                             where, text);
        free_texts(entry->list, entry->n_list);
        entry->list = list;
        entry->n_list = n;
    }
    char *copy = strdup(text), *origin = strdup(where);
    if (!copy || !origin) {
        free(copy);
        free(origin);
        return error_set(e, ERR_NOMEM, "configuration");
    }
    free(entry->text);
    free(entry->origin);
    entry->text = copy;
    entry->origin = origin;
    entry->source = source;
    entry->number = v;
    return ERR_OK;
}

/* ---- keys ---- */

/* Does "sink.main.url" fit "sink.*.url"? A name part is [A-Za-z0-9_-]+. */
static bool key_fits(const char *pattern, const char *key)
{
    while (*pattern && *pattern != '*') {
        if (*pattern++ != *key++)
            return false;
    }
    if (!*pattern)
        return !*key;
    size_t n = 0;
    while (isalnum((unsigned char)key[n]) || key[n] == '_' || key[n] == '-')
        n++;
    return n > 0 && strcmp(pattern + 1, key + n) == 0;
}

const struct config_option *config_table_option(const struct config_program *p, const char *key)
{
    for (size_t i = 0; i < p->n_options; i++)
        if (key_fits(p->options[i].key, key))
            return &p->options[i];
    return NULL;
}

bool config_table_has_name(const struct config_option *o)
{
    return strchr(o->key, '*') != NULL;
}

struct config_table_entry *config_table_find(const struct config_table *t, const char *key)
{
    for (size_t i = 0; i < t->n_entries; i++)
        if (strcmp(t->entries[i].key, key) == 0)
            return &t->entries[i];
    return NULL;
}

int config_table_add(struct config_table *t, const struct config_option *o, const char *key,
                     struct config_table_entry **ret, struct error *e)
{
    if (t->n_entries >= ENTRIES_MAX)
        return error_set(e, ERR_LIMIT, "more than %d options", ENTRIES_MAX);
    struct config_table_entry *more = realloc(t->entries, (t->n_entries + 1) * sizeof *more);
    char *copy = strdup(key);
    if (more)
        t->entries = more;
    if (!more || !copy) {
        free(copy);
        return error_set(e, ERR_NOMEM, "configuration");
    }
    struct config_table_entry *entry = &t->entries[t->n_entries++];
    *entry = (struct config_table_entry){.key = copy, .option = o};
    *ret = entry;
    return o->fallback ? entry_set(entry, CONFIG_TABLE_DEFAULT, "default", o->fallback, e) : ERR_OK;
}

/* Sets one value unless a stronger source gave one already. A new name brings all options of its
 * section with their defaults. */
int config_table_set(struct config_table *t, const char *key, enum config_table_source source,
                     const char *where, const char *text, struct error *e)
{
    const struct config_option *o = config_table_option(t->program, key);
    struct config_table_entry *entry = config_table_find(t, key);
    if (!entry) {
        const char *star = strchr(o->key, '*');
        size_t head = (size_t)(star - o->key), name = strlen(key) - (strlen(o->key) - 1);
        for (size_t i = 0; i < t->program->n_options; i++) {
            const struct config_option *sibling = &t->program->options[i];
            if (strncmp(sibling->key, o->key, head + 1) != 0)
                continue;
            char full[CONFIG_TABLE_KEY_MAX];
            snprintf(full, sizeof full, "%.*s%s", (int)(head + name), key, sibling->key + head + 1);
            int rc =
                config_table_find(t, full) ? ERR_OK : config_table_add(t, sibling, full, &entry, e);
            if (rc)
                return rc;
        }
        entry = config_table_find(t, key);
    }
    if (source < entry->source)
        return ERR_OK;
    if (source == CONFIG_TABLE_FILE && entry->source == CONFIG_TABLE_FILE)
        return error_set(e, ERR_CONFIG, "%s: %s is there a second time, after %s", where, key,
                         entry->origin);
    return entry_set(entry, source, where, text, e);
}

/* "sink.main.url" as "sink-main-url" or "SINK_MAIN_URL". */
void config_table_spell(const char *key, bool env, char out[CONFIG_TABLE_KEY_MAX])
{
    size_t i = 0;
    for (; key[i] && i < CONFIG_TABLE_KEY_MAX - 1; i++) {
        char c = key[i];
        if (c == '.' || c == '_' || c == '-')
            out[i] = env ? '_' : '-';
        else
            out[i] = (char)(env ? toupper((unsigned char)c) : c);
    }
    out[i] = '\0';
}

/* The key that a flag or variable means. A name part stands between the two halves of its pattern. */
const struct config_option *config_table_spelt(const struct config_program *p, const char *word,
                                               bool env, char ret_key[CONFIG_TABLE_KEY_MAX])
{
    for (size_t i = 0; i < p->n_options; i++) {
        const struct config_option *o = &p->options[i];
        char pattern[CONFIG_TABLE_KEY_MAX];
        config_table_spell(o->key, env, pattern);
        const char *star = strchr(pattern, '*');
        if (!star) {
            if (strcmp(pattern, word) != 0)
                continue;
            snprintf(ret_key, CONFIG_TABLE_KEY_MAX, "%s", o->key);
            return o;
        }
        size_t head = (size_t)(star - pattern), tail = strlen(star + 1), len = strlen(word);
        if (len <= head + tail || strncmp(pattern, word, head) != 0 ||
            strcmp(word + len - tail, star + 1) != 0)
            continue;
        char name[CONFIG_TABLE_KEY_MAX];
        snprintf(name, sizeof name, "%.*s", (int)(len - head - tail), word + head);
        for (char *c = name; env && *c; c++)
            *c = (char)tolower((unsigned char)*c);
        int n = snprintf(ret_key, CONFIG_TABLE_KEY_MAX, "%.*s%s%s", (int)head, o->key, name,
                         o->key + head + 1);
        if (n < CONFIG_TABLE_KEY_MAX && key_fits(o->key, ret_key))
            return o;
    }
    return NULL;
}

void config_table_done(struct config_table *t)
{
    for (size_t i = 0; i < t->n_entries; i++) {
        free_texts(t->entries[i].list, t->entries[i].n_list);
        free(t->entries[i].key);
        free(t->entries[i].text);
        free(t->entries[i].origin);
    }
    free(t->entries);
    t->entries = NULL;
    t->n_entries = 0;
}
