/* store_sqlite_blob.c: which job uses which blob. */
#include "store_sqlite.h"

int store_sqlite_blob_use(struct store *base, uint64_t id, const struct blob_name *names, size_t n,
                          struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    struct store_sqlite_job *job = NULL;
    struct store_sqlite_op op;
    int code = store_sqlite_enter(s, true, e);
    if (code == 0)
        code = store_sqlite_job_load(s, id, &job, e);
    if (code == 0)
        code = store_sqlite_op_begin(&op, s, job, n > 1, e);
    if (code)
        return code;
    for (size_t i = 0; i < n && code == 0; i++) {
        SQ(q, s, BLOB_USE);
        sq_blob(&q, blob_name_span(&names[i]));
        sq_u64(&q, id);
        int rc = sq_step(&q);
        if (rc != SQLITE_DONE)
            code = store_sqlite_error(s, rc, "note the use of a blob", e);
    }
    return store_sqlite_op_end(&op, code, e);
}

int store_sqlite_blob_needed(struct store *base, const struct blob_name *names, size_t n, bool *ret,
                             struct error *e)
{
    struct store_sqlite *s = store_sqlite_of(base);
    int code = store_sqlite_enter(s, false, e);
    for (size_t i = 0; i < n && code == 0; i++) {
        SQ(q, s, BLOB_NEEDED);
        sq_blob(&q, blob_name_span(&names[i]));
        int rc = sq_step(&q);
        ret[i] = rc == SQLITE_ROW;
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            code = store_sqlite_error(s, rc, "look for the use of a blob", e);
    }
    return code;
}
