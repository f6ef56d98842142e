#include "sinks.h"

#include <stdio.h>

#include "common/config_file.h"
#include "common/suggest.h"

enum { KEY_LEN = 128, LIST_LEN = 300 };

/* ---- one section ---- */

static const struct {
    const char *scheme;
    enum spec_sink_kind kind;
} schemes[] = {
    {"postgresql", SPEC_SINK_POSTGRES}, {"postgres", SPEC_SINK_POSTGRES},
    {"redis", SPEC_SINK_REDIS},         {"rediss", SPEC_SINK_REDIS},
    {"unix", SPEC_SINK_REDIS},          {"file", SPEC_SINK_FILE},
};

static bool kind_of_url(const char *url, enum spec_sink_kind *ret)
{
    const char *colon = strstr(url, "://");
    for (size_t i = 0; colon && i < ARRAY_LEN(schemes); i++) {
        if (strlen(schemes[i].scheme) != (size_t)(colon - url) ||
            strncmp(url, schemes[i].scheme, (size_t)(colon - url)) != 0)
            continue;
        *ret = schemes[i].kind;
        return true;
    }
    return false;
}

/* "user:password@" before the hosts, or a parameter that is one. */
static bool url_has_password(const char *url)
{
    static const char *const parameters[] = {"password=", "sslpassword="};
    const char *from = strstr(url, "://") + 3;
    size_t len = strcspn(from, "/?#");
    const char *at = memrchr(from, '@', len);
    const char *colon = at ? memchr(from, ':', (size_t)(at - from)) : NULL;
    if (colon && colon + 1 < at)
        return true;
    const char *query = strchr(from, '?');
    for (const char *p = query; p && *p; p = strchr(p, '&')) {
        p++;
        for (size_t i = 0; i < ARRAY_LEN(parameters); i++)
            if (strncmp(p, parameters[i], strlen(parameters[i])) == 0)
                return true;
    }
    return false;
}

static bool name_valid(struct span name)
{
    bool good = name.len > 0 && name.len <= SPEC_SINK_NAME_MAX;
    good = good && ((name.p[0] | 0x20) >= 'a' && (name.p[0] | 0x20) <= 'z');
    return good && !span_eq(name, SPAN("store"));
}

static int set(struct sinks_entry *to, const char *key, struct span value, struct error *e)
{
    return sink_settings_set(&to->settings, key, value, e);
}

static int read_url(struct sinks_entry *to, const char *key, const char *url, struct error *e)
{
    if (!url)
        return error_set(e, ERR_CONFIG, "%s: missing: where the sink is", key);
    if (!kind_of_url(url, &to->settings.kind))
        return error_set(e, ERR_CONFIG,
                         "%s: it begins with none of postgresql:// redis:// rediss:// unix:// "
                         "file://",
                         key);
    if (url_has_password(url))
        return error_set(e, ERR_CONFIG,
                         "%s: there is a password inside, which would be shown: put it into a file "
                         "and name that in password_file",
                         key);
    return set(to, "url", span_str(url), e);
}

static int read_ca(struct sinks_entry *to, const char *key, const char *path, struct error *e)
{
    struct buf text;
    struct error why = {0};
    if (!path)
        return set(to, "ca_pem", SPAN(""), e);
    buf_init(&text, 0);
    int rc = config_file_load(path, false, SINKS_CA_MAX, &text, &why);
    if (rc)
        rc = error_set(e, ERR_CONFIG, "%s: %s", key, why.detail);
    else
        rc = set(to, "ca_pem", buf_span(&text), e);
    buf_done(&text);
    return rc;
}

static int read_password(struct sinks_entry *to, const struct config *c, const char *key,
                         struct error *e)
{
    char *password = NULL;
    struct error why = {0};
    if (config_secret(c, key, &password, &why))
        return error_set(e, ERR_CONFIG, "%s: %s", key, why.detail);
    int rc = set(to, "password", password ? span_str(password) : SPAN(""), e);
    if (password)
        explicit_bzero(password, strlen(password));
    free(password);
    return rc;
}

static int read_entry(const struct config *c, struct span name, struct sinks_entry *to,
                      struct error *e)
{
    char key[KEY_LEN];
    struct error why = {0};
    const int len = (int)MIN(name.len, (size_t)80);
    if (!name_valid(name))
        return error_set(
            e, ERR_CONFIG,
            "[sink.%.*s]: a sink's name is a letter and up to %d more of A-Z a-z 0-9 _ "
            "-, and not \"store\"",
            len, name.p, SPEC_SINK_NAME_MAX - 1);
    to->settings.name = strndup(name.p, name.len);
    if (!to->settings.name)
        return error_set(e, ERR_NOMEM, "no memory for a sink");
    snprintf(key, sizeof(key), "sink.%s.url", to->settings.name);
    int rc = read_url(to, key, config_str(c, key), e);
    snprintf(key, sizeof(key), "sink.%s.user", to->settings.name);
    if (rc == 0)
        rc = set(to, "user", span_str(config_str(c, key) ? config_str(c, key) : ""), e);
    snprintf(key, sizeof(key), "sink.%s.password_file", to->settings.name);
    if (rc == 0)
        rc = read_password(to, c, key, e);
    snprintf(key, sizeof(key), "sink.%s.ca_file", to->settings.name);
    if (rc == 0)
        rc = read_ca(to, key, config_str(c, key), e);
    if (rc)
        return rc;
    to->kind = sink_kind_of(to->settings.kind);
    if (to->kind->check(&to->settings, &why))
        return error_set(e, ERR_CONFIG, "sink.%s.url: %s", to->settings.name, why.detail);
    snprintf(to->downstream, sizeof(to->downstream), "%s:%s",
             spec_sink_kind_name(to->settings.kind), to->settings.name);
    to->hash = downstream_hash(span_str(to->downstream));
    return 0;
}

/* ---- all of them ---- */

int sinks_new(const struct config *config, struct sinks **ret, struct error *e)
{
    struct span names[SINKS_MAX + 1];
    size_t n = config_names(config, "sink", names, ARRAY_LEN(names));
    if (n > SINKS_MAX)
        return error_set(e, ERR_CONFIG, "[sink.%.*s]: there are more than %d sinks",
                         (int)MIN(names[SINKS_MAX].len, (size_t)80), names[SINKS_MAX].p, SINKS_MAX);
    struct sinks *s = calloc(1, sizeof(*s));
    if (!s)
        return error_set(e, ERR_NOMEM, "no memory for the sinks");
    for (size_t i = 0; i < n; i++) {
        s->n = i + 1;
        int rc = read_entry(config, names[i], &s->entries[i], e);
        if (rc) {
            sinks_free(s);
            return rc;
        }
    }
    *ret = s;
    return 0;
}

void sinks_free(struct sinks *s)
{
    for (size_t i = 0; s && i < s->n; i++)
        sink_settings_done(&s->entries[i].settings);
    free(s);
}

size_t sinks_find(const struct sinks *s, struct span name)
{
    for (size_t i = 0; i < s->n; i++)
        if (span_eq(span_str(s->entries[i].settings.name), name))
            return i;
    return SINKS_NONE;
}

size_t sinks_find_downstream(const struct sinks *s, struct span downstream)
{
    for (size_t i = 0; i < s->n; i++)
        if (span_eq(span_str(s->entries[i].downstream), downstream))
            return i;
    return SINKS_NONE;
}

size_t sinks_find_hash(const struct sinks *s, uint64_t hash)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->entries[i].hash == hash)
            return i;
    return SINKS_NONE;
}

size_t sinks_of(const struct sinks *s, const struct spec_sink *target)
{
    if (target->kind == SPEC_SINK_STORE)
        return SINKS_NONE;
    size_t i = sinks_find(s, span_str(target->name));
    return i != SINKS_NONE && s->entries[i].settings.kind == target->kind ? i : SINKS_NONE;
}

/* ---- what a job says ---- */

static int unknown(const struct sinks *s, size_t index, const struct spec_sink *target,
                   struct error *e)
{
    const char *names[SINKS_MAX];
    char hint[SUGGEST_TEXT_LEN], known[LIST_LEN] = "";
    size_t n = 0, at = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->entries[i].settings.kind != target->kind)
            continue;
        names[n] = s->entries[i].settings.name;
        at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", n ? ", " : "", names[n]);
        at = MIN(at, sizeof(known) - 1);
        n++;
    }
    if (n == 0)
        return error_set(e, ERR_INVALID_SPEC,
                         "sinks[%zu].name: there is no sink \"%s\"; the coordinator has no sink of "
                         "%s: its administrator adds one as [sink.%s]",
                         index, target->name, spec_sink_kind_name(target->kind), target->name);
    return error_set(e, ERR_INVALID_SPEC, "sinks[%zu].name: there is no sink \"%s\"%s; known: %s",
                     index, target->name, suggest_text(target->name, names, n, hint), known);
}

int sinks_check_spec(const struct sinks *s, const struct spec *spec, struct error *e)
{
    for (size_t i = 0; i < spec->n_sinks; i++) {
        const struct spec_sink *target = &spec->sinks[i];
        if (target->kind == SPEC_SINK_STORE)
            continue;
        size_t at = sinks_find(s, span_str(target->name));
        if (at == SINKS_NONE)
            return unknown(s, i, target, e);
        if (s->entries[at].settings.kind != target->kind)
            return error_set(e, ERR_INVALID_SPEC,
                             "sinks[%zu].name: \"%s\" is a sink of %s, not of %s", i, target->name,
                             spec_sink_kind_name(s->entries[at].settings.kind),
                             spec_sink_kind_name(target->kind));
    }
    return 0;
}
