#include "local_rejects.h"

#include <stdio.h>

#include "common/utf8.h"

int local_rejects_open(struct local_rejects *r, const char *path, struct local_stats *stats,
                       struct error *e)
{
    r->stats = stats;
    return rowfile_open(&r->file, path, e);
}

int local_rejects_close(struct local_rejects *r, struct error *e)
{
    buf_done(&r->line);
    return rowfile_close(&r->file, e);
}

/* In UTF-8, whatever a row holds and wherever it is cut. */
static void remember(char *to, size_t size, struct span input, const char *reason,
                     const char *detail)
{
    snprintf(to, size, "%.*s: %s%s%s", (int)MIN(input.len, (size_t)200), input.p, reason,
             detail ? ": " : "", detail ? detail : "");
    to[utf8_valid_prefix(span_str(to))] = '\0';
}

void local_rejects_add(struct local_rejects *r, struct span input, const char *reason,
                       const char *detail)
{
    if (r->stats->n_rejects++ == 0)
        remember(r->stats->first_reject, sizeof r->stats->first_reject, input, reason, detail);
    tally_add(&r->stats->reasons, reason, 1);
    if (!r->file.path)
        return;
    buf_clear(&r->line);
    buf_str(&r->line, "{\"input\":");
    buf_json_str(&r->line, input);
    buf_str(&r->line, ",\"reason\":");
    buf_json_str(&r->line, span_str(reason));
    buf_str(&r->line, ",\"detail\":");
    if (detail)
        buf_json_str(&r->line, span_str(detail));
    else
        buf_str(&r->line, "null");
    buf_str(&r->line, "}\n");
    rowfile_append(&r->file, buf_span(&r->line));
}

void local_rejects_lose(struct local_rejects *r, struct span input, const char *reason,
                        const char *detail)
{
    if (r->stats->n_lost++ == 0)
        error_set(&r->lost, ERR_JOB_FAILED, "%.*s: %s: %.300s", (int)MIN(input.len, (size_t)150),
                  input.p, reason, detail ? detail : "");
    local_rejects_add(r, input, reason, detail);
}

bool local_rejects_too_many(const struct local_rejects *r, int64_t rejects_max)
{
    return rejects_max >= 0 && local_stats_rejects(r->stats) > (uint64_t)rejects_max;
}
