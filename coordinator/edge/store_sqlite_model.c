/* store_sqlite_model.c: named models and their versions. */
#include "store_sqlite.h"

/* A row of STORE_SQLITE_MODEL. False: no memory, or bytes that are no name of a blob. */
static bool read_model(struct sq *q, struct arena *arena, struct store_model *ret,
                       bool *ret_removed)
{
    struct store_model m = {0};
    struct span blob, sample;
    if (!store_sqlite_sql_get(q, arena, &m.name))
        return false;
    m.version = sq_get_u64(q);
    *ret_removed = sq_get_i64(q) != 0;
    if (!store_sqlite_sql_get(q, arena, &blob) || !store_sqlite_sql_get(q, arena, &sample))
        return false;
    m.tolerance = sqlite3_column_double(q->stmt, q->column++);
    if (!store_sqlite_sql_get(q, arena, &m.info))
        return false;
    m.created_ms = sq_get_i64(q);
    m.has_sample = sample.len > 0;
    if (!*ret_removed && !blob_name_read(blob, &m.blob))
        return false;
    if (m.has_sample && !blob_name_read(sample, &m.sample))
        return false;
    *ret = m;
    return true;
}

static bool same_model(const struct store_model *a, const struct store_model *b)
{
    return blob_name_eq(&a->blob, &b->blob) && a->has_sample == b->has_sample &&
           (!a->has_sample || (blob_name_eq(&a->sample, &b->sample) &&
                               memcmp(&a->tolerance, &b->tolerance, sizeof(double)) == 0)) &&
           span_eq(a->info, b->info);
}

static int insert(struct store_sqlite *s, const struct store_model *in, uint64_t version,
                  struct error *e)
{
    SQ(count, s, MODEL_COUNT);
    int rc = sq_step(&count);
    if (rc != SQLITE_ROW)
        return store_sqlite_error(s, rc, "count models", e);
    if (sq_get_i64(&count) >= STORE_MODELS_MAX)
        return error_set(e, ERR_LIMIT, "there are %d versions of models; remove some first",
                         STORE_MODELS_MAX);
    SQ(q, s, MODEL_INSERT);
    sq_text(&q, in->name);
    sq_u64(&q, version);
    sq_blob(&q, blob_name_span(&in->blob));
    sq_blob(&q, in->has_sample ? blob_name_span(&in->sample) : SPAN(""));
    sq_keep(&q, sqlite3_bind_double(q.stmt, ++q.column, in->tolerance));
    sq_blob(&q, in->info);
    sq_i64(&q, in->created_ms);
    rc = sq_step(&q);
    return rc == SQLITE_DONE ? 0 : store_sqlite_error(s, rc, "add a model", e);
}

/* Looks at one version, or the newest; *ret_found: there is (or was) one. */
static int look(struct store_sqlite *s, const struct store_model *in, struct arena *arena,
                struct store_model *ret, bool *ret_removed, bool *ret_found, struct error *e)
{
    SQ(one, s, MODEL_GET);
    SQ(newest, s, MODEL_NEWEST);
    struct sq *q = in->version ? &one : &newest;
    sq_text(q, in->name);
    if (in->version)
        sq_u64(q, in->version);
    int rc = sq_step(q);
    *ret_found = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW && !read_model(q, arena, ret, ret_removed))
        return store_sqlite_no_memory(e);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : store_sqlite_error(s, rc, "find a model", e);
}

int store_sqlite_model_add(struct store *base, const struct store_model *in, uint64_t *ret_version,
                           bool *ret_existing, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    struct store_model there;
    bool found = false, removed = false, same = false;
    CLEANUP(arena_done) struct arena arena;
    arena_init(&arena, 0);
    int code = store_sqlite_enter(s, true, e);
    if (code == 0)
        code = look(s, in, &arena, &there, &removed, &found, e);
    if (code)
        return code;
    same = found && !removed && same_model(&there, in);
    uint64_t version = in->version ? in->version : !found ? 1 : there.version + (same ? 0 : 1);
    if (in->version && found && !same)
        return error_set(e, ERR_WRONG_STATE,
                         "version %llu of %.*s %s; give another number, or none",
                         (unsigned long long)version, (int)MIN(in->name.len, (size_t)100),
                         in->name.p, removed ? "was removed" : "is another model");
    code = same ? 0 : insert(s, in, version, e);
    if (code)
        return code;
    *ret_version = version;
    *ret_existing = same;
    return 0;
}

int store_sqlite_model_remove(struct store *base, struct span name, uint64_t version,
                              struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    int code = store_sqlite_enter(s, true, e);
    if (code)
        return code;
    SQ(q, s, MODEL_REMOVE);
    sq_text(&q, name);
    sq_u64(&q, version);
    int rc = sq_step(&q);
    if (rc != SQLITE_DONE)
        return store_sqlite_error(s, rc, "remove a model", e);
    if (sqlite3_changes(s->db) > 0)
        return 0;
    int n = (int)MIN(name.len, (size_t)100);
    return version ? error_set(e, ERR_NOT_FOUND, "there is no version %llu of a model named %.*s",
                               (unsigned long long)version, n, name.p)
                   : error_set(e, ERR_NOT_FOUND, "there is no model named %.*s", n, name.p);
}

int store_sqlite_model_list(struct store *base, struct arena *arena, struct store_model **ret,
                            size_t *ret_n, struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    int code = store_sqlite_enter(s, false, e);
    if (code)
        return code;
    SQ(q, s, MODEL_LIST);
    struct store_model *list = arena_alloc(arena, STORE_MODELS_MAX * sizeof(*list));
    size_t n = 0;
    bool removed;
    int rc = SQLITE_DONE;
    while (list && n < STORE_MODELS_MAX && (rc = sq_step(&q)) == SQLITE_ROW)
        if (!read_model(&q, arena, &list[n++], &removed))
            return store_sqlite_no_memory(e);
    if (!list)
        return store_sqlite_no_memory(e);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        return store_sqlite_error(s, rc, "list models", e);
    *ret = list;
    *ret_n = n;
    return 0;
}
