#include "write_batch.h"

#include "timetext.h"

enum { LENT_COLUMNS_MAX = 128 };

/* False: no memory. */
static bool put_num(struct batch *b, size_t k, struct num x)
{
    char text[NUM_TEXT_MAX];
    if (!x.big) {
        batch_text(b, k, (struct span){text, num_text_small(x.m, x.scale, text)});
        return true;
    }
    struct buf out = {0};
    big_text(x.big, &out);
    const bool good = buf_ok(&out);
    batch_text(b, k, good ? buf_span(&out) : SPAN("0")); /* the caller gives the rows up */
    buf_done(&out);
    return good;
}

static bool put(struct batch *b, size_t k, const struct vec *v, uint32_t i)
{
    if (vec_is_null(v, i)) {
        batch_null(b, k);
        return true;
    }
    switch (v->type) {
    case SQLTYPE_BOOL:
        batch_bool(b, k, v->b8[i]);
        break;
    case SQLTYPE_NUMERIC:
        return put_num(b, k, vec_num(v, i));
    case SQLTYPE_TEXT:
    case SQLTYPE_JSON:
        batch_text(b, k, v->text[i]);
        break;
    case SQLTYPE_INTERVAL: {
        char text[TIMETEXT_ROOM];
        batch_text(b, k, (struct span){text, timetext_put_interval(v->interval[i], text)});
        break;
    }
    default:
        batch_i64(b, k, v->i64[i]);
        break;
    }
    return true;
}

/* Numbers of 8 bytes go over at once. */
static bool put_column(struct batch *b, size_t k, const struct vec *v, const struct sel *sel)
{
    const enum col_type type = b->columns[k].type;
    if (type != COL_FLOAT64 && type != COL_INT64) {
        bool good = true;
        SEL_EACH(sel, i)
        good &= put(b, k, v, i);
        return good;
    }
    uint64_t *to = batch_extend(b, k, sel->n);
    uint32_t row = b->n_rows;
    const uint64_t *from = (const uint64_t *)(const void *)v->i64; /* or f64: the bits are copied */
    SEL_EACH(sel, i)
    {
        const bool null = vec_is_null(v, i);
        if (to)
            *to++ = null ? 0 : from[i];
        if (null)
            batch_set_null(b, k, row);
        row++;
    }
    return true;
}

static int batch_rows(struct sink *sink, const struct vec *const *columns, const struct sel *sel,
                      struct error *e)
{
    struct batch *b = ((struct write_batch *)(void *)sink)->to;
    bool good = true;
    for (size_t k = 0; k < b->n_columns; k++)
        good &= put_column(b, k, columns[k], sel);
    batch_rows_end(b, sel->n);
    return good && batch_ok(b) ? ERR_OK
                               : error_set(e, ERR_LIMIT, "the result rows need too much memory");
}

static bool is_wide(const struct vec *v, enum col_type type)
{
    return v->type != SQLTYPE_NUMERIC && v->type != SQLTYPE_INTERVAL &&
           (type == COL_FLOAT64 || type == COL_INT64 || type == COL_DATE || type == COL_TIMESTAMP);
}

/* A column whose cells, and which of them are NULL, are the vector's. */
static struct column borrowed(const struct column *like, const struct vec *v, uint32_t n)
{
    struct column c = {.name = like->name, .type = like->type, .n = n};
    c.data = (struct buf){.data = (uint8_t *)v->i64, .len = n * sizeof(int64_t)};
    if (v->has_nulls)
        c.nulls = (struct buf){.data = (uint8_t *)(uintptr_t)v->nulls, .len = (n + 7) / 8};
    return c;
}

bool write_batch_lend(struct write_batch *w, const struct vec *const *columns,
                      const struct sel *sel, write_batch_fn *fn, void *user, int *ret_rc,
                      struct error *e)
{
    struct column own[LENT_COLUMNS_MAX];
    struct batch *b = w->to;
    /* A word of the vectors' bitmap is eight bytes of the batch's. */
    if (sel->rows || b->n_rows > 0 || b->n_columns > LENT_COLUMNS_MAX ||
        __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
        return false;
    bool good = true;
    for (size_t k = 0; k < b->n_columns; k++) {
        own[k] = b->columns[k];
        if (is_wide(columns[k], own[k].type))
            b->columns[k] = borrowed(&own[k], columns[k], sel->n);
        else
            good &= put_column(b, k, columns[k], sel);
    }
    batch_rows_end(b, sel->n);
    *ret_rc = good && batch_ok(b) ? fn(user, b, e)
                                  : error_set(e, ERR_LIMIT, "the result rows need too much memory");
    for (size_t k = 0; k < b->n_columns; k++)
        if (is_wide(columns[k], own[k].type))
            b->columns[k] = own[k];
    batch_clear(b);
    return true;
}

void write_batch_init(struct write_batch *w, struct batch *to)
{
    *w = (struct write_batch){.sink.rows = batch_rows, .to = to};
}

struct batch *write_batch_columns(const struct plan *p)
{
    struct batch *b = batch_new();
    for (size_t k = 0; b && k < p->n_shown; k++) {
        if (batch_add_column(b, p->results[k].name, sqltype_column(p->results[k].expr->type))) {
            batch_free(b);
            return NULL;
        }
    }
    return b;
}
