#include "config.h"

#include <stdio.h>
#include <unistd.h>

#include "config_file.h"
#include "config_table.h"
#include "suggest.h"

extern char **environ;

enum { KEY_MAX = CONFIG_TABLE_KEY_MAX, ORIGIN_MAX = 400, FLAGS_MAX = 512 };

struct extra {
    char *name, *value;
};

struct config {
    struct config_table table;
    struct extra *extras;
    size_t n_extras;
    char **args;
    size_t n_args;
    bool help, version;
};

/* ---- sources ---- */

static int unknown_key(const struct config_program *p, const char *where, const char *key,
                       struct error *e)
{
    const char *keys[FLAGS_MAX], *dot = strchr(key, '.'), *last = strrchr(key, '.');
    char(*named)[KEY_MAX] = calloc(FLAGS_MAX, KEY_MAX);
    char hint[SUGGEST_TEXT_LEN];
    size_t n = 0;
    for (; named && n < p->n_options && n < FLAGS_MAX; n++) {
        const char *option = p->options[n].key, *star = strchr(option, '*');
        keys[n] = option;
        if (!star || !dot || dot == last)
            continue;
        /* of [sink.NAME] with the name that is there */
        snprintf(named[n], KEY_MAX, "%.*s%.*s%s", (int)(star - option), option,
                 (int)(last - dot - 1), dot + 1, star + 1);
        keys[n] = named[n];
    }
    error_set(e, ERR_CONFIG, "%s: there is no option \"%s\"%s", where, key,
              suggest_text(key, keys, n, hint));
    free(named);
    return ERR_CONFIG;
}

static int take_from_file(void *user, const char *path, unsigned line, const char *key,
                          const char *text, struct error *e)
{
    struct config *c = user;
    char where[ORIGIN_MAX];
    snprintf(where, sizeof where, "file %s:%u", path, line);
    if (strlen(key) >= KEY_MAX || !config_table_option(c->table.program, key))
        return unknown_key(c->table.program, where, key, e);
    return config_table_set(&c->table, key, CONFIG_TABLE_FILE, where, text, e);
}

static int read_environment(struct config *c, struct error *e)
{
    for (char **p = environ; *p; p++) {
        const char *equals = strchr(*p, '=');
        char word[KEY_MAX], key[KEY_MAX], where[ORIGIN_MAX];
        if (!equals || strncmp(*p, "DROVER_", 7) != 0)
            continue;
        size_t len = (size_t)(equals - *p) - 7;
        if (len >= sizeof word)
            continue;
        memcpy(word, *p + 7, len);
        word[len] = '\0';
        if (!config_table_spelt(c->table.program, word, true, key))
            continue;
        snprintf(where, sizeof where, "environment DROVER_%s", word);
        int rc = config_table_set(&c->table, key, CONFIG_TABLE_ENV, where, equals + 1, e);
        if (rc)
            return rc;
    }
    return ERR_OK;
}

/* The value of the last --config before "--", without checking anything. */
static const char *config_path(const struct config_program *p, int argc, char **argv,
                               bool *ret_must_exist)
{
    const char *path = NULL, *env = getenv("DROVER_CONFIG");
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0)
            path = argv[i] + 9;
        else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            path = argv[++i];
    }
    if (!path && env && *env)
        path = env;
    *ret_must_exist = path != NULL;
    return path ? path : p->file;
}

static int push(char ***list, size_t *n, const char *text, struct error *e)
{
    char **more = realloc(*list, (*n + 1) * sizeof *more);
    if (more)
        *list = more;
    if (!more || !(more[*n] = strdup(text)))
        return error_set(e, ERR_NOMEM, "configuration");
    (*n)++;
    return ERR_OK;
}

/* Splits "output=|o": the name, whether it takes a value, its letter (0: none). */
static size_t extra_parts(const char *spec, bool *ret_value, char *ret_letter)
{
    size_t len = strcspn(spec, "=|");
    const char *bar = strchr(spec, '|');
    *ret_value = spec[len] == '=';
    *ret_letter = bar ? bar[1] : '\0';
    return len;
}

static int push_extra(struct config *c, const char *name, size_t len, const char *value,
                      struct error *e)
{
    struct extra *more = realloc(c->extras, (c->n_extras + 1) * sizeof *more);
    if (more)
        c->extras = more;
    char *copy = strndup(name, len), *text = strdup(value);
    if (!more || !copy || !text) {
        free(copy);
        free(text);
        return error_set(e, ERR_NOMEM, "configuration");
    }
    c->extras[c->n_extras++] = (struct extra){copy, text};
    return ERR_OK;
}

static int unknown_flag(const struct config_program *p, const char *flag, struct error *e)
{
    char hint[SUGGEST_TEXT_LEN] = "";
    char(*spelt)[KEY_MAX] = calloc(FLAGS_MAX, KEY_MAX);
    char key[KEY_MAX];
    const char *words[FLAGS_MAX];
    size_t n = 0;
    for (size_t i = 0; spelt && i < p->n_options && n < FLAGS_MAX; i++) {
        config_table_spell(p->options[i].key, false, key);
        snprintf(spelt[n++], KEY_MAX, "--%.*s", KEY_MAX - 3, key);
    }
    for (size_t i = 0; spelt && p->extra_flags && p->extra_flags[i] && n < FLAGS_MAX; i++)
        snprintf(spelt[n++], KEY_MAX, "--%.*s", (int)strcspn(p->extra_flags[i], "=|"),
                 p->extra_flags[i]);
    for (size_t i = 0; i < n; i++)
        words[i] = spelt[i];
    snprintf(key, sizeof key, "--%.*s", KEY_MAX - 3, flag);
    error_set(e, ERR_INVALID_ARGUMENT, "there is no flag %s%s", key,
              suggest_text(key, words, n, hint));
    free(spelt);
    return ERR_INVALID_ARGUMENT;
}

struct command_line {
    int argc, at;
    char **argv;
};

/* The value of a flag: after its "=", or the next word. */
static int flag_value(struct command_line *line, const char *attached, const char **ret,
                      struct error *e)
{
    if (!attached && line->at + 1 >= line->argc)
        return error_set(e, ERR_INVALID_ARGUMENT, "%s needs a value", line->argv[line->at]);
    *ret = attached ? attached : line->argv[++line->at];
    return ERR_OK;
}

static int read_option_flag(struct config *c, struct command_line *line, const char *flag,
                            const char *attached, bool *ret_known, struct error *e)
{
    char key[KEY_MAX], where[ORIGIN_MAX];
    const char *value = attached;
    const struct config_option *o = config_table_spelt(c->table.program, flag, false, key);
    bool negated = !o && !attached && strncmp(flag, "no-", 3) == 0;
    if (negated)
        o = config_table_spelt(c->table.program, flag + 3, false, key);
    *ret_known = o && (!negated || o->type == CONFIG_BOOL);
    if (!*ret_known)
        return ERR_OK;
    int rc = ERR_OK;
    if (o->type == CONFIG_BOOL && !attached)
        value = negated ? "false" : "true";
    else
        rc = flag_value(line, attached, &value, e);
    snprintf(where, sizeof where, "flag --%s", flag);
    return rc ? rc : config_table_set(&c->table, key, CONFIG_TABLE_FLAG, where, value, e);
}

static int read_extra_flag(struct config *c, struct command_line *line, const char *flag,
                           char letter, const char *attached, bool *ret_known, struct error *e)
{
    const char *const *specs = c->table.program->extra_flags;
    for (size_t i = 0; specs && specs[i]; i++) {
        bool takes_value;
        char short_form;
        const char *value = "";
        size_t len = extra_parts(specs[i], &takes_value, &short_form);
        bool same = letter ? letter == short_form
                           : strlen(flag) == len && strncmp(flag, specs[i], len) == 0;
        if (!same)
            continue;
        *ret_known = true;
        if (!takes_value && attached)
            return error_set(e, ERR_INVALID_ARGUMENT, "--%.*s takes no value", (int)len, specs[i]);
        int rc = takes_value ? flag_value(line, attached, &value, e) : ERR_OK;
        return rc ? rc : push_extra(c, specs[i], len, value, e);
    }
    return ERR_OK;
}

static int read_flag(struct config *c, struct command_line *line, const char *word, struct error *e)
{
    char flag[KEY_MAX];
    const char *equals = strchr(word, '='), *attached = equals ? equals + 1 : NULL, *ignored;
    size_t len = equals ? (size_t)(equals - word) : strlen(word);
    bool known = false;
    snprintf(flag, sizeof flag, "%.*s", (int)MIN(len, sizeof flag - 1), word);
    if (strcmp(flag, "help") == 0 || strcmp(flag, "version") == 0) {
        *(flag[0] == 'h' ? &c->help : &c->version) = true;
        return ERR_OK;
    }
    if (strcmp(flag, "config") == 0)
        return flag_value(line, attached, &ignored, e);
    int rc = read_extra_flag(c, line, flag, '\0', attached, &known, e);
    if (rc == ERR_OK && !known)
        rc = read_option_flag(c, line, flag, attached, &known, e);
    return rc == ERR_OK && !known ? unknown_flag(c->table.program, flag, e) : rc;
}

static int read_short_flag(struct config *c, struct command_line *line, const char *word,
                           struct error *e)
{
    char flag[2] = {word[1], '\0'};
    bool known = false;
    if (word[1] == 'h' && !word[2]) {
        c->help = true;
        return ERR_OK;
    }
    int rc = read_extra_flag(c, line, flag, word[1], word[2] ? word + 2 : NULL, &known, e);
    if (rc == ERR_OK && !known)
        return error_set(e, ERR_INVALID_ARGUMENT, "there is no flag -%c", word[1]);
    return rc;
}

static int read_command_line(struct config *c, int argc, char **argv, struct error *e)
{
    struct command_line line = {argc, 1, argv};
    bool flags = true;
    int rc = ERR_OK;
    for (; rc == ERR_OK && line.at < argc; line.at++) {
        const char *word = argv[line.at];
        if (flags && strcmp(word, "--") == 0)
            flags = false;
        else if (flags && strncmp(word, "--", 2) == 0)
            rc = read_flag(c, &line, word + 2, e);
        else if (flags && word[0] == '-' && word[1])
            rc = read_short_flag(c, &line, word, e);
        else
            rc = push(&c->args, &c->n_args, word, e);
    }
    return rc;
}

static int load(struct config *c, int argc, char **argv, struct error *e)
{
    const struct config_program *p = c->table.program;
    bool must_exist;
    struct config_table_entry *entry;
    int rc = ERR_OK;
    for (size_t i = 0; rc == ERR_OK && i < p->n_options; i++)
        if (!config_table_has_name(&p->options[i]))
            rc = config_table_add(&c->table, &p->options[i], p->options[i].key, &entry, e);
    if (rc == ERR_OK)
        rc = read_command_line(c, argc, argv, e);
    if (rc || c->help || c->version)
        return rc;
    rc = read_environment(c, e);
    const char *path = config_path(p, argc, argv, &must_exist);
    if (rc == ERR_OK && path && (must_exist || access(path, F_OK) == 0))
        rc = config_file_read(path, take_from_file, c, e);
    return rc;
}

int config_load(const struct config_program *program, int argc, char **argv, struct config **ret,
                struct error *e)
{
    struct config *c = calloc(1, sizeof *c);
    if (!c)
        return error_set(e, ERR_NOMEM, "configuration");
    c->table.program = program;
    int rc = load(c, argc, argv, e);
    if (rc) {
        config_free(c);
        return rc;
    }
    *ret = c;
    return ERR_OK;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    config_table_done(&c->table);
    for (size_t i = 0; i < c->n_extras; i++) {
        free(c->extras[i].name);
        free(c->extras[i].value);
    }
    free(c->extras);
    for (size_t i = 0; i < c->n_args; i++)
        free(c->args[i]);
    free(c->args);
    free(c);
}

/* ---- reading ---- */

bool config_wants_help(const struct config *c)
{
    return c->help;
}

bool config_wants_version(const struct config *c)
{
    return c->version;
}

size_t config_args(const struct config *c, const char *const **ret)
{
    *ret = (const char *const *)c->args;
    return c->n_args;
}

const char *config_flag(const struct config *c, const char *name)
{
    for (size_t i = c->n_extras; i-- > 0;)
        if (strcmp(c->extras[i].name, name) == 0)
            return c->extras[i].value;
    return NULL;
}

static const struct config_table_entry *entry_of(const struct config *c, const char *key)
{
    const struct config_table_entry *entry = config_table_find(&c->table, key);
    assert(entry && "an option that is not in the table, or a name that config_names did not give");
    return entry;
}

bool config_has(const struct config *c, const char *key)
{
    return entry_of(c, key)->text != NULL;
}

const char *config_str(const struct config *c, const char *key)
{
    const struct config_table_entry *entry = entry_of(c, key);
    assert(entry->option->type == CONFIG_STR || entry->option->type == CONFIG_SECRET_FILE);
    return entry->text;
}

int64_t config_int(const struct config *c, const char *key)
{
    const struct config_table_entry *entry = entry_of(c, key);
    enum config_type type = entry->option->type;
    assert(type == CONFIG_INT || type == CONFIG_DURATION || type == CONFIG_BYTES);
    return entry->number;
}

bool config_bool(const struct config *c, const char *key)
{
    const struct config_table_entry *entry = entry_of(c, key);
    assert(entry->option->type == CONFIG_BOOL);
    return entry->number != 0;
}

size_t config_list(const struct config *c, const char *key, const char *const **ret)
{
    const struct config_table_entry *entry = entry_of(c, key);
    assert(entry->option->type == CONFIG_LIST);
    *ret = (const char *const *)entry->list;
    return entry->n_list;
}

int config_secret(const struct config *c, const char *key, char **ret, struct error *e)
{
    const struct config_table_entry *entry = entry_of(c, key);
    struct buf text;
    assert(entry->option->type == CONFIG_SECRET_FILE);
    *ret = NULL;
    if (!entry->text)
        return ERR_OK;
    buf_init(&text, 0);
    int rc = config_file_load(entry->text, true, CONFIG_SECRET_MAX, &text, e);
    while (rc == ERR_OK && text.len && strchr("\r\n", text.data[text.len - 1]))
        text.len--;
    if (rc == ERR_OK && !(*ret = buf_take_str(&text)))
        rc = error_set(e, ERR_NOMEM, "%s", key);
    buf_done(&text);
    return rc;
}

bool config_entry(const struct config *c, size_t index, struct config_entry *ret)
{
    if (index >= c->table.n_entries)
        return false;
    const struct config_table_entry *entry = &c->table.entries[index];
    *ret = (struct config_entry){.key = entry->key,
                                 .value = entry->text,
                                 .origin = entry->origin ? entry->origin : "default",
                                 .help = entry->option->help};
    return true;
}

/* The name in "section.NAME.rest", or len 0. */
static struct span name_in(const char *key, const char *section)
{
    size_t head = strlen(section);
    if (strncmp(key, section, head) != 0 || key[head] != '.')
        return SPAN("");
    const char *name = key + head + 1, *dot = strchr(name, '.');
    return dot ? (struct span){name, (size_t)(dot - name)} : SPAN("");
}

size_t config_names(const struct config *c, const char *section, struct span *ret, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < c->table.n_entries && n < max; i++) {
        struct span name = name_in(c->table.entries[i].key, section);
        bool seen = name.len == 0 || !config_table_has_name(c->table.entries[i].option);
        for (size_t j = 0; j < n && !seen; j++)
            seen = span_eq(ret[j], name);
        if (!seen)
            ret[n++] = name;
    }
    return n;
}

static void help_option(const struct config_option *o, struct buf *out)
{
    static const char *const values[] = {"TEXT", "N", "DURATION", "SIZE", NULL, "LIST", "FILE"};
    char flag[KEY_MAX], env[KEY_MAX];
    config_table_spell(o->key, false, flag);
    config_table_spell(o->key, true, env);
    const char *dot = strrchr(o->key, '.');
    buf_printf(out, "  --%s%s%s\n        %s\n", flag, values[o->type] ? " " : "",
               values[o->type] ? values[o->type] : "", o->help);
    if (dot)
        buf_printf(out, "        [%.*s] %s, DROVER_%s", (int)(dot - o->key), o->key, dot + 1, env);
    else
        buf_printf(out, "        %s =, DROVER_%s", o->key, env);
    if (o->fallback)
        buf_printf(out, "; default %s", o->fallback[0] ? o->fallback : "\"\"");
    if (o->max) {
        char min[CONFIG_VALUE_TEXT_LEN], max[CONFIG_VALUE_TEXT_LEN];
        buf_printf(out, "; %s to %s", config_table_write_limit(o->type, o->min, min),
                   config_table_write_limit(o->type, o->max, max));
    }
    buf_str(out, "\n");
}

void config_help(const struct config_program *p, struct buf *out)
{
    buf_printf(out, "Usage: %s %s\n\n%s\n\nOptions (flag; then file and environment):\n", p->name,
               p->usage, p->about);
    for (size_t i = 0; i < p->n_options; i++)
        help_option(&p->options[i], out);
    buf_str(out, "  --config FILE\n        read this file");
    if (p->file)
        buf_printf(out, " in place of %s", p->file);
    buf_str(out, " (DROVER_CONFIG)\n  --help, -h\n  --version\n");
}
