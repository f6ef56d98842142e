#include "result.h"

#include <stdio.h>

#include "common/pack.h"
#include "common/reason.h"
#include "worker/output.h"

static enum wire_outcome outcome_of(const struct output *o)
{
    const enum err code = o->failed || !batch_ok(o->rows) ? ERR_NOMEM : (enum err)o->error;
    if (code == ERR_OK)
        return WIRE_DONE;
    if (code == ERR_STALE)
        return WIRE_RETURNED;
    return code == ERR_NOMEM || err_class(code) == ERR_CLASS_RETRY ? WIRE_RETRY : WIRE_FAIL;
}

int result_pack_plain(const struct wire_token *token, enum wire_outcome outcome, const char *reason,
                      struct buf *out)
{
    const struct wire_result m = {.token = *token, .outcome = outcome, .error = span_str(reason)};
    wire_result_pack(out, &m);
    return buf_ok(out) ? ERR_OK : ERR_NOMEM;
}

/* The first n. */
static void pack_rejects(const struct output *o, size_t n, struct buf *out)
{
    pack_array(out, n);
    for (size_t i = 0; i < n; i++) {
        pack_array(out, 3);
        pack_cstr(out, o->rejects[i].input);
        pack_cstr(out, o->rejects[i].reason);
        pack_cstr(out, o->rejects[i].detail);
    }
}

/* p == NULL for an input that was not tried. */
static struct span again_error(const struct output_retry *r, struct arena *a)
{
    if (!r->reason)
        return (struct span){NULL, 0};
    const size_t n = strlen(r->reason) + (r->detail ? strlen(r->detail) + 2 : 0);
    char *text = arena_alloc(a, n + 1);
    if (!text)
        return span_str(r->reason);
    snprintf(text, n + 1, "%s%s%s", r->reason, r->detail ? ": " : "", r->detail ? r->detail : "");
    return (struct span){text, n};
}

/* The arrays of the message, from those of the output. False: no memory. */
static bool fill_lists(const struct output *o, struct arena *a, struct wire_result *m)
{
    m->n_stats = m->outcome == WIRE_LAND ? 0 : o->n_stats;
    m->n_found = o->n_found;
    m->n_again = o->n_retries;
    m->stats = arena_alloc(a, m->n_stats * sizeof(*m->stats));
    m->found = arena_alloc(a, m->n_found * sizeof(*m->found));
    m->again = arena_alloc(a, m->n_again * sizeof(*m->again));
    if (!m->stats || !m->found || !m->again)
        return false;
    for (size_t i = 0; i < m->n_stats; i++)
        m->stats[i] = (struct wire_stat){span_str(o->stats[i].name), o->stats[i].value};
    for (size_t i = 0; i < m->n_found; i++)
        m->found[i] = (struct wire_found){span_str(o->found[i].url), o->found[i].depth};
    for (size_t i = 0; i < m->n_again; i++)
        m->again[i] = (struct wire_again){span_str(o->retries[i].input), o->retries[i].depth,
                                          again_error(&o->retries[i], a)};
    return true;
}

/* DONE or LAND; the latter tells of inputs, and the former then of rows. */
static int pack_full(const struct wire_token *token, const struct output *o,
                     enum wire_outcome outcome, bool with_rows, struct arena *a, struct buf *rows,
                     struct buf *rejects, struct buf *out)
{
    const size_t n_rejects = outcome == WIRE_LAND ? o->n_input_rejects : o->n_rejects;
    struct wire_result m = {.token = *token,
                            .outcome = outcome,
                            .n_rows = outcome == WIRE_LAND ? 0 : o->rows->n_rows,
                            .n_rejects = (uint32_t)n_rejects,
                            .key_delay_ms = o->key_delay_ms,
                            .key_backoff_ms = o->key_backoff_ms};
    if (outcome == WIRE_LAND)
        m.left = (struct span){(const char *)o->left, o->left_bytes};
    if (!fill_lists(o, a, &m))
        return ERR_NOMEM;
    if (o->rows->n_rows > 0 && with_rows) {
        batch_pack(o->rows, rows);
        m.rows = buf_span(rows);
    } else if (o->partial.len > 0 && outcome == WIRE_DONE) {
        pack_array(rows, 1);
        pack_bin(rows, buf_span(&o->partial));
        m.rows = buf_span(rows);
    }
    if (n_rejects > 0) {
        pack_rejects(o, n_rejects, rejects);
        m.rejects = buf_span(rejects);
    }
    if (buf_ok(rows) && buf_ok(rejects))
        wire_result_pack(out, &m);
    return ERR_OK;
}

/* The bytes that the large parts of a result have at least. */
static size_t bytes_at_least(const struct output *o, bool with_rows)
{
    size_t n = (with_rows ? batch_bytes(o->rows) : 0) + o->partial.len;
    for (size_t i = 0; i < o->n_found; i++)
        n += strlen(o->found[i].url);
    for (size_t i = 0; i < o->n_rejects; i++)
        n += strlen(o->rejects[i].input);
    for (size_t i = 0; i < o->n_retries; i++)
        n += strlen(o->retries[i].input);
    return n;
}

static int pack_too_large(const struct wire_token *token, size_t bytes, struct buf *out)
{
    char reason[200];
    snprintf(reason, sizeof(reason),
             REASON_LIMIT
             ": the result of this task has %zu bytes or more; a message may have %d: give the "
             "job a smaller task_items, or extract less from a page",
             bytes, WIRE_MESSAGE_MAX);
    return result_pack_plain(token, WIRE_FAIL, reason, out);
}

static int pack_error(const struct wire_token *token, const struct output *o,
                      enum wire_outcome outcome, struct buf *out)
{
    char reason[600];
    const char *code = o->error_reason ? o->error_reason : err_name((enum err)o->error);
    if (o->error == ERR_OK) /* an append found no memory */
        snprintf(reason, sizeof(reason), REASON_NOMEM ": %s", err_text(ERR_NOMEM));
    else
        snprintf(reason, sizeof(reason), "%s%s%s", code, o->error_detail[0] ? ": " : "",
                 o->error_detail);
    struct wire_result m = {.token = *token,
                            .outcome = outcome,
                            .error = span_str(reason),
                            .key_delay_ms = o->key_delay_ms,
                            .key_backoff_ms = o->key_backoff_ms,
                            .retry_after_ms = o->key_backoff_ms};
    wire_result_pack(out, &m);
    return buf_ok(out) ? ERR_OK : ERR_NOMEM;
}

/* DONE or LAND, or FAIL when it is too large. */
static int pack_within(const struct wire_token *token, const struct output *o, bool with_rows,
                       struct buf *out, enum wire_outcome *ret_outcome)
{
    const size_t least = bytes_at_least(o, with_rows), begin = out->len;
    if (least <= RESULT_BYTES_MAX) {
        struct arena a;
        struct buf rows, rejects;
        arena_init(&a, 0);
        buf_init(&rows, 0);
        buf_init(&rejects, 0);
        const int rc = pack_full(token, o, *ret_outcome, with_rows, &a, &rows, &rejects, out);
        const bool ok = rc == ERR_OK && buf_ok(&rows) && buf_ok(&rejects) && buf_ok(out);
        arena_done(&a);
        buf_done(&rows);
        buf_done(&rejects);
        if (!ok)
            return ERR_NOMEM;
        if (out->len - begin <= RESULT_BYTES_MAX)
            return ERR_OK;
    }
    const size_t bytes = MAX(least, out->len - begin);
    out->len = begin;
    *ret_outcome = WIRE_FAIL;
    return pack_too_large(token, bytes, out);
}

int result_pack(const struct wire_token *token, const struct output *o, bool with_rows,
                struct buf *out, enum wire_outcome *ret_outcome)
{
    *ret_outcome = outcome_of(o);
    if (*ret_outcome != WIRE_DONE)
        return pack_error(token, o, *ret_outcome, out);
    if (o->rows->n_rows == 0 && o->partial.len == 0 && !o->n_stats && !o->n_found &&
        !o->n_retries && !o->n_rejects && !o->key_delay_ms && !o->key_backoff_ms)
        return result_pack_plain(token, WIRE_DONE, NULL, out);
    return pack_within(token, o, with_rows, out, ret_outcome);
}

int result_pack_land(const struct wire_token *token, const struct output *o, struct buf *out,
                     enum wire_outcome *ret_outcome)
{
    *ret_outcome = WIRE_LAND;
    return pack_within(token, o, false, out, ret_outcome);
}
