#include "section.h"

#include <stdio.h>

#include "common/config_file.h"

enum { KEY_LEN = 128, NAME_SHOWN = 80 };

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

static int read_url(struct sink_settings *to, const char *key, const char *url, struct error *e)
{
    if (!url)
        return error_set(e, ERR_CONFIG, "%s: missing: where the sink is", key);
    if (!kind_of_url(url, &to->kind))
        return error_set(e, ERR_CONFIG,
                         "%s: it begins with none of postgresql:// redis:// rediss:// unix:// "
                         "file://",
                         key);
    if (url_has_password(url))
        return error_set(e, ERR_CONFIG,
                         "%s: there is a password inside, which would be shown: put it into a file "
                         "and name that in password_file",
                         key);
    return sink_settings_set(to, "url", span_str(url), e);
}

static int read_ca(struct sink_settings *to, const char *key, const char *path, struct error *e)
{
    struct buf text;
    struct error why = {0};
    if (!path)
        return sink_settings_set(to, "ca_pem", SPAN(""), e);
    buf_init(&text, 0);
    int rc = config_file_load(path, false, SECTION_CA_MAX, &text, &why);
    if (rc)
        rc = error_set(e, ERR_CONFIG, "%s: %s", key, why.detail);
    else
        rc = sink_settings_set(to, "ca_pem", buf_span(&text), e);
    buf_done(&text);
    return rc;
}

static int read_password(struct sink_settings *to, const struct config *c, const char *key,
                         struct error *e)
{
    char *password = NULL;
    struct error why = {0};
    if (config_secret(c, key, &password, &why))
        return error_set(e, ERR_CONFIG, "%s: %s", key, why.detail);
    int rc = sink_settings_set(to, "password", password ? span_str(password) : SPAN(""), e);
    if (password)
        explicit_bzero(password, strlen(password));
    free(password);
    return rc;
}

static int read_all(const struct config *c, struct sink_settings *to, struct error *e)
{
    char key[KEY_LEN];
    struct error why = {0};
    snprintf(key, sizeof(key), "sink.%s.url", to->name);
    int rc = read_url(to, key, config_str(c, key), e);
    snprintf(key, sizeof(key), "sink.%s.user", to->name);
    if (rc == ERR_OK)
        rc = sink_settings_set(to, "user", span_str(config_str(c, key) ? config_str(c, key) : ""),
                               e);
    snprintf(key, sizeof(key), "sink.%s.password_file", to->name);
    if (rc == ERR_OK)
        rc = read_password(to, c, key, e);
    snprintf(key, sizeof(key), "sink.%s.ca_file", to->name);
    if (rc == ERR_OK)
        rc = read_ca(to, key, config_str(c, key), e);
    if (rc == ERR_OK && sink_kind_of(to->kind)->check(to, &why) != ERR_OK)
        rc = error_set(e, ERR_CONFIG, "sink.%s.url: %s", to->name, why.detail);
    return rc;
}

int section_read(const struct config *c, struct span name, struct sink_settings *ret,
                 struct error *e)
{
    struct sink_settings s = {0};
    int rc =
        name_valid(name)
            ? ERR_OK
            : error_set(e, ERR_CONFIG,
                        "[sink.%.*s]: a sink's name is a letter and up to %d more of A-Z a-z "
                        "0-9 _ -, and not \"store\"",
                        (int)MIN(name.len, (size_t)NAME_SHOWN), name.p, SPEC_SINK_NAME_MAX - 1);
    if (rc == ERR_OK && !(s.name = strndup(name.p, name.len)))
        rc = error_set(e, ERR_NOMEM, "no memory for a sink");
    if (rc == ERR_OK)
        rc = read_all(c, &s, e);
    if (rc != ERR_OK) {
        sink_settings_done(&s);
        return rc;
    }
    *ret = s;
    return ERR_OK;
}
