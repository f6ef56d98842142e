#include "join.h"

int join_init(struct join *j, const struct plan *p, const struct lookup_index *indexes)
{
    *j = (struct join){.plan = p, .indexes = indexes};
    buf_init(&j->key, 0);
    j->levels = calloc(p->n_joins + 1, sizeof *j->levels);
    for (size_t i = 0; j->levels && i < p->n_joins; i++)
        arena_init(&j->levels[i].scratch, EVAL_SCRATCH_MAX);
    return j->levels ? ERR_OK : ERR_NOMEM;
}

void join_done(struct join *j)
{
    for (size_t i = 0; j->levels && i < j->plan->n_joins; i++)
        arena_done(&j->levels[i].scratch);
    free(j->levels);
    buf_done(&j->key);
    *j = (struct join){0};
}

struct walk {
    struct join *join;
    struct eval *v;
    join_rows_fn *rows;
    join_report_fn *report;
    void *user;
    struct error *e;
};

/* The columns of the table that the query uses, of the rows that are matched. */
static void fill(const struct walk *w, size_t level, const struct sel *sel)
{
    const struct plan *p = w->join->plan;
    const struct lookup_index *x = &w->join->indexes[level];
    for (size_t c = 0; c < p->n_columns; c++)
        if (p->columns[c].join == (int32_t)level && p->columns[c].type != SQLTYPE_OPEN)
            store_gather(&x->table->rows, p->columns[c].field, w->join->levels[level].at, sel,
                         &w->v->columns[c]);
}

static int from_level(const struct walk *w, size_t level, const struct sel *sel);

/* One round: scratch memory of its own, which is free again for the next. */
static int round_of(const struct walk *w, size_t level, const struct sel *sel)
{
    struct eval *v = w->v;
    struct join_level *l = &w->join->levels[level];
    struct arena outer = v->scratch;
    char *room = v->room, *room_end = v->room_end;
    fill(w, level, sel);
    v->scratch = l->scratch;
    v->room = v->room_end = NULL;
    int rc = from_level(w, level + 1, sel);
    if (rc == ERR_OK)
        rc = eval_check(v, w->e);
    arena_clear(&v->scratch);
    l->scratch = v->scratch;
    v->scratch = outer;
    v->room = room;
    v->room_end = room_end;
    return rc;
}

static int find(const struct walk *w, size_t level, struct sel *sel, uint16_t *room)
{
    const struct plan_join *join = &w->join->plan->joins[level];
    const struct vec *keys[PLAN_JOIN_KEYS_MAX];
    struct eval *v = w->v;
    for (size_t k = 0; k < join->n_keys; k++)
        keys[k] = eval_run(v, join->keys[k], sel);
    int rc = eval_check(v, w->e);
    if (rc)
        return rc;
    *sel = eval_good(v, sel, room);
    if (!lookup_find(&w->join->indexes[level], keys, join->n_keys, sel, &v->scratch, &w->join->key,
                     w->join->levels[level].at))
        return error_set(w->e, ERR_NOMEM, "join");
    return w->report(w->user, w->e);
}

static int from_level(const struct walk *w, size_t level, const struct sel *all)
{
    const struct plan *p = w->join->plan;
    if (level == p->n_joins) {
        int rc = all->n > 0 ? w->rows(w->user, all, w->e) : ERR_OK;
        return rc ? rc : w->report(w->user, w->e);
    }
    uint16_t good[VEC_ROWS], matched[VEC_ROWS];
    struct sel sel = *all;
    uint32_t *at = w->join->levels[level].at;
    bool unmatched = p->joins[level].left; /* go along, in the first round */
    int rc = find(w, level, &sel, good);
    while (rc == ERR_OK) {
        uint32_t n = 0;
        SEL_EACH(&sel, i)
        {
            matched[n] = (uint16_t)i;
            n += unmatched || at[i] != LOOKUP_NONE;
        }
        if (n == 0)
            break;
        rc = round_of(w, level, &(struct sel){matched, n});
        unmatched = false;
        SEL_EACH(&sel, i)
        if (at[i] != LOOKUP_NONE)
            at[i] = lookup_next(&w->join->indexes[level], at[i]);
    }
    return rc;
}

int join_run(struct join *j, struct eval *v, const struct sel *sel, join_rows_fn *rows,
             join_report_fn *report, void *user, struct error *e)
{
    const struct walk w = {j, v, rows, report, user, e};
    return from_level(&w, 0, sel);
}
