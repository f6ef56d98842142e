#include "worker/output.h"

#include <stdio.h>

struct output *output_new(struct batch *rows_take)
{
    struct output *o = rows_take ? calloc(1, sizeof *o) : NULL;
    if (!o) {
        batch_free(rows_take);
        return NULL;
    }
    o->rows = rows_take;
    return o;
}

void output_free(struct output *o)
{
    if (!o)
        return;
    batch_free(o->rows);
    for (size_t i = 0; i < o->n_rejects; i++) {
        free(o->rejects[i].input);
        free(o->rejects[i].detail);
    }
    for (size_t i = 0; i < o->n_retries; i++) {
        free(o->retries[i].input);
        free(o->retries[i].detail);
    }
    for (size_t i = 0; i < o->n_found; i++)
        free(o->found[i].url);
    free(o->rejects);
    free(o->retries);
    free(o->found);
    free(o->stats);
    free(o);
}

/* Room for one more element in an array that grows at powers of two. NULL: no memory. */
static void *grown(struct output *o, void *items, size_t n, size_t item_bytes)
{
    if (o->failed)
        return NULL;
    if (n != 0 && (n & (n - 1)) != 0)
        return items;
    void *more = realloc(items, (n ? 2 * n : 1) * item_bytes);
    if (!more)
        o->failed = true;
    return more;
}

static char *copied(struct output *o, struct span s)
{
    char *copy = strndup(s.p ? s.p : "", s.len);
    if (!copy)
        o->failed = true;
    return copy;
}

static char *copied_or_null(struct output *o, const char *s)
{
    return s ? copied(o, span_str(s)) : NULL;
}

void output_reject(struct output *o, struct span input, const char *reason, const char *detail)
{
    struct output_reject *items = grown(o, o->rejects, o->n_rejects, sizeof *items);
    if (!items)
        return;
    o->rejects = items;
    items[o->n_rejects++] =
        (struct output_reject){copied(o, input), reason, copied_or_null(o, detail)};
}

void output_retry(struct output *o, struct span input, uint32_t depth, const char *reason,
                  const char *detail)
{
    struct output_retry *items = grown(o, o->retries, o->n_retries, sizeof *items);
    if (!items)
        return;
    o->retries = items;
    items[o->n_retries++] =
        (struct output_retry){copied(o, input), depth, reason, copied_or_null(o, detail)};
}

void output_found(struct output *o, struct span url, uint32_t depth)
{
    struct output_found *items = grown(o, o->found, o->n_found, sizeof *items);
    if (!items)
        return;
    o->found = items;
    items[o->n_found++] = (struct output_found){copied(o, url), depth};
}

void output_stat(struct output *o, const char *name, int64_t add)
{
    for (size_t i = 0; i < o->n_stats; i++)
        if (o->stats[i].name == name || strcmp(o->stats[i].name, name) == 0) {
            o->stats[i].value += add;
            return;
        }
    struct output_stat *items = grown(o, o->stats, o->n_stats, sizeof *items);
    if (!items)
        return;
    o->stats = items;
    items[o->n_stats++] = (struct output_stat){name, add};
}
