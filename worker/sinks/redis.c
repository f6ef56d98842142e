/*
 * redis.c: the kind `redis`: each task's rows as hashes, a stream or a list, each task once as long
 * as Redis keeps its data. The parts:
 *
 *   redis_url   where             redis_nodes  servers, log-in, slots
 *   redis_tls   trust             redis_rows   a landing as a command
 *   redis_link  a connection      redis_script what Redis does with it
 *   redis_write a group of landings
 *
 * Thread rule: as sink.h says.
 */
#include "sink.h"

#include <stdio.h>
#include <sys/random.h>

#include "common/clock.h"
#include "redis_script.h"
#include "redis_write.h"

enum { VERSION_MIN_MAJOR = 6, VERSION_MIN_MINOR = 2, TRIAL_TTL_MS = 1000 };

struct redis {
    struct redis_nodes nodes;
    struct redis_rows rows;
};

static struct redis *of(struct sink_conn *c)
{
    return (struct redis *)c;
}

static int redis_check(const struct sink_settings *s, struct error *e)
{
    struct redis_url url;
    int rc = redis_url_read(s->url, &url, e);
    if (rc)
        return rc;
    if (url.tls) {
        struct redis_tls *tls = NULL;
        rc = redis_tls_new(s->ca_pem, &tls, e);
        redis_tls_free(tls);
    }
    redis_url_done(&url);
    return rc;
}

static void redis_close(struct sink_conn *c)
{
    struct redis *r = of(c);
    if (!r)
        return;
    redis_nodes_done(&r->nodes);
    redis_rows_done(&r->rows);
    free(r);
}

static int redis_open(const struct sink_settings *s, uint32_t timeout_ms, struct sink_conn **ret,
                      struct error *e)
{
    struct redis *r = calloc(1, sizeof(*r));
    if (!r)
        return error_set(e, ERR_UNAVAILABLE, "no memory for a connection to Redis");
    redis_rows_init(&r->rows);
    if (redis_nodes_open(&r->nodes, s, clock_ms() + timeout_ms, e)) {
        redis_close((struct sink_conn *)r);
        if (e)
            e->code = ERR_UNAVAILABLE;
        return ERR_UNAVAILABLE;
    }
    *ret = (struct sink_conn *)r;
    return ERR_OK;
}

static int write_list(struct sink_conn *c, struct landing **list, size_t n, uint32_t timeout_ms,
                      struct error *e)
{
    struct redis *r = of(c);
    return redis_write(&r->nodes, &r->rows, list, n, clock_ms() + timeout_ms, e);
}

/* ---- fits ---- */

static int check_version(const struct redis *r, struct error *e)
{
    int major = 0, minor = 0;
    if (sscanf(r->nodes.version, "%d.%d", &major, &minor) != 2) /* it does not say */
        return ERR_OK;
    if (major > VERSION_MIN_MAJOR || (major == VERSION_MIN_MAJOR && minor >= VERSION_MIN_MINOR))
        return ERR_OK;
    return error_set(e, ERR_INVALID_SPEC, "name: the server is Redis %s; %d.%d or newer is needed",
                     r->nodes.version, VERSION_MIN_MAJOR, VERSION_MIN_MINOR);
}

static int check_columns(const struct spec_sink *target, const struct batch *columns,
                         struct error *e)
{
    if (target->mode != SPEC_SINK_HASH)
        return ERR_OK;
    if (target->n_keys != 1)
        return error_set(e, ERR_INVALID_SPEC,
                         "key: mode \"hash\" has one column that names the "
                         "row's key");
    for (size_t i = 0; columns && i < columns->n_columns; i++)
        if (strcmp(columns->columns[i].name, target->keys[0]) == 0)
            return ERR_OK;
    return !columns || columns->n_columns == 0
               ? ERR_OK
               : error_set(e, ERR_INVALID_SPEC, "key: the rows have no column \"%.100s\"",
                           target->keys[0]);
}

/* Where the server says that this user may not, as Redis 7.2 and those before it say it; or NULL.
 * */
static const char *find_refusal(const char *words)
{
    const char *at = strstr(words, "NOPERM");
    return at ? at : strstr(words, "ERR The user executing the script can't");
}

/* What the server refuses to this user is told with the part of the job that could be otherwise. */
static int refused(const char *words, struct error *e)
{
    const bool pattern =
        strstr(words, "the keys") || strstr(words, " key") || strstr(words, " channel");
    return error_set(e, ERR_INVALID_SPEC, "%s: the sink's user may not do what a landing does: %s",
                     pattern ? "prefix" : "name", words);
}

/* A landing like the job's with one row, under a name that no job has, which expires at once. */
static int try_landing(struct redis *r, const struct spec_sink *target, uint64_t deadline_ms,
                       struct error *e)
{
    struct error why = {0};
    struct spec_sink trial = *target;
    struct batch *row = batch_new();
    struct landing l = {.target = &trial, .rows = row, .generation = 1};
    struct landing *list[] = {&l};
    const char *name = target->mode == SPEC_SINK_HASH ? target->keys[0] : "trial";
    trial.ttl_ms = TRIAL_TTL_MS;
    if (!row || batch_add_column(row, name, COL_TEXT) != ERR_OK ||
        getrandom(l.uid, sizeof(l.uid), 0) != (ssize_t)sizeof(l.uid)) {
        batch_free(row);
        return error_set(e, ERR_UNAVAILABLE, "no memory for a trial of the sink");
    }
    batch_text(row, 0, SPAN("trial"));
    batch_row_end(row);
    int rc = redis_write(&r->nodes, &r->rows, list, 1, deadline_ms, &why);
    if (rc == ERR_OK && l.verdict != LANDING_DONE)
        rc = error_set(e, ERR_INVALID_SPEC, "name: %s", l.error);
    else if (rc && find_refusal(why.detail))
        rc = refused(find_refusal(why.detail), e);
    else if (rc)
        rc = error_set(e, ERR_UNAVAILABLE, "%s", why.detail);
    landing_done(&l);
    batch_free(row);
    return rc;
}

static int redis_fits(struct sink_conn *c, const struct spec_sink *target,
                      const struct batch *columns, uint32_t timeout_ms, struct error *e)
{
    struct redis *r = of(c);
    int rc = check_version(r, e);
    if (rc == ERR_OK)
        rc = check_columns(target, columns, e);
    return rc ? rc : try_landing(r, target, clock_ms() + timeout_ms, e);
}

/* ---- the end of a job ---- */

static void put_end(struct buf *out, const struct spec_sink *target, const char *tag,
                    uint64_t generation, bool fenced, const char *state)
{
    redis_link_array(out, 3 + 1 + 5);
    redis_link_arg(out, SPAN("EVAL"));
    redis_link_arg(out, span_str(redis_script_end));
    redis_link_arg(out, SPAN("1"));
    redis_rows_key(out, target->prefix, tag, "job");
    redis_link_arg(out, span_str(state));
    redis_link_arg_u64(out, generation);
    redis_link_arg(out, fenced ? SPAN("1") : SPAN("0"));
    redis_link_arg_u64(out, target->ttl_ms);
    redis_rows_key(out, target->prefix, tag, "events");
}

/* Sends it to a node. *ret_next: where a redirection sends it; NULL: it is done. */
static int end_at(struct redis *r, struct redis_node *node, bool asking, const struct buf *command,
                  uint64_t deadline_ms, struct redis_node **ret_next, bool *ret_asking,
                  struct error *e)
{
    redisReply *reply = NULL;
    int rc = redis_nodes_connect(&r->nodes, node, deadline_ms, e);
    if (rc)
        return rc;
    struct buf *out = redis_link_out(node->link);
    if (asking)
        redis_link_words(out, 1, (const char *const[]){"ASKING"});
    buf_append(out, command->data, command->len);
    for (int left = asking ? 2 : 1; left > 0 && rc == ERR_OK; left--) {
        freeReplyObject(reply);
        reply = NULL;
        rc = redis_link_reply(node->link, deadline_ms, &reply, e);
    }
    if (rc) {
        redis_nodes_lost(node);
        node->down = true;
        return rc;
    }
    *ret_next = NULL;
    if (reply->type == REDIS_REPLY_ERROR) {
        *ret_asking = strncmp(reply->str, "ASK ", 4) == 0;
        if (*ret_asking || strncmp(reply->str, "MOVED ", 6) == 0)
            *ret_next =
                redis_nodes_redirected(&r->nodes, node, (struct span){reply->str, reply->len});
        if (!*ret_next)
            rc = error_set(e, ERR_UNAVAILABLE, "%s:%u: %s", node->place.host,
                           (unsigned)node->place.port, reply->str);
    }
    freeReplyObject(reply);
    return rc;
}

static int redis_job_end(struct sink_conn *c, const struct spec_sink *target,
                         const uint8_t uid[SINK_UID_LEN], uint64_t generation, bool fenced,
                         const char *state, uint32_t timeout_ms, struct error *e)
{
    struct redis *r = of(c);
    const uint64_t deadline_ms = clock_ms() + timeout_ms;
    char tag[REDIS_TAG_LEN + 1];
    struct buf command;
    bool asking = false;
    int rc = ERR_OK;
    redis_rows_tag(uid, tag);
    buf_init(&command, 0);
    put_end(&command, target, tag, generation, fenced, state);
    struct redis_node *node =
        redis_nodes_of(&r->nodes, redis_nodes_slot((struct span){tag, REDIS_TAG_LEN}));
    if (!buf_ok(&command))
        rc = error_set(e, ERR_UNAVAILABLE, "no memory for the end of a job");
    for (int i = 0; rc == ERR_OK && node; i++) {
        if (i == REDIS_ROUNDS_MAX)
            rc = error_set(e, ERR_UNAVAILABLE, "the cluster sends the job's end from node to node");
        else
            rc = end_at(r, node, asking, &command, deadline_ms, &node, &asking, e);
    }
    buf_done(&command);
    return rc;
}

const struct sink_kind sink_redis = {.kind = SPEC_SINK_REDIS,
                                     .check = redis_check,
                                     .open = redis_open,
                                     .write = write_list,
                                     .close = redis_close,
                                     .fits = redis_fits,
                                     .job_end = redis_job_end};
