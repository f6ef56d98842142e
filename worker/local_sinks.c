#include "local_sinks.h"

#include <stdio.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/hash.h"
#include "common/unpack.h"
#include "worker/sinks/section.h"

enum { OPEN_MS = 10000, ASK_MS = 10000, NAMES_MAX = 256 };

/* ---- sections ---- */

static bool has_section(const struct config *c, const char *name)
{
    struct span names[NAMES_MAX];
    const size_t n = config_names(c, "sink", names, ARRAY_LEN(names));
    for (size_t i = 0; i < n; i++)
        if (span_eq(names[i], span_str(name)))
            return true;
    return false;
}

static int read_section(const struct config *c, size_t index, const struct spec_sink *target,
                        struct sink_settings *ret, struct error *e)
{
    if (!has_section(c, target->name))
        return error_set(e, ERR_CONFIG,
                         "sinks[%zu].name: this worker knows no sink \"%s\": give its address by "
                         "--sink-%s-url, or in the configuration by [sink.%s] url",
                         index, target->name, target->name, target->name);
    const int rc = section_read(c, span_str(target->name), ret, e);
    if (rc == ERR_OK && ret->kind != target->kind)
        return error_set(e, ERR_CONFIG, "sinks[%zu].name: \"%s\" is a sink of the kind %s, not %s",
                         index, target->name, spec_sink_kind_name(ret->kind),
                         spec_sink_kind_name(target->kind));
    return rc;
}

/* ---- asking and telling, each on a connection of its own ---- */

static int ask(const struct local_sinks *s, size_t index, struct error *e)
{
    const struct spec_sink *target = &s->pipeline->spec->sinks[index];
    const struct sink_kind *kind = sink_kind_of(target->kind);
    struct sink_conn *conn = NULL;
    struct error why = {0};
    int rc = kind->open(&s->settings[index], OPEN_MS, &conn, &why);
    if (rc == ERR_OK)
        rc = kind->fits(conn, target, s->pipeline->spec->columns, ASK_MS, &why);
    kind->close(conn);
    if (rc == ERR_OK)
        return ERR_OK;
    if (rc == ERR_INVALID_SPEC)
        return error_set(e, ERR_INVALID_SPEC, "sinks[%zu].%s", index, why.detail);
    return error_set(e, (enum err)rc, "sink \"%s\": %s", target->name, why.detail);
}

static int tell(const struct local_sinks *s, size_t index, bool failed, struct error *e)
{
    const struct spec_sink *target = &s->pipeline->spec->sinks[index];
    const struct sink_kind *kind = sink_kind_of(target->kind);
    struct sink_conn *conn = NULL;
    struct error why = {0};
    int rc = kind->open(&s->settings[index], OPEN_MS, &conn, &why);
    if (rc == ERR_OK)
        rc = kind->job_end(conn, target, s->pipeline->uid, s->pipeline->generation, false,
                           failed ? "failed" : "done", ASK_MS, &why);
    kind->close(conn);
    if (rc == ERR_OK)
        return ERR_OK;
    return error_set(e, (enum err)rc,
                     "sink \"%s\": the rows are there, but it could not be told of the job's end: "
                     "%s",
                     target->name, why.detail);
}

/* ---- life ---- */

static int name_job(struct pipeline *p, const char *run_id, struct error *e)
{
    p->generation = 1;
    if (run_id) {
        const struct hash128 h = hash_128(run_id, strlen(run_id), 0);
        memcpy(p->uid, &h, sizeof(p->uid));
    } else if (getrandom(p->uid, sizeof(p->uid), 0) != (ssize_t)sizeof(p->uid)) {
        return error_set(e, ERR_UNAVAILABLE, "getrandom: %m");
    }
    return ERR_OK;
}

static int copy_settings(const struct sink_settings *from, struct sink_settings *to,
                         struct error *e)
{
    *to = (struct sink_settings){.kind = from->kind, .name = strdup(from->name)};
    int rc = to->name ? ERR_OK : error_set(e, ERR_NOMEM, "no memory for a sink");
    const struct {
        const char *key, *value;
    } values[] = {{"url", from->url},
                  {"user", from->user},
                  {"password", from->password},
                  {"ca_pem", from->ca_pem}};
    for (size_t i = 0; i < ARRAY_LEN(values) && rc == ERR_OK; i++)
        rc = sink_settings_set(to, values[i].key, span_str(values[i].value ? values[i].value : ""),
                               e);
    return rc;
}

static int open_one(struct local_sinks *s, const struct config *options, size_t index,
                    struct error *e)
{
    struct sink_settings copy = {0};
    const struct spec_sink *target = &s->pipeline->spec->sinks[index];
    if (target->kind == SPEC_SINK_STORE)
        return ERR_OK;
    int rc = read_section(options, index, target, &s->settings[index], e);
    if (rc == ERR_OK)
        rc = ask(s, index, e);
    if (rc == ERR_OK)
        rc = copy_settings(&s->settings[index], &copy, e);
    if (rc == ERR_OK)
        rc = batcher_sink(s->batcher, &copy, e);
    sink_settings_done(&copy);
    return rc;
}

int local_sinks_open(struct local_sinks *s, const struct local_sinks_config *config,
                     struct pipeline *pipeline, struct error *e)
{
    *s = (struct local_sinks){.pipeline = pipeline,
                              .by_input = config->run_id != NULL,
                              .budget_bytes = config->budget_bytes};
    if (!landings_needed(pipeline))
        return ERR_OK;
    const struct batcher_config batcher = {.connections = config->connections, .seed = clock_us()};
    int rc = name_job(pipeline, config->run_id, e);
    if (rc == ERR_OK)
        rc = batcher_new(&batcher, &s->batcher, e);
    for (size_t i = 0; i < pipeline->spec->n_sinks && rc == ERR_OK; i++)
        rc = open_one(s, config->options, i, e);
    return rc;
}

int local_sinks_end(struct local_sinks *s, bool failed, struct error *e)
{
    int rc = ERR_OK;
    for (size_t i = 0; i < s->pipeline->spec->n_sinks && rc == ERR_OK; i++)
        if (s->settings[i].name)
            rc = tell(s, i, failed, e);
    return rc;
}

bool local_sinks_close(struct local_sinks *s)
{
    const bool ended = !s->batcher || batcher_stop(s->batcher);
    if (ended)
        batcher_free(s->batcher);
    for (size_t i = 0; i < SPEC_SINKS_MAX; i++)
        sink_settings_done(&s->settings[i]);
    s->batcher = NULL;
    return ended;
}

/* ---- tasks ---- */

/* The text of the first item, which is packed alone or as [text, ...]. */
static struct span first_text(struct span items)
{
    struct unpack u;
    unpack_init(&u, items.p, items.len);
    unpack_array(&u);
    if (unpack_peek(&u) == UNPACK_ARRAY)
        unpack_array(&u);
    const struct span text = unpack_str(&u);
    return unpack_ok(&u) ? text : items;
}

uint64_t local_sinks_task(struct local_sinks *s, struct span items)
{
    if (!s->by_input)
        return ++s->last_task;
    const struct span text = first_text(items);
    return hash_64(text.p, text.len, 0) & INT64_MAX; /* ledgers have signed numbers */
}

bool local_sinks_full(const struct local_sinks *s)
{
    struct batcher_stats stats;
    if (!s->batcher)
        return false;
    batcher_stats(s->batcher, &stats);
    return stats.bytes >= s->budget_bytes;
}

int local_sinks_fd(const struct local_sinks *s)
{
    return s->batcher ? batcher_fd(s->batcher) : -1;
}
