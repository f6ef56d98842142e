#include "group.h"

#include "agg.h"
#include "groupset.h"

struct group {
    const struct plan *plan;
    size_t limit_bytes;
    struct keyset set;
    struct store keys;         /* what each group's key was when it first came */
    struct arena memory;       /* of states */
    struct buf key;            /* a row's key as bytes */
    char **states;             /* of each aggregate, by group */
    struct groupset *distinct; /* of each aggregate that has one */
    uint64_t place;
    uint32_t cap;              /* groups that states have room for */
    uint32_t groups[VEC_ROWS]; /* of the rows of the block */
};

static bool has_set(const struct plan_agg *a)
{
    return a->distinct && a->agg->distinct == AGG_DISTINCT_SET;
}

static int full(const struct group *g, struct error *e)
{
    return error_set(e, ERR_LIMIT, "the groups need more than %zu bytes", g->limit_bytes);
}

int group_new(const struct plan *p, size_t limit_bytes, struct group **ret, struct error *e)
{
    struct group *g = calloc(1, sizeof *g);
    if (!g)
        return error_set(e, ERR_NOMEM, "groups");
    g->plan = p;
    g->limit_bytes = limit_bytes;
    keyset_init(&g->set, limit_bytes);
    arena_init(&g->memory, limit_bytes);
    buf_init(&g->key, 0);
    g->states = calloc(p->n_aggs + 1, sizeof *g->states);
    g->distinct = calloc(p->n_aggs + 1, sizeof *g->distinct);
    int rc = store_init(&g->keys, p->group_types, p->n_keys, limit_bytes);
    for (size_t i = 0; g->distinct && i < p->n_aggs && rc == ERR_OK; i++)
        if (has_set(&p->aggs[i]))
            rc = groupset_init(&g->distinct[i], p->aggs[i].agg, p->aggs[i].arg->type, limit_bytes);
    if (!g->states || !g->distinct || rc) {
        group_free(g);
        return error_set(e, ERR_NOMEM, "groups");
    }
    *ret = g;
    return ERR_OK;
}

void group_free(struct group *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->plan->n_aggs; i++) {
        if (g->states)
            free(g->states[i]);
        if (g->distinct)
            groupset_done(&g->distinct[i]);
    }
    free(g->states);
    free(g->distinct);
    keyset_done(&g->set);
    store_done(&g->keys);
    arena_done(&g->memory);
    buf_done(&g->key);
    free(g);
}

static size_t bytes_used(const struct group *g)
{
    size_t n = g->set.memory.used_bytes + g->memory.used_bytes + store_bytes(&g->keys);
    for (size_t i = 0; i < g->plan->n_aggs; i++)
        n += groupset_bytes(&g->distinct[i]) + (size_t)g->cap * g->plan->aggs[i].agg->state_bytes;
    return n;
}

/* Room for the states of n groups; new ones are zeros. */
static bool reserve(struct group *g, uint32_t n)
{
    if (n <= g->cap)
        return true;
    uint32_t cap = MAX(n, g->cap * 2);
    for (size_t i = 0; i < g->plan->n_aggs; i++) {
        size_t size = g->plan->aggs[i].agg->state_bytes;
        char *states = realloc(g->states[i], cap * size);
        if (!states)
            return false;
        memset(states + g->cap * size, 0, (cap - g->cap) * size);
        g->states[i] = states;
    }
    g->cap = cap;
    return bytes_used(g) <= g->limit_bytes;
}

static bool new_group(struct group *g, const struct vec *const *keys, uint32_t row)
{
    return store_add(&g->keys, keys, row) && reserve(g, g->keys.n);
}

/* One key of type text: its bytes are the key, and NULL is a key that no text can be. */
static bool find_by_text(struct group *g, const struct vec *key, const struct sel *sel)
{
    static const char null_key[VEC_PAD] = "\0null";
    bool is_new;
    SEL_EACH(sel, i)
    {
        struct span s = key->text[i];
        if (__builtin_expect(vec_is_null(key, i), 0))
            s = (struct span){null_key, 5};
        uint32_t number = keyset_find(&g->set, s);
        if (__builtin_expect(number == KEYSET_NONE, 0)) {
            number = keyset_put(&g->set, s, &is_new);
            if (number == KEYSET_NONE || !new_group(g, &key, i))
                return false;
        }
        g->groups[i] = number;
    }
    return true;
}

static bool encode_row(struct group *g, const struct vec *const *keys, uint32_t i,
                       struct arena *scratch)
{
    g->key.len = 0;
    for (size_t k = 0; k < g->plan->n_keys; k++)
        keyset_encode(keys[k], i, scratch, &g->key);
    return buf_reserve(&g->key, VEC_PAD) != NULL;
}

static bool find_groups(struct group *g, const struct vec *const *keys, const struct sel *sel,
                        struct arena *scratch)
{
    if (g->plan->n_keys == 1 && keys[0]->type == SQLTYPE_TEXT)
        return find_by_text(g, keys[0], sel);
    bool is_new;
    SEL_EACH(sel, i)
    {
        if (!encode_row(g, keys, i, scratch))
            return false;
        g->groups[i] = keyset_put(&g->set, buf_span(&g->key), &is_new);
        if (g->groups[i] == KEYSET_NONE || (is_new && !new_group(g, keys, i)))
            return false;
    }
    return true;
}

static int add_aggregate(struct group *g, size_t k, struct eval *v, const struct sel *sel,
                         struct error *e)
{
    const struct plan_agg *a = &g->plan->aggs[k];
    uint16_t filtered[VEC_ROWS], not_null[VEC_ROWS];
    struct sel rows = *sel;
    const struct vec *arg = NULL;
    if (a->filter)
        rows = eval_true(eval_run(v, a->filter, &rows), &rows, filtered);
    if (a->arg) {
        arg = eval_run(v, a->arg, &rows);
        rows = vec_not_null(arg, &rows, not_null);
    }
    bool ok = has_set(a)
                  ? groupset_add(&g->distinct[k], g->states[k], g->groups, arg, &rows, &g->memory,
                                 &v->scratch)
                  : a->agg->update(g->states[k], g->groups, arg, &rows, g->place, &g->memory);
    return ok ? ERR_OK
              : error_set(e, ERR_LIMIT, "%s: out of range, or no memory for its values",
                          a->agg->name);
}

void group_place(struct group *g, uint64_t place)
{
    g->place = place;
}

int group_add(struct group *g, struct eval *v, const struct sel *sel, struct error *e)
{
    const struct plan *p = g->plan;
    const struct vec *keys[PLAN_COLUMNS_MAX];
    uint16_t room[VEC_ROWS];
    /* What can go wrong in a row must do so before the row is counted anywhere. */
    for (size_t k = 0; k < p->n_keys; k++)
        keys[k] = eval_run(v, p->keys[k], sel);
    for (size_t k = 0; k < p->n_aggs; k++) {
        uint16_t filtered[VEC_ROWS];
        struct sel rows = *sel;
        if (p->aggs[k].filter)
            rows = eval_true(eval_run(v, p->aggs[k].filter, &rows), &rows, filtered);
        if (p->aggs[k].arg && p->aggs[k].arg->kind != EXPR_COLUMN)
            (void)eval_run(v, p->aggs[k].arg, &rows);
    }
    struct sel good = eval_good(v, sel, room);
    int rc = eval_check(v, e);
    if (rc)
        return rc;
    if (p->n_keys == 0) {
        if (!reserve(g, 1))
            return full(g, e);
        memset(g->groups, 0, sizeof g->groups);
    } else if (!find_groups(g, keys, &good, &v->scratch)) {
        return full(g, e);
    }
    for (size_t k = 0; k < p->n_aggs && rc == ERR_OK; k++)
        rc = add_aggregate(g, k, v, &good, e);
    return rc ? rc : g->memory.failed ? full(g, e) : eval_check(v, e);
}

/* Numbers of the other's groups here; a group that is new here is taken over. cells: a vector for
 * each key. */
static int map_groups(struct group *g, const struct group *from, struct vec *cells, uint32_t *map,
                      struct error *e)
{
    const struct vec *keys[PLAN_COLUMNS_MAX];
    for (size_t c = 0; c < g->plan->n_keys; c++)
        keys[c] = &cells[c];
    for (uint32_t i = 0; i < from->set.n; i++) {
        const struct keyset_entry *k = &from->set.entries[i];
        bool is_new;
        map[i] = keyset_put(&g->set, (struct span){k->p, k->len}, &is_new);
        if (map[i] == KEYSET_NONE)
            return full(g, e);
        if (!is_new)
            continue;
        for (size_t c = 0; c < g->plan->n_keys; c++)
            store_load(&from->keys, c, NULL, i, 1, &cells[c]);
        if (!new_group(g, keys, 0))
            return full(g, e);
    }
    return ERR_OK;
}

static void free_cells(const struct group *g, struct vec *cells)
{
    for (size_t c = 0; cells && c < g->plan->n_keys; c++)
        vec_done(&cells[c]);
    free(cells);
}

/* A vector for each key; NULL: no memory. */
static struct vec *new_cells(const struct group *g)
{
    struct vec *cells = calloc(g->plan->n_keys + 1, sizeof *cells);
    for (size_t c = 0; cells && c < g->plan->n_keys; c++) {
        if (vec_init(&cells[c], g->plan->group_types[c])) {
            free_cells(g, cells);
            return NULL;
        }
    }
    return cells;
}

static int merge_keys(struct group *g, const struct group *from, uint32_t *map, struct error *e)
{
    struct vec *cells = new_cells(g);
    int rc = cells ? map_groups(g, from, cells, map, e) : error_set(e, ERR_NOMEM, "groups");
    free_cells(g, cells);
    return rc;
}

int group_merge(struct group *g, const struct group *from, struct error *e)
{
    const struct plan *p = g->plan;
    uint32_t n = p->n_keys > 0 ? from->set.n : MIN(from->cap, 1u);
    uint32_t *map = calloc((size_t)n + 1, sizeof *map);
    int rc = map ? ERR_OK : error_set(e, ERR_NOMEM, "groups");
    if (rc == ERR_OK && p->n_keys > 0)
        rc = merge_keys(g, from, map, e);
    if (rc == ERR_OK && p->n_keys == 0 && n > 0 && !reserve(g, 1))
        rc = full(g, e);
    for (size_t k = 0; k < p->n_aggs && rc == ERR_OK; k++) {
        const struct agg *a = p->aggs[k].agg;
        bool ok = true;
        if (has_set(&p->aggs[k]))
            ok = groupset_merge(&g->distinct[k], g->states[k], &from->distinct[k], from->states[k],
                                map, n, &g->memory);
        else
            for (uint32_t i = 0; i < n && ok; i++)
                ok = a->merge(g->states[k] + map[i] * a->state_bytes,
                              from->states[k] + i * a->state_bytes, &g->memory);
        if (!ok || g->memory.failed)
            rc = full(g, e);
    }
    free(map);
    return rc;
}

/* ---- as bytes ---- */

static void save_group(const struct group *g, uint32_t i, const struct groupset_order *sets,
                       struct vec *cells, struct buf *out)
{
    for (size_t c = 0; c < g->plan->n_keys; c++) {
        store_load(&g->keys, c, NULL, i, 1, &cells[c]);
        state_put(out, &cells[c], 0);
    }
    for (size_t k = 0; k < g->plan->n_aggs; k++) {
        const struct agg *a = g->plan->aggs[k].agg;
        const char *state = g->states[k] + i * a->state_bytes;
        if (has_set(&g->plan->aggs[k]))
            groupset_save(&g->distinct[k], &sets[k], i, state, out);
        else
            a->save(state, out);
    }
}

int group_save(const struct group *g, struct buf *out, struct error *e)
{
    const struct plan *p = g->plan;
    uint32_t n = p->n_keys > 0 ? g->set.n : MIN(g->cap, 1u);
    struct vec *cells = new_cells(g);
    struct groupset_order *sets = calloc(p->n_aggs + 1, sizeof *sets);
    bool ok = cells && sets;
    for (size_t k = 0; k < p->n_aggs && ok; k++)
        ok = !has_set(&p->aggs[k]) || groupset_sort(&g->distinct[k], n, &sets[k]);
    int rc = ok ? ERR_OK : error_set(e, ERR_NOMEM, "groups");
    for (uint32_t i = 0; i < n && rc == ERR_OK && buf_ok(out); i++)
        save_group(g, i, sets, cells, out);
    for (size_t k = 0; sets && k < p->n_aggs; k++) {
        free(sets[k].first);
        free(sets[k].entries);
    }
    free(sets);
    free_cells(g, cells);
    return rc;
}

/* state: memory for one of any aggregate. */
static bool take_states(struct group *g, uint32_t group, struct state_in *in, char *state)
{
    bool ok = true;
    for (size_t k = 0; k < g->plan->n_aggs && ok; k++) {
        const struct agg *a = g->plan->aggs[k].agg;
        memset(state, 0, a->state_bytes);
        if (has_set(&g->plan->aggs[k]))
            ok = groupset_load(&g->distinct[k], g->states[k], group, &in->u, &g->memory);
        else
            ok = a->load(state, &in->u, &in->arena) &&
                 a->merge(g->states[k] + group * a->state_bytes, state, &g->memory);
    }
    return ok && !g->memory.failed;
}

static int take_record(struct group *g, struct state_in *in, struct vec *cells, char *state,
                       struct error *e)
{
    const struct sel one = {NULL, 1};
    const struct vec *keys[PLAN_COLUMNS_MAX];
    for (size_t c = 0; c < g->plan->n_keys; c++) {
        vec_no_nulls(&cells[c]);
        state_get(in, &cells[c], 0);
        keys[c] = &cells[c];
    }
    int rc = state_in_check(in, e);
    if (rc)
        return rc;
    g->groups[0] = 0;
    bool ok = g->plan->n_keys > 0 ? find_groups(g, keys, &one, &in->arena) : reserve(g, 1);
    ok = ok && take_states(g, g->groups[0], in, state);
    rc = state_in_check(in, e);
    arena_clear(&in->arena);
    return rc == ERR_OK && !ok ? full(g, e) : rc;
}

int group_take(struct group *g, struct state_in *in, struct error *e)
{
    size_t state_bytes = 1;
    for (size_t k = 0; k < g->plan->n_aggs; k++)
        state_bytes = MAX(state_bytes, g->plan->aggs[k].agg->state_bytes);
    char *state = malloc(state_bytes);
    struct vec *cells = new_cells(g);
    int rc = state && cells ? ERR_OK : error_set(e, ERR_NOMEM, "groups");
    while (rc == ERR_OK && state_in_more(in))
        rc = take_record(g, in, cells, state, e);
    free(state);
    free_cells(g, cells);
    return rc;
}

/* ---- results ---- */

uint32_t group_count(struct group *g)
{
    return g->plan->n_keys > 0 ? g->set.n : 1;
}

int group_load(struct group *g, uint32_t first, uint32_t n, struct eval *v, struct error *e)
{
    const struct plan *p = g->plan;
    if (!reserve(g, MAX(first + n, 1u))) /* no row came: the one group has no states yet */
        return full(g, e);
    for (size_t k = 0; k < p->n_keys; k++)
        store_load(&g->keys, k, NULL, first, n, &v->columns[k]);
    for (size_t k = 0; k < p->n_aggs; k++) {
        const struct agg *a = p->aggs[k].agg;
        struct vec *to = &v->columns[p->n_keys + k];
        vec_no_nulls(to);
        to->ascii = false;
        to->scale = to->type == SQLTYPE_NUMERIC ? VEC_MIXED : 0;
        for (uint32_t i = 0; i < n; i++)
            if (!a->finish(g->states[k] + (first + i) * a->state_bytes, to, i, &v->scratch))
                return error_set(e, ERR_LIMIT, "%s: the result is out of range", a->name);
    }
    return ERR_OK;
}
