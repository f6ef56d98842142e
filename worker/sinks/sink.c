#include "sink.h"

#include <stdarg.h>
#include <stdio.h>

void landing_reject(struct landing *l, uint32_t row, const char *column, const char *detail)
{
    struct landing_reject *more = realloc(l->rejects, (l->n_rejects + 1) * sizeof(*more));
    if (!more) {
        landing_fail(l, LANDING_FAILED, "no memory for the rows that do not fit");
        return;
    }
    l->rejects = more;
    more[l->n_rejects] = (struct landing_reject){.row = row, .detail = strdup(detail)};
    if (column)
        more[l->n_rejects].column = strdup(column);
    l->n_rejects++;
}

void landing_fail(struct landing *l, enum landing_verdict verdict, const char *fmt, ...)
{
    va_list args;
    l->verdict = verdict;
    va_start(args, fmt);
    vsnprintf(l->error, sizeof(l->error), fmt, args);
    va_end(args);
}

void landing_done(struct landing *l)
{
    for (size_t i = 0; i < l->n_rejects; i++) {
        free(l->rejects[i].column);
        free(l->rejects[i].detail);
    }
    free(l->rejects);
    l->rejects = NULL;
    l->n_rejects = 0;
}

const struct sink_kind *sink_kind_of(enum spec_sink_kind kind)
{
    static const struct sink_kind *const all[] = {&sink_postgres, &sink_redis, &sink_file};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i]->kind == kind)
            return all[i];
    return NULL;
}

int sink_settings_set(struct sink_settings *s, const char *key, struct span value, struct error *e)
{
    const struct {
        const char *key;
        char **to;
    } keys[] = {{"url", &s->url},
                {"user", &s->user},
                {"password", &s->password},
                {"ca_pem", &s->ca_pem}};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (strcmp(keys[i].key, key) != 0)
            continue;
        char *copy = strndup(value.p, value.len);
        if (!copy)
            return error_set(e, ERR_NOMEM, "no memory for a sink");
        free(*keys[i].to);
        *keys[i].to = copy;
    }
    return ERR_OK;
}

void sink_settings_done(struct sink_settings *s)
{
    free(s->name);
    free(s->url);
    free(s->user);
    if (s->password)
        explicit_bzero(s->password, strlen(s->password));
    free(s->password);
    free(s->ca_pem);
    *s = (struct sink_settings){0};
}
