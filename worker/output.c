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

/* Forgets the texts from these counts on. */
static void lists_truncate(struct output *o, size_t n_rejects, size_t n_retries, size_t n_found)
{
    for (; o->n_rejects > n_rejects; o->n_rejects--) {
        free(o->rejects[o->n_rejects - 1].input);
        free(o->rejects[o->n_rejects - 1].detail);
    }
    for (; o->n_retries > n_retries; o->n_retries--) {
        free(o->retries[o->n_retries - 1].input);
        free(o->retries[o->n_retries - 1].detail);
    }
    for (; o->n_found > n_found; o->n_found--)
        free(o->found[o->n_found - 1].url);
}

void output_free(struct output *o)
{
    if (!o)
        return;
    batch_free(o->rows);
    buf_done(&o->partial);
    lists_truncate(o, 0, 0, 0);
    free(o->rejects);
    free(o->retries);
    free(o->found);
    free(o->stats);
    free(o->marked);
    free(o->left);
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
    o->text_bytes += s.len;
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

void output_leave(struct output *o, size_t i)
{
    if (i / 8 >= o->left_bytes) {
        const size_t bytes = MAX(i / 8 + 1, 2 * o->left_bytes);
        uint8_t *more = realloc(o->left, bytes);
        if (!more) {
            o->failed = true;
            return;
        }
        memset(more + o->left_bytes, 0, bytes - o->left_bytes);
        o->left = more;
        o->left_bytes = bytes;
    }
    o->left[i / 8] |= (uint8_t)(1u << (i & 7));
}

void output_told(struct output *o)
{
    for (size_t i = 0; i < o->n_input_rejects; i++) {
        free(o->rejects[i].input);
        free(o->rejects[i].detail);
    }
    o->n_rejects -= o->n_input_rejects;
    if (o->n_rejects > 0)
        memmove(o->rejects, o->rejects + o->n_input_rejects, o->n_rejects * sizeof *o->rejects);
    o->n_input_rejects = 0;
    lists_truncate(o, o->n_rejects, 0, 0);
    o->key_delay_ms = o->key_backoff_ms = 0;
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

size_t output_bytes(const struct output *o)
{
    return batch_bytes(o->rows) + o->text_bytes;
}

struct output_mark output_mark(struct output *o)
{
    if (o->n_stats > o->marked_cap) {
        int64_t *more = realloc(o->marked, 2 * o->n_stats * sizeof *more);
        if (more) {
            o->marked = more;
            o->marked_cap = 2 * o->n_stats;
        } else {
            o->failed = true;
        }
    }
    for (size_t i = 0; i < MIN(o->n_stats, o->marked_cap); i++)
        o->marked[i] = o->stats[i].value;
    return (struct output_mark){.n_rows = o->rows->n_rows,
                                .n_rejects = o->n_rejects,
                                .n_retries = o->n_retries,
                                .n_found = o->n_found,
                                .n_stats = o->n_stats,
                                .text_bytes = o->text_bytes};
}

void output_rollback(struct output *o, const struct output_mark *mark)
{
    batch_truncate(o->rows, mark->n_rows);
    lists_truncate(o, mark->n_rejects, mark->n_retries, mark->n_found);
    for (size_t i = 0; i < o->n_stats; i++)
        o->stats[i].value = i < MIN(mark->n_stats, o->marked_cap) ? o->marked[i] : 0;
    o->text_bytes = mark->text_bytes;
}
