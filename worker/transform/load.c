#include "load.h"

#include "common/utf8.h"
#include "parse.h"
#include "parsefast.h"

/* An empty text that may be read VEC_PAD bytes on. */
static const char empty_text[VEC_PAD] = "";

/* Members one by one, not a struct span: the compiler then keeps them in registers, where a copy of
 * sixteen bytes would wait for the two stores of eight that made it. */
struct cell {
    const char *p;
    size_t len;
    bool null, quoted;
};

static void refuse(struct eval *v, uint32_t i, struct vec *to, const char *reason,
                   const char *name, struct span value)
{
    if (v->bad_is_null)
        vec_set_null(to, i);
    else
        eval_fault_value(v, i, reason, name, 0, value);
}

static bool good_text(struct span s)
{
    return utf8_valid_prefix(s) == s.len && !memchr(s.p, '\0', s.len);
}

/* One value from its text. */
static void put(struct eval *v, uint32_t i, struct vec *to, struct span s, const char *name)
{
    enum parse why = PARSE_OK;
    struct num x = {0};
    bool yes = false;
    switch (to->type) {
    case SQLTYPE_BOOL:
        why = parse_bool(s, &yes);
        to->b8[i] = yes;
        break;
    case SQLTYPE_NUMERIC:
        why = parse_num(&v->scratch, s, &x);
        vec_put_num(to, i, x);
        break;
    case SQLTYPE_FLOAT8:
        to->f64[i] = 0;
        why = parse_float(s, &to->f64[i]);
        break;
    case SQLTYPE_TEXT:
        to->text[i] = s;
        if (!to->ascii && !good_text(s)) {
            refuse(v, i, to, FAULT_BAD_TEXT, name, s);
            to->text[i] = (struct span){empty_text, 0};
        }
        break;
    default:
        to->i64[i] = 0;
        why = parse_int(s, to->type, &to->i64[i]);
        break;
    }
    if (why != PARSE_OK)
        refuse(v, i, to, why == PARSE_RANGE ? FAULT_OUT_OF_RANGE : FAULT_BAD_VALUE, name, s);
}

static void put_null(struct vec *to, uint32_t i)
{
    vec_set_null(to, i);
    if (to->type == SQLTYPE_TEXT)
        to->text[i] = (struct span){empty_text, 0};
    else if (to->type == SQLTYPE_NUMERIC)
        vec_put_num(to, i, num_of(0));
}

static inline __attribute__((always_inline)) struct cell
cell_at(struct eval *v, const struct csv_block *b, size_t row, uint32_t field, uint8_t quote)
{
    uint32_t k = csv_first_field(b, row) + field, row_end = b->rows[row];
    if (__builtin_expect(k > row_end, 0)) /* a short row that the policy fills up */
        return (struct cell){.null = true};
    uint32_t from = b->ends[(ptrdiff_t)k - 1] + 1, to = b->ends[k];
    to -= k == row_end && to > from && b->data[to - 1] == '\r';
    const char *p = (const char *)b->data + from;
    size_t len = to - from;
    if (b->any_quote && __builtin_expect(csvindex_quoted(b->quotes, from, to), 0)) {
        char *room = eval_room(v, v->error ? 0 : len);
        len = v->error ? 0 : csv_unquote((struct span){p, len}, quote, room);
        (void)eval_keep(v, len);
        return (struct cell){room, len, false, true};
    }
    return (struct cell){p, len, len == 0, false};
}

static void load_text(struct eval *v, const struct csv_block *b, size_t first_row,
                      const struct sel *sel, const struct load_column *column, uint8_t quote,
                      struct vec *to)
{
    uint32_t field = column->field;
    to->ascii = b->plain;
    SEL_EACH(sel, i)
    {
        struct cell c = cell_at(v, b, first_row + i, field, quote);
        to->text[i].p = c.p;
        to->text[i].len = c.len;
        if (__builtin_expect(c.null, 0))
            put_null(to, i);
        else if (!b->plain)
            put(v, i, to, (struct span){c.p, c.len}, column->name);
    }
}

static void load_numeric(struct eval *v, const struct csv_block *b, size_t first_row,
                         const struct sel *sel, const struct load_column *column, uint8_t quote,
                         struct vec *to)
{
    uint8_t scale = 0, differ = 0;
    bool any = false, slow = false;
    uint32_t field = column->field;
    to->scale = VEC_MIXED;
    SEL_EACH(sel, i)
    {
        struct cell c = cell_at(v, b, first_row + i, field, quote);
        if (!c.quoted && parsefast_decimal(c.p, c.len, &to->i64[i], &to->scales[i])) {
            scale = any ? scale : to->scales[i];
            differ |= scale ^ to->scales[i];
            any = true;
        } else if (c.null) {
            put_null(to, i);
        } else {
            put(v, i, to, (struct span){c.p, c.len}, column->name);
            slow = true;
        }
    }
    if (slow)
        vec_settle_scale(to, sel);
    else if (any && !differ)
        to->scale = scale;
}

void load_csv(struct eval *v, const struct csv_block *b, size_t first_row, const struct sel *sel,
              const struct load_column *column, uint8_t quote)
{
    struct vec *to = &v->columns[column->column];
    uint32_t field = column->field;
    vec_no_nulls(to);
    if (to->type == SQLTYPE_TEXT) {
        load_text(v, b, first_row, sel, column, quote, to);
        return;
    }
    if (to->type == SQLTYPE_NUMERIC) {
        load_numeric(v, b, first_row, sel, column, quote, to);
        return;
    }
    SEL_EACH(sel, i)
    {
        struct cell c = cell_at(v, b, first_row + i, field, quote);
        if (c.null)
            put_null(to, i);
        else
            put(v, i, to, (struct span){c.p, c.len}, column->name);
    }
}

/* Text of the batch, which need not be readable past its end, with VEC_PAD behind it. */
static struct span padded(struct eval *v, struct span s)
{
    char *to = eval_room(v, s.len);
    if (v->error)
        return (struct span){empty_text, 0};
    memcpy(to, s.p, s.len);
    return eval_keep(v, s.len);
}

void load_batch(struct eval *v, const struct batch *b, uint32_t first_row, const struct sel *sel,
                const struct load_column *column)
{
    struct vec *to = &v->columns[column->column];
    enum col_type type = b->columns[column->field].type;
    uint32_t field = column->field;
    vec_no_nulls(to);
    if (to->type == SQLTYPE_NUMERIC)
        to->scale = VEC_MIXED;
    to->ascii = false;
    SEL_EACH(sel, i)
    {
        uint32_t row = first_row + i;
        if (batch_is_null(b, field, row)) {
            put_null(to, i);
        } else if (col_type_is_text(type)) {
            put(v, i, to, padded(v, batch_get_text(b, field, row)), column->name);
        } else if (type == COL_BOOL && to->type == SQLTYPE_BOOL) {
            to->b8[i] = batch_get_bool(b, field, row);
        } else if (type == COL_INT64 && to->type == SQLTYPE_INT8) {
            to->i64[i] = batch_get_i64(b, field, row);
        } else if (type == COL_INT64 && to->type == SQLTYPE_NUMERIC) {
            vec_put_num(to, i, num_of(batch_get_i64(b, field, row)));
        } else if (type == COL_FLOAT64 && to->type == SQLTYPE_FLOAT8) {
            to->f64[i] = batch_get_f64(b, field, row);
        } else {
            refuse(v, i, to, FAULT_BAD_VALUE, column->name, (struct span){empty_text, 0});
        }
    }
    if (to->type == SQLTYPE_NUMERIC)
        vec_settle_scale(to, sel);
}
