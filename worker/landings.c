#include "landings.h"

#include <stdio.h>

#include "common/downstream.h"
#include "common/reason.h"
#include "worker/output.h"
#include "worker/sinks/batcher.h"

enum { DETAIL_LEN = SINK_ERROR_LEN + DOWNSTREAM_NAME_MAX + 100, KEY_SHOWN_LEN = 100 };

/* Names of statistics live as long as the process; there are as many as sinks. */
static const char *stat_name(const char *downstream)
{
    static char names[BATCHER_SINKS_MAX][DOWNSTREAM_NAME_MAX + 8];
    static size_t n;
    char name[DOWNSTREAM_NAME_MAX + 8];
    snprintf(name, sizeof(name), "rows.%s", downstream);
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return names[i];
    if (n == BATCHER_SINKS_MAX)
        return "rows.other";
    memcpy(names[n], name, sizeof(name));
    return names[n++];
}

bool landings_needed(const struct pipeline *p)
{
    for (size_t i = 0; i < p->spec->n_sinks; i++)
        if (p->spec->sinks[i].kind != SPEC_SINK_STORE)
            return true;
    return false;
}

bool landings_store_too(const struct pipeline *p)
{
    for (size_t i = 0; i < p->spec->n_sinks; i++)
        if (p->spec->sinks[i].kind == SPEC_SINK_STORE)
            return true;
    return false;
}

struct landings *landings_new(const struct pipeline *p, uint64_t job, uint64_t task,
                              struct output **output_take)
{
    struct landings *l = calloc(1, sizeof(*l) + p->spec->n_sinks * sizeof(l->list[0]));
    if (!l)
        return NULL;
    l->output = TAKE_PTR(*output_take);
    for (size_t i = 0; i < p->spec->n_sinks; i++) {
        const struct spec_sink *target = &p->spec->sinks[i];
        if (target->kind == SPEC_SINK_STORE)
            continue;
        struct landing *one = &l->list[l->n++];
        *one = (struct landing){.target = target,
                                .job = job,
                                .generation = p->generation,
                                .task = task,
                                .index = (uint32_t)i,
                                .rows = l->output->rows,
                                .user = l};
        memcpy(one->uid, p->uid, sizeof(one->uid));
    }
    return l;
}

void landings_free(struct landings *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->n; i++)
        landing_done(&l->list[i]);
    output_free(l->output);
    free(l);
}

bool landings_put(struct landings *l, struct batcher *b)
{
    /* All are counted first: the batcher's threads may be done with one before the next is put. */
    bool failed = false;
    l->left = l->n;
    for (size_t i = 0; i < l->n; i++) {
        struct error e = {0};
        if (batcher_put(b, &l->list[i], &e) == ERR_OK)
            continue;
        landing_fail(&l->list[i], LANDING_FAILED, "%s", e.detail);
        l->left--;
        failed = true;
    }
    if (failed)
        landings_withdraw(l, b);
    return l->left == 0;
}

void landings_withdraw(struct landings *l, struct batcher *b)
{
    for (size_t i = 0; i < l->n; i++)
        if (batcher_withdraw(b, &l->list[i]))
            l->left--;
}

struct landings *landings_back(struct landing *one, struct batcher *b)
{
    struct landings *l = one->user;
    assert(l->left > 0);
    l->left--;
    if (one->verdict != LANDING_DONE && one->verdict != LANDING_DUPLICATE)
        landings_withdraw(l, b);
    return l;
}

/* A row by its key, or by its first column. */
static void add_reject(struct landings *l, const struct landing *one, const char *downstream,
                       const struct landing_reject *r)
{
    char input[KEY_SHOWN_LEN + 200], detail[DETAIL_LEN];
    struct buf cell;
    const struct batch *b = one->rows;
    size_t column = 0;
    for (size_t i = 0; one->target->n_keys > 0 && i < b->n_columns; i++)
        if (strcmp(b->columns[i].name, one->target->keys[0]) == 0)
            column = i;
    buf_init(&cell, 0);
    batch_write_cell(b, column, r->row, &cell);
    const int n = snprintf(input, sizeof(input), "task %llu, row %u: %.60s=%.*s",
                           (unsigned long long)one->task, r->row + 1, b->columns[column].name,
                           (int)MIN(cell.len, (size_t)KEY_SHOWN_LEN), (const char *)cell.data);
    buf_done(&cell);
    snprintf(detail, sizeof(detail), "%s%s%s: %s", downstream, r->column ? ", column " : "",
             r->column ? r->column : "", r->detail ? r->detail : "");
    output_reject(l->output, (struct span){input, (size_t)MAX(n, 0)}, REASON_BAD_ROW, detail);
}

void landings_settle(struct landings *l)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct landing *one = &l->list[i];
        char downstream[DOWNSTREAM_NAME_MAX], detail[DETAIL_LEN];
        spec_sink_downstream(one->target, downstream);
        switch (one->verdict) {
        case LANDING_DONE:
            for (size_t r = 0; r < one->n_rejects; r++)
                add_reject(l, one, downstream, &one->rejects[r]);
            output_stat(l->output, stat_name(downstream), one->n_written);
            break;
        case LANDING_DUPLICATE:
            /* The attempt that landed it was never heard of, or this one would not have begun. */
            output_stat(l->output, stat_name(downstream), one->rows->n_rows);
            break;
        case LANDING_UNDECIDED:
            if (l->output->error == ERR_OK)
                pipeline_fail(l->output, ERR_STALE, REASON_STOPPED, "its rows were given back");
            break;
        /* FENCED: the coordinator fences when no lease of the job is left, so that it discards this. Were
         * there one all the same, going on would never end. */
        case LANDING_FENCED:
        case LANDING_FAILED:
            snprintf(detail, sizeof(detail), "%s: %s", downstream, one->error);
            pipeline_fail(l->output, ERR_INVALID_ARGUMENT, REASON_SINK, detail);
            break;
        }
    }
}
