#include "load.h"

#include "common/utf8.h"
#include "jsontext.h"
#include "parse.h"
#include "timetext.h"

/* An empty text that may be read VEC_PAD bytes on. */
static const char empty_text[VEC_PAD] = "";

void load_refuse(struct eval *v, uint32_t i, struct vec *to, const char *reason, const char *name,
                 struct span value)
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
void load_value(struct eval *v, uint32_t i, struct vec *to, struct span s, const char *name)
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
    case SQLTYPE_DATE:
        to->i64[i] = 0;
        why = timetext_date(s, &to->i64[i]);
        break;
    case SQLTYPE_TIMESTAMP:
    case SQLTYPE_TIMESTAMPTZ:
        to->i64[i] = 0;
        why = timetext_time(s, to->type == SQLTYPE_TIMESTAMPTZ, &to->i64[i]);
        break;
    case SQLTYPE_JSON:
        to->text[i] = s;
        if ((!to->ascii && !good_text(s)) || !jsontext_valid(s)) {
            why = PARSE_MALFORMED;
            to->text[i] = jsontext_null;
        }
        break;
    case SQLTYPE_INTERVAL:
        to->interval[i] = (struct interval){0};
        why = timetext_interval(s, &to->interval[i]);
        break;
    case SQLTYPE_TEXT:
        to->text[i] = s;
        if (!to->ascii && !good_text(s)) {
            load_refuse(v, i, to, FAULT_BAD_TEXT, name, s);
            to->text[i] = (struct span){empty_text, 0};
        }
        break;
    default:
        to->i64[i] = 0;
        why = parse_int(s, to->type, &to->i64[i]);
        break;
    }
    if (why != PARSE_OK)
        load_refuse(v, i, to, why == PARSE_RANGE ? FAULT_OUT_OF_RANGE : FAULT_BAD_VALUE, name, s);
}

void load_null(struct vec *to, uint32_t i)
{
    vec_set_null(to, i);
    if (sqltype_is_text(to->type))
        to->text[i] = (struct span){empty_text, 0};
    else if (to->type == SQLTYPE_NUMERIC)
        vec_put_num(to, i, num_of(0));
}

/* ---- pieces ---- */

/* Which rows have quotes: the words of the quotes' bitmap that are not 0 lead to them. */
static void find_quoted(struct load_piece *p)
{
    const struct csv_block *b = p->block;
    const uint32_t *ends = b->ends, *rows = b->rows + p->first_row;
    size_t from = ends[(ptrdiff_t)csv_first_field(b, p->first_row) - 1] + 1;
    size_t to = ends[rows[p->n - 1]];
    uint32_t row = 0;
    for (size_t w = from / 64; w <= to / 64; w++) {
        uint64_t bits = b->quotes[w];
        if (w == from / 64)
            bits &= ~UINT64_C(0) << (from % 64);
        while (bits) {
            size_t at = w * 64 + (size_t)__builtin_ctzll(bits);
            while (row < p->n && ends[rows[row]] < at)
                row++;
            if (row == p->n)
                return;
            p->quoted[p->n_quoted++] = (uint16_t)row;
            p->is_quoted[row / 64] |= UINT64_C(1) << (row % 64);
            size_t end = ends[rows[row]]; /* the other quotes of the row say nothing new */
            if (end / 64 > w)
                break;
            bits &= ~UINT64_C(0) << (end % 64);
        }
    }
}

void load_begin(struct load_piece *p, const struct csv_block *b, size_t first_row, uint32_t n,
                uint32_t stride, uint8_t quote, enum simd simd)
{
    p->block = b;
    p->first_row = first_row;
    p->n = n;
    p->stride = stride;
    p->quote = quote;
    p->simd = simd;
    p->n_quoted = 0;
    memset(p->is_quoted, 0, sizeof p->is_quoted);
    if (b->any_quote)
        find_quoted(p);
}

static bool is_quoted(const struct load_piece *p, uint32_t i)
{
    return p->is_quoted[i / 64] >> (i % 64) & 1;
}

/*
 * The bytes of a field, quotes and all: where it begins and its length; false: the row has none.
 * Two scalars, not a struct span: the compiler keeps them in registers, where a copy of sixteen
 * bytes would wait for the two stores of eight that made it.
 */
static inline __attribute__((always_inline)) bool raw_at(const struct load_piece *p,
                                                         const uint32_t *base, uint32_t i,
                                                         uint32_t field, const char **ret_p,
                                                         size_t *ret_len)
{
    const struct csv_block *b = p->block;
    bool last;
    if (base) {
        base += (size_t)i * p->stride;
        last = field + 1 == p->stride;
    } else {
        uint32_t k = csv_first_field(b, p->first_row + i) + field;
        if (k > b->rows[p->first_row + i]) /* a short row that the policy fills up */
            return false;
        base = b->ends + k;
        last = k == b->rows[p->first_row + i];
    }
    uint32_t from = base[-1] + 1, to = base[0];
    to -= last && to > from && b->data[to - 1] == '\r';
    *ret_p = (const char *)b->data + from;
    *ret_len = to - from;
    return true;
}

/* The end of the field in row 0 of a piece whose rows all have `stride` fields; else NULL. */
static const uint32_t *base_of(const struct load_piece *p, uint32_t field)
{
    if (p->stride == 0)
        return NULL;
    return p->block->ends + csv_first_field(p->block, p->first_row) + field;
}

/* One field, in any case: of a quoted row, of another shape. */
static void put_cell(struct eval *v, const struct load_piece *p, uint32_t i, struct vec *to,
                     const struct load_column *column)
{
    const char *at;
    size_t len;
    if (!raw_at(p, NULL, i, column->field, &at, &len) || len == 0) {
        load_null(to, i);
        return;
    }
    size_t from = (size_t)((const uint8_t *)at - p->block->data);
    struct span s = {at, len};
    if (csvindex_quoted(p->block->quotes, from, from + len)) {
        char *room = eval_room(v, v->error ? 0 : len);
        s = eval_keep(v, v->error ? 0 : csv_unquote(s, p->quote, room));
    }
    load_value(v, i, to, s, column->name);
}

/* The rows of sel without quotes, one by one: all, or those that are odd. */
static void load_plain(struct eval *v, const struct load_piece *p, const struct sel *sel,
                       const struct load_column *column, const uint64_t *odd, struct vec *to)
{
    const uint32_t *base = base_of(p, column->field);
    uint32_t n = 0;
    SEL_EACH(sel, i)
    {
        const char *at;
        size_t len;
        if ((odd && !odd[n++]) || is_quoted(p, i))
            continue;
        if (!base)
            put_cell(v, p, i, to, column);
        else if (raw_at(p, base, i, column->field, &at, &len) && len > 0)
            load_value(v, i, to, (struct span){at, len}, column->name);
        else
            load_null(to, i);
    }
}

/* The rows of sel that have quotes, one by one. */
static void load_quoted(struct eval *v, const struct load_piece *p, const struct sel *sel,
                        const struct load_column *column, struct vec *to)
{
    uint32_t k = 0;
    for (uint32_t q = 0; q < p->n_quoted; q++) {
        uint16_t row = p->quoted[q];
        if (sel->rows) {
            while (k < sel->n && sel->rows[k] < row)
                k++;
            if (k == sel->n)
                return;
            if (sel->rows[k] != row)
                continue;
        }
        if (to->has_nulls) /* as if the row had not been looked at */
            to->nulls[row / 64] &= ~(UINT64_C(1) << (row % 64));
        put_cell(v, p, row, to, column);
    }
}

static void load_text(struct eval *v, const struct load_piece *p, const struct sel *sel,
                      const struct load_column *column, struct vec *to)
{
    const uint32_t *base = base_of(p, column->field);
    uint32_t field = column->field;
    to->ascii = p->block->plain;
    if (!to->ascii || !base) {
        load_plain(v, p, sel, column, NULL, to);
    } else {
        SEL_EACH(sel, i)
        {
            const char *at;
            size_t len;
            (void)raw_at(p, base, i, field, &at, &len);
            to->text[i].p = at;
            to->text[i].len = len;
            if (__builtin_expect(len == 0, 0))
                load_null(to, i);
        }
    }
    load_quoted(v, p, sel, column, to);
}

bool load_words(struct parsefast *x, enum simd simd, const struct sel *sel, struct vec *to)
{
    uint64_t slow = 0, differ = 0;
    uint32_t n = 0;
    if (to->type == SQLTYPE_FLOAT8)
        parsefast_doubles(x, simd);
    else
        parsefast_decimals(x, simd);
    if (to->type == SQLTYPE_NUMERIC) {
        SEL_EACH(sel, i)
        {
            to->scales[i] = (uint8_t)x->shapes[n];
            differ |= x->shapes[n++] ^ x->shapes[0];
        }
    } else if (to->type != SQLTYPE_FLOAT8) { /* integers have no point */
        for (; n < x->n; n++)
            x->odd[n] |= x->shapes[n];
    }
    n = 0;
    SEL_EACH(sel, i)
    {
        to->i64[i] = (int64_t)x->words[n]; /* or the bits of a double */
        slow |= x->odd[n++];
    }
    if (to->type == SQLTYPE_NUMERIC)
        to->scale = slow || differ || n == 0 ? VEC_MIXED : (int)x->shapes[0];
    return slow != 0;
}

/* Words of all rows first, then all at once (parsefast.h), then what was of another shape. */
static void load_numbers(struct eval *v, const struct load_piece *p, const struct sel *sel,
                         const struct load_column *column, struct vec *to)
{
    struct parsefast x;
    const uint32_t *base = base_of(p, column->field);
    x.n = 0;
    if (base && !sel->rows) {
        for (uint32_t i = 0; i < sel->n; i++) {
            const char *at;
            size_t len;
            (void)raw_at(p, base, i, column->field, &at, &len);
            parsefast_put(&x, at, len);
        }
    } else {
        SEL_EACH(sel, i)
        {
            const char *at = empty_text;
            size_t len = 0;
            if (!raw_at(p, base, i, column->field, &at, &len))
                at = (const char *)p->block->data; /* CSV_PAD bytes stand before it */
            parsefast_put(&x, at, len);
        }
    }
    const bool slow = load_words(&x, p->simd, sel, to);
    if (to->type == SQLTYPE_NUMERIC && (slow || p->n_quoted > 0))
        to->scale = VEC_MIXED;
    if (slow)
        load_plain(v, p, sel, column, x.odd, to);
    load_quoted(v, p, sel, column, to);
    if (to->type == SQLTYPE_NUMERIC && to->scale == VEC_MIXED)
        vec_settle_scale(to, sel);
}

void load_csv(struct eval *v, const struct load_piece *p, const struct sel *sel,
              const struct load_column *column)
{
    struct vec *to = &v->columns[column->column];
    vec_no_nulls(to);
    if (to->type == SQLTYPE_TEXT) {
        load_text(v, p, sel, column, to);
    } else if (load_is_number(to->type)) {
        load_numbers(v, p, sel, column, to);
    } else {
        to->ascii = p->block->plain; /* of JSON */
        load_plain(v, p, sel, column, NULL, to);
        load_quoted(v, p, sel, column, to);
    }
}

/* ---- batches ---- */

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
            load_null(to, i);
        } else if (col_type_is_text(type)) {
            load_value(v, i, to, padded(v, batch_get_text(b, field, row)), column->name);
        } else if (type == COL_BOOL && to->type == SQLTYPE_BOOL) {
            to->b8[i] = batch_get_bool(b, field, row);
        } else if (type == COL_INT64 && to->type == SQLTYPE_INT8) {
            to->i64[i] = batch_get_i64(b, field, row);
        } else if (type == COL_INT64 && to->type == SQLTYPE_NUMERIC) {
            vec_put_num(to, i, num_of(batch_get_i64(b, field, row)));
        } else if ((type == COL_DATE && to->type == SQLTYPE_DATE) ||
                   (type == COL_TIMESTAMP &&
                    (to->type == SQLTYPE_TIMESTAMP || to->type == SQLTYPE_TIMESTAMPTZ))) {
            to->i64[i] = batch_get_i64(b, field, row);
        } else if (type == COL_FLOAT64 && to->type == SQLTYPE_FLOAT8) {
            to->f64[i] = batch_get_f64(b, field, row);
        } else {
            load_refuse(v, i, to, FAULT_BAD_VALUE, column->name, (struct span){empty_text, 0});
            if (sqltype_is_text(to->type))
                to->text[i] = jsontext_null;
        }
    }
    if (to->type == SQLTYPE_NUMERIC)
        vec_settle_scale(to, sel);
}
