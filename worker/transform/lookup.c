#include "lookup.h"

static int take_rows(struct sink *sink, const struct vec *const *columns, const struct sel *sel,
                     struct error *e)
{
    struct lookup *l = (struct lookup *)(void *)sink;
    SEL_EACH(sel, i)
    {
        if (l->rows.n == LOOKUP_ROWS_MAX)
            return error_set(e, ERR_LIMIT, "the table %s has more than %d rows", l->name,
                             LOOKUP_ROWS_MAX);
        if (!store_add(&l->rows, columns, i))
            return error_set(e, ERR_LIMIT, "the table %s needs more than %d bytes", l->name,
                             LOOKUP_BYTES_MAX);
    }
    return ERR_OK;
}

int lookup_init(struct lookup *l, const char *name, const enum sqltype *types, size_t n)
{
    *l = (struct lookup){.sink.rows = take_rows, .name = name};
    return store_init(&l->rows, types, n, LOOKUP_BYTES_MAX);
}

void lookup_done(struct lookup *l)
{
    store_done(&l->rows);
    *l = (struct lookup){0};
}

/* The bytes of a key into the buffer; one text is its own bytes. False: a part of it is NULL. */
static bool key_of(const struct vec *const *keys, size_t n, uint32_t i, struct arena *scratch,
                   struct buf *key, struct span *ret)
{
    for (size_t k = 0; k < n; k++)
        if (vec_is_null(keys[k], i))
            return false;
    if (n == 1 && keys[0]->type == SQLTYPE_TEXT) {
        *ret = keys[0]->text[i];
        return true;
    }
    key->len = 0;
    for (size_t k = 0; k < n; k++)
        keyset_encode(keys[k], i, scratch, key);
    (void)buf_reserve(key, VEC_PAD);
    *ret = buf_span(key);
    return true;
}

/* The rows of a piece, whose key columns are loaded, into their chains. */
static bool index_piece(struct lookup_index *x, const struct vec *const *keys, size_t n_keys,
                        uint32_t first, uint32_t n, struct arena *scratch, struct buf *key)
{
    for (uint32_t i = 0; i < n; i++) {
        struct span bytes;
        bool is_new;
        uint32_t row = first + i;
        x->next[row] = LOOKUP_NONE;
        if (!key_of(keys, n_keys, i, scratch, key, &bytes))
            continue;
        uint32_t number = buf_ok(key) ? keyset_put(&x->keys, bytes, &is_new) : KEYSET_NONE;
        if (number == KEYSET_NONE)
            return false;
        if (is_new)
            x->first[number] = row;
        else
            x->next[x->last[number]] = row;
        x->last[number] = row;
    }
    return !scratch->failed;
}

static bool index_all(struct lookup_index *x, const struct lookup *l, const uint32_t *columns,
                      size_t n_keys, struct vec *cells)
{
    const struct vec *keys[BATCH_COLUMNS_MAX];
    struct arena scratch;
    struct buf key;
    bool ok = true;
    arena_init(&scratch, LOOKUP_BYTES_MAX);
    buf_init(&key, 0);
    for (size_t k = 0; k < n_keys; k++)
        keys[k] = &cells[k];
    for (uint32_t first = 0; first < l->rows.n && ok; first += VEC_ROWS) {
        uint32_t n = MIN((uint32_t)VEC_ROWS, l->rows.n - first);
        for (size_t k = 0; k < n_keys; k++)
            store_load(&l->rows, columns[k], NULL, first, n, &cells[k]);
        ok = index_piece(x, keys, n_keys, first, n, &scratch, &key);
        arena_clear(&scratch);
    }
    buf_done(&key);
    arena_done(&scratch);
    return ok;
}

int lookup_index_init(struct lookup_index *x, const struct lookup *l, const uint32_t *columns,
                      size_t n_keys, struct error *e)
{
    size_t n = (size_t)l->rows.n + 1;
    *x = (struct lookup_index){.table = l};
    keyset_init(&x->keys, LOOKUP_BYTES_MAX);
    x->first = calloc(n, sizeof *x->first);
    x->last = calloc(n, sizeof *x->last);
    x->next = calloc(n, sizeof *x->next);
    struct vec *cells = calloc(n_keys + 1, sizeof *cells);
    bool ok = x->first && x->last && x->next && cells;
    for (size_t k = 0; k < n_keys && ok; k++)
        ok = vec_init(&cells[k], l->rows.columns[columns[k]].type) == ERR_OK;
    int rc = ok ? ERR_OK : error_set(e, ERR_NOMEM, "the table %s", l->name);
    if (rc == ERR_OK && !index_all(x, l, columns, n_keys, cells))
        rc = error_set(e, ERR_LIMIT, "the index of the table %s needs more than %d bytes", l->name,
                       LOOKUP_BYTES_MAX);
    for (size_t k = 0; cells && k < n_keys; k++)
        vec_done(&cells[k]);
    free(cells);
    if (rc)
        lookup_index_done(x);
    return rc;
}

void lookup_index_done(struct lookup_index *x)
{
    keyset_done(&x->keys);
    free(x->first);
    free(x->last);
    free(x->next);
    *x = (struct lookup_index){0};
}

bool lookup_find(const struct lookup_index *x, const struct vec *const *keys, size_t n_keys,
                 const struct sel *sel, struct arena *scratch, struct buf *key,
                 uint32_t at[VEC_ROWS])
{
    SEL_EACH(sel, i)
    {
        struct span bytes;
        uint32_t number = KEYSET_NONE;
        if (key_of(keys, n_keys, i, scratch, key, &bytes))
            number = keyset_find(&x->keys, bytes);
        at[i] = number == KEYSET_NONE ? LOOKUP_NONE : x->first[number];
    }
    return buf_ok(key) && !scratch->failed;
}
