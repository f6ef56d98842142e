#include "sinks.h"

#include <stdio.h>

#include "common/suggest.h"
#include "worker/sinks/section.h"

enum { LIST_LEN = 300 };

static int read_entry(const struct config *c, struct span name, struct sinks_entry *to,
                      struct error *e)
{
    const int rc = section_read(c, name, &to->settings, e);
    if (rc)
        return rc;
    to->kind = sink_kind_of(to->settings.kind);
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
