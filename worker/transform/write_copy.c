#include "write_copy.h"

#include <endian.h>

#include "common/pgnum.h"

/* "COPY, Binary Format": a signature, flags, no extension. */
static const char header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0";

enum { EPOCH_DAYS = 10957 /* 2000-01-01, from which PostgreSQL counts */ };

static uint8_t *put_u16(uint8_t *to, uint16_t v)
{
    v = htobe16(v);
    memcpy(to, &v, sizeof v);
    return to + sizeof v;
}

static uint8_t *put_u32(uint8_t *to, uint32_t v)
{
    v = htobe32(v);
    memcpy(to, &v, sizeof v);
    return to + sizeof v;
}

static uint8_t *put_u64(uint8_t *to, uint64_t v)
{
    v = htobe64(v);
    memcpy(to, &v, sizeof v);
    return to + sizeof v;
}

/* ---- fields: at most PGNUM_ROOM bytes, but for texts and long decimals ---- */

static uint8_t *put_text(uint8_t *to, struct span s)
{
    to = put_u32(to, (uint32_t)s.len);
    memcpy(to, s.p, s.len);
    return to + s.len;
}

static uint8_t *put_num(struct write_copy *w, uint8_t *to, struct num x)
{
    const uint64_t m = x.m < 0 ? -(uint64_t)x.m : (uint64_t)x.m;
    struct buf text = {0}, field = {0};
    if (!x.big)
        return pgnum_put(to, m, x.m < 0, x.scale);
    big_text(x.big, &text);
    const struct span s = buf_span(&text);
    if (buf_ok(&text))
        pgnum_put_digits(&field, (struct span){s.p + x.big->neg, s.len - x.big->neg}, x.big->neg,
                         0);
    if (buf_ok(&text) && buf_ok(&field))
        to = mempcpy(to, field.data, field.len);
    else
        w->out.failed = true;
    buf_done(&text);
    buf_done(&field);
    return to;
}

static inline uint8_t *put_field(struct write_copy *w, uint8_t *to, const struct vec *v, uint32_t i)
{
    if (__builtin_expect(vec_is_null(v, i), 0))
        return put_u32(to, UINT32_MAX);
    switch (v->type) {
    case SQLTYPE_BOOL:
        to = put_u32(to, 1);
        *to++ = v->b8[i];
        return to;
    case SQLTYPE_INT4:
        return put_u32(put_u32(to, 4), (uint32_t)v->i64[i]);
    case SQLTYPE_NUMERIC:
        return put_num(w, to, vec_num(v, i));
    case SQLTYPE_TEXT:
    case SQLTYPE_JSON:
        return put_text(to, v->text[i]);
    case SQLTYPE_DATE:
        return put_u32(put_u32(to, 4), (uint32_t)(v->i64[i] - EPOCH_DAYS));
    case SQLTYPE_TIMESTAMP:
    case SQLTYPE_TIMESTAMPTZ:
        return put_u64(put_u32(to, 8), (uint64_t)(v->i64[i] - EPOCH_DAYS * CALENDAR_DAY_US));
    case SQLTYPE_INTERVAL:
        to = put_u64(put_u32(to, 16), (uint64_t)v->interval[i].us);
        return put_u32(put_u32(to, (uint32_t)v->interval[i].days), (uint32_t)v->interval[i].months);
    default: /* bigint, and the bits of a double */
        return put_u64(put_u32(to, 8), (uint64_t)v->i64[i]);
    }
}

/* ---- rows ---- */

static int flush(struct write_copy *w, struct error *e)
{
    int rc = buf_ok(&w->out) ? ERR_OK : error_set(e, ERR_NOMEM, "output");
    if (rc == ERR_OK && w->out.len > 0)
        rc = w->flush(w->user, w->out.data, w->out.len, e);
    w->out.len = 0;
    return rc;
}

/* What the field may take beyond PGNUM_ROOM. */
static size_t more_bytes(const struct vec *v, uint32_t i)
{
    if (vec_is_null(v, i))
        return 0;
    if (sqltype_is_text(v->type))
        return v->text[i].len;
    struct num x = vec_num(v, i);
    return x.big ? big_digits(x.big) + (size_t)x.big->scale : 0;
}

static int write_rows(struct sink *sink, const struct vec *const *columns, const struct sel *sel,
                      struct error *e)
{
    struct write_copy *w = (struct write_copy *)(void *)sink;
    const size_t fixed = 2 + w->n_columns * PGNUM_ROOM;
    SEL_EACH(sel, i)
    {
        size_t n = fixed;
        for (size_t k = 0; k < w->n_columns; k++)
            if (sqltype_is_text(columns[k]->type) || columns[k]->type == SQLTYPE_NUMERIC)
                n += more_bytes(columns[k], i);
        if (w->out.cap - w->out.len < n) {
            int rc = flush(w, e);
            if (rc)
                return rc;
            if (!buf_reserve(&w->out, MAX(n, (size_t)WRITE_FLUSH_BYTES)))
                return error_set(e, ERR_NOMEM, "output");
        }
        uint8_t *to = put_u16(w->out.data + w->out.len, (uint16_t)w->n_columns);
        for (size_t k = 0; k < w->n_columns; k++)
            to = put_field(w, to, columns[k], i);
        w->out.len = (size_t)(to - w->out.data);
    }
    return ERR_OK;
}

int write_copy_init(struct write_copy *w, size_t n_columns, write_flush_fn *flush_fn, void *user,
                    struct error *e)
{
    *w = (struct write_copy){.sink.rows = write_rows,
                             .flush = flush_fn,
                             .user = user,
                             .n_columns = n_columns};
    buf_init(&w->out, 0);
    (void)buf_reserve(&w->out, WRITE_FLUSH_BYTES);
    buf_append(&w->out, header, sizeof header);
    if (buf_ok(&w->out))
        return ERR_OK;
    write_copy_done(w);
    return error_set(e, ERR_NOMEM, "output");
}

int write_copy_end(struct write_copy *w, struct error *e)
{
    buf_append(&w->out, "\377\377", 2);
    return flush(w, e);
}

void write_copy_done(struct write_copy *w)
{
    buf_done(&w->out);
    *w = (struct write_copy){0};
}
