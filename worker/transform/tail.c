#include "tail.h"

enum { KEPT_MIN = 4096 }; /* rows before a LIMIT throws the worst away */

static int full(const struct tail *t, struct error *e)
{
    return error_set(e, ERR_LIMIT, "DISTINCT, ORDER BY or LIMIT needs more than %zu bytes",
                     t->limit_bytes);
}

static int new_store(const struct tail *t, struct store *s)
{
    const struct plan *p = t->plan;
    enum sqltype types[PLAN_COLUMNS_MAX];
    for (size_t k = 0; k < p->n_results; k++)
        types[k] = p->results[k].expr->type;
    return store_init(s, types, p->n_results, t->limit_bytes);
}

bool tail_keeps(const struct plan *p)
{
    return p->n_order > 0 ||
           (!p->grouped && (p->distinct || p->limit != PLAN_LIMIT_NONE || p->offset > 0));
}

static int make_cells(struct tail *t)
{
    const struct plan *p = t->plan;
    if (t->cells)
        return ERR_OK;
    t->cells = calloc(p->n_results + 1, sizeof *t->cells);
    t->columns = calloc(p->n_results + 1, sizeof *t->columns);
    int rc = t->cells && t->columns ? ERR_OK : ERR_NOMEM;
    for (size_t k = 0; k < p->n_results && rc == ERR_OK; k++) {
        rc = vec_init(&t->cells[k], p->results[k].expr->type);
        t->columns[k] = &t->cells[k];
    }
    return rc;
}

int tail_init(struct tail *t, const struct plan *p, struct sink *sink, size_t limit_bytes,
              struct error *e)
{
    *t = (struct tail){.plan = p, .sink = sink, .limit_bytes = limit_bytes};
    keyset_init(&t->seen, limit_bytes);
    buf_init(&t->key, 0);
    arena_init(&t->scratch, limit_bytes);
    int rc = new_store(t, &t->kept);
    if (rc == ERR_OK && tail_keeps(t->plan))
        rc = make_cells(t);
    t->full = p->limit == 0;
    if (rc == ERR_OK)
        return ERR_OK;
    tail_done(t);
    return error_set(e, ERR_NOMEM, "results");
}

void tail_done(struct tail *t)
{
    for (size_t k = 0; t->cells && k < t->plan->n_results; k++)
        vec_done(&t->cells[k]);
    free(t->cells);
    free(t->columns);
    keyset_done(&t->seen);
    buf_done(&t->key);
    store_done(&t->kept);
    arena_done(&t->scratch);
    *t = (struct tail){0};
}

/* OFFSET and LIMIT, then the sink. */
static int pass(struct tail *t, const struct vec *const *results, const struct sel *sel,
                struct error *e)
{
    const struct plan *p = t->plan;
    if (p->limit == PLAN_LIMIT_NONE && p->offset == 0)
        return t->sink->rows(t->sink, results, sel, e);
    uint16_t room[VEC_ROWS];
    struct sel rows = {room, 0};
    SEL_EACH(sel, i)
    {
        if (t->skipped < p->offset) {
            t->skipped++;
        } else if (p->limit == PLAN_LIMIT_NONE || t->passed < p->limit) {
            t->passed++;
            room[rows.n++] = (uint16_t)i;
        }
    }
    t->full = p->limit != PLAN_LIMIT_NONE && t->passed >= p->limit;
    return rows.n > 0 ? t->sink->rows(t->sink, results, &rows, e) : ERR_OK;
}

/* The rows of sel that were not seen before. */
static bool only_new(struct tail *t, const struct vec *const *results, struct sel *sel,
                     struct arena *scratch, uint16_t *room)
{
    uint32_t n = 0;
    bool is_new;
    SEL_EACH(sel, i)
    {
        t->key.len = 0;
        for (size_t k = 0; k < t->plan->n_shown; k++)
            keyset_encode(results[k], i, scratch, &t->key);
        if (!buf_reserve(&t->key, VEC_PAD) ||
            keyset_put(&t->seen, buf_span(&t->key), &is_new) == KEYSET_NONE)
            return false;
        room[n] = (uint16_t)i;
        n += is_new;
    }
    *sel = (struct sel){room, n};
    return !scratch->failed;
}

static int compare(const void *a, const void *b, void *user)
{
    const uint32_t *x = a, *y = b;
    struct tail *t = user;
    if (!t->scratch.failed)
        arena_clear(&t->scratch);
    for (size_t k = 0; k < t->plan->n_order; k++) {
        const struct plan_order *by = &t->plan->order[k];
        int order = store_compare(&t->kept, by->result, *x, *y, by->nulls_first, by->descending,
                                  &t->scratch);
        if (order)
            return order;
    }
    return (*x > *y) - (*x < *y); /* equal rows stay in the order of their coming */
}

static uint32_t *sorted(struct tail *t)
{
    uint32_t *rows = malloc(((size_t)t->kept.n + 1) * sizeof *rows);
    for (uint32_t i = 0; rows && i < t->kept.n; i++)
        rows[i] = i;
    if (rows)
        qsort_r(rows, t->kept.n, sizeof *rows, compare, t);
    if (t->scratch.failed) { /* what could not be compared stands anywhere */
        free(rows);
        rows = NULL;
    }
    arena_clear(&t->scratch);
    return rows;
}

/* Keeps the best `want` rows. */
static bool prune(struct tail *t, uint32_t want)
{
    struct store best;
    uint32_t *rows = sorted(t);
    if (!rows)
        return false;
    bool ok = new_store(t, &best) == ERR_OK;
    for (uint32_t first = 0; first < want && ok; first += VEC_ROWS) {
        uint32_t n = MIN((uint32_t)VEC_ROWS, want - first);
        for (size_t k = 0; k < t->plan->n_results; k++)
            store_load(&t->kept, k, rows, first, n, &t->cells[k]);
        for (uint32_t i = 0; i < n && ok; i++)
            ok = store_add(&best, t->columns, i);
    }
    free(rows);
    if (!ok) {
        store_done(&best);
        return false;
    }
    store_done(&t->kept);
    t->kept = best;
    return true;
}

/* How many of the kept rows can still be results; UINT32_MAX: all. */
static uint32_t wanted(const struct plan *p)
{
    if (p->limit == PLAN_LIMIT_NONE || p->limit > UINT32_MAX / 4 || p->offset > UINT32_MAX / 4)
        return UINT32_MAX;
    return (uint32_t)(p->limit + p->offset);
}

int tail_rows(struct tail *t, const struct vec *const *results, const struct sel *sel,
              struct arena *scratch, struct error *e)
{
    const struct plan *p = t->plan;
    uint16_t room[VEC_ROWS];
    struct sel rows = *sel;
    if (t->full || rows.n == 0)
        return ERR_OK;
    if (p->distinct && !only_new(t, results, &rows, scratch, room))
        return full(t, e);
    if (!tail_keeps(t->plan))
        return pass(t, results, &rows, e);
    uint32_t want = wanted(p);
    if (p->n_order == 0) { /* the first ones are as good as any */
        rows.n = MIN(rows.n, want - t->kept.n);
        t->full = t->kept.n + rows.n == want;
    }
    SEL_EACH(&rows, i)
    if (!store_add(&t->kept, results, i))
        return full(t, e);
    if (want != UINT32_MAX && t->kept.n > MAX(want * 2, (uint32_t)KEPT_MIN) && !prune(t, want))
        return full(t, e);
    return ERR_OK;
}

int tail_merge(struct tail *t, const struct tail *from, struct error *e)
{
    int rc = make_cells(t) ? error_set(e, ERR_NOMEM, "results") : ERR_OK;
    for (uint32_t first = 0; first < from->kept.n && rc == ERR_OK; first += VEC_ROWS) {
        struct sel all = {NULL, MIN((uint32_t)VEC_ROWS, from->kept.n - first)};
        for (size_t k = 0; k < t->plan->n_results; k++)
            store_load(&from->kept, k, NULL, first, all.n, &t->cells[k]);
        rc = tail_rows(t, t->columns, &all, &t->scratch, e);
        arena_clear(&t->scratch);
    }
    return rc;
}

int tail_save(struct tail *t, struct buf *out, struct error *e)
{
    uint32_t want = wanted(t->plan);
    if (t->kept.n > want && !prune(t, want))
        return full(t, e);
    for (uint32_t first = 0; first < t->kept.n && buf_ok(out); first += VEC_ROWS) {
        uint32_t n = MIN((uint32_t)VEC_ROWS, t->kept.n - first);
        for (size_t k = 0; k < t->plan->n_results; k++)
            store_load(&t->kept, k, NULL, first, n, &t->cells[k]);
        for (uint32_t i = 0; i < n; i++)
            for (size_t k = 0; k < t->plan->n_results; k++)
                state_put(out, &t->cells[k], i);
    }
    return ERR_OK;
}

int tail_take(struct tail *t, struct state_in *in, struct error *e)
{
    int rc = make_cells(t) ? error_set(e, ERR_NOMEM, "results") : ERR_OK;
    while (rc == ERR_OK && state_in_more(in)) {
        struct sel all = {NULL, 0};
        for (size_t k = 0; k < t->plan->n_results; k++)
            vec_no_nulls(&t->cells[k]);
        for (; all.n < VEC_ROWS && state_in_more(in); all.n++)
            for (size_t k = 0; k < t->plan->n_results; k++)
                state_get(in, &t->cells[k], all.n);
        rc = state_in_check(in, e);
        if (rc == ERR_OK)
            rc = tail_rows(t, t->columns, &all, &in->arena, e);
        arena_clear(&in->arena);
    }
    return rc;
}

int tail_end(struct tail *t, struct error *e)
{
    if (t->kept.n == 0)
        return ERR_OK;
    t->full = false;
    uint32_t *rows = sorted(t);
    int rc = rows ? ERR_OK : full(t, e);
    for (uint32_t first = 0; rows && first < t->kept.n && rc == ERR_OK && !t->full;
         first += VEC_ROWS) {
        uint32_t n = MIN((uint32_t)VEC_ROWS, t->kept.n - first);
        struct sel all = {NULL, n};
        for (size_t k = 0; k < t->plan->n_results; k++) {
            store_load(&t->kept, k, rows, first, n, &t->cells[k]);
            if (t->cells[k].type == SQLTYPE_NUMERIC)
                vec_settle_scale(&t->cells[k], &all);
        }
        rc = pass(t, t->columns, &all, e);
    }
    free(rows);
    return rc;
}
