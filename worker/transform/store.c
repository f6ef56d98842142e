#include "store.h"

#include "compare.h"

enum { ROWS_MIN = 64, CELL_BYTES = 8 + 4 + 1 + 1 };

int store_init(struct store *s, const enum sqltype *types, size_t n, size_t limit_bytes)
{
    *s = (struct store){.n_columns = n, .limit_bytes = limit_bytes};
    arena_init(&s->memory, limit_bytes);
    s->columns = calloc(n + 1, sizeof *s->columns);
    if (!s->columns)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        s->columns[i].type = types[i];
    return ERR_OK;
}

void store_done(struct store *s)
{
    for (size_t i = 0; s->columns && i < s->n_columns; i++) {
        free(s->columns[i].cells);
        free(s->columns[i].lens);
        free(s->columns[i].scales);
        free(s->columns[i].nulls);
    }
    free(s->columns);
    arena_done(&s->memory);
    *s = (struct store){0};
}

size_t store_bytes(const struct store *s)
{
    return s->memory.used_bytes + (size_t)s->cap * s->n_columns * CELL_BYTES;
}

static bool grow_array(void *array, size_t n, size_t size)
{
    void **p = array, *more = realloc(*p, n * size);
    if (!more)
        return false;
    *p = more;
    return true;
}

static bool grow(struct store *s)
{
    size_t cap = MAX((size_t)s->cap * 2, (size_t)ROWS_MIN);
    if (cap > UINT32_MAX / 2 ||
        s->memory.used_bytes + cap * s->n_columns * CELL_BYTES > s->limit_bytes)
        return false;
    for (size_t i = 0; i < s->n_columns; i++) {
        struct store_column *c = &s->columns[i];
        if (!grow_array(&c->cells, cap, sizeof *c->cells) ||
            !grow_array(&c->nulls, cap, sizeof *c->nulls) ||
            (sqltype_is_text(c->type) && !grow_array(&c->lens, cap, sizeof *c->lens)) ||
            (c->type == SQLTYPE_NUMERIC && !grow_array(&c->scales, cap, sizeof *c->scales)))
            return false;
    }
    s->cap = (uint32_t)cap;
    return true;
}

static bool put(struct store *s, struct store_column *c, const struct vec *from, uint32_t i)
{
    uint32_t n = s->n;
    c->cells[n] = 0;
    c->nulls[n] = vec_is_null(from, i);
    if (c->type == SQLTYPE_NUMERIC)
        c->scales[n] = 0;
    if (sqltype_is_text(c->type))
        c->lens[n] = 0;
    if (c->nulls[n] && !sqltype_is_text(c->type))
        return true;
    if (sqltype_is_text(c->type)) {
        struct span t = c->nulls[n] ? (struct span){"", 0} : from->text[i];
        char *copy = t.len < UINT32_MAX ? arena_alloc(&s->memory, t.len + VEC_PAD) : NULL;
        if (!copy)
            return false;
        memcpy(copy, t.p, t.len);
        memset(copy + t.len, 0, VEC_PAD);
        c->cells[n] = (int64_t)(uintptr_t)copy;
        c->lens[n] = (uint32_t)t.len;
    } else if (c->type == SQLTYPE_NUMERIC) {
        struct num x;
        if (!num_keep(&s->memory, vec_num(from, i), &x))
            return false;
        c->cells[n] = num_pack(x, &c->scales[n]);
    } else if (c->type == SQLTYPE_BOOL) {
        c->cells[n] = from->b8[i];
    } else if (c->type == SQLTYPE_INTERVAL) {
        struct interval *copy = arena_alloc(&s->memory, sizeof *copy);
        if (!copy)
            return false;
        *copy = from->interval[i];
        c->cells[n] = (int64_t)(uintptr_t)copy;
    } else {
        c->cells[n] = from->i64[i]; /* the bits of a double too */
    }
    return true;
}

bool store_add(struct store *s, const struct vec *const *from, uint32_t i)
{
    if (s->n == s->cap && !grow(s))
        return false;
    for (size_t k = 0; k < s->n_columns; k++)
        if (!put(s, &s->columns[k], from[k], i))
            return false;
    s->n++;
    return true;
}

static struct span text_at(const struct store_column *c, uint32_t row)
{
    return (struct span){(const char *)(uintptr_t)c->cells[row], c->lens[row]};
}

static struct interval interval_at(const struct store_column *c, uint32_t row)
{
    static const struct interval zero;
    return c->nulls[row] ? zero : *(const struct interval *)(uintptr_t)c->cells[row];
}

/* One row into row k of a vector. */
static inline void get(const struct store_column *c, uint32_t row, struct vec *to, uint32_t k)
{
    if (sqltype_is_text(c->type))
        to->text[k] = text_at(c, row);
    else if (c->type == SQLTYPE_BOOL)
        to->b8[k] = (uint8_t)c->cells[row];
    else if (c->type == SQLTYPE_INTERVAL)
        to->interval[k] = interval_at(c, row);
    else
        to->i64[k] = c->cells[row];
    if (c->type == SQLTYPE_NUMERIC)
        to->scales[k] = c->scales[row];
    if (c->nulls[row])
        vec_set_null(to, k);
}

static void begin(struct vec *to)
{
    vec_no_nulls(to);
    to->ascii = false;
    to->scale = to->type == SQLTYPE_NUMERIC ? VEC_MIXED : 0;
}

void store_gather(const struct store *s, size_t column, const uint32_t *at, const struct sel *sel,
                  struct vec *to)
{
    const struct store_column *c = &s->columns[column];
    static const char empty[VEC_PAD] = "";
    begin(to);
    SEL_EACH(sel, i)
    {
        if (at[i] != UINT32_MAX) {
            get(c, at[i], to, i);
            continue;
        }
        vec_set_null(to, i);
        if (sqltype_is_text(c->type))
            to->text[i] = (struct span){empty, 0};
        else if (c->type == SQLTYPE_NUMERIC)
            vec_put_num(to, i, num_of(0));
    }
    if (c->type == SQLTYPE_NUMERIC)
        vec_settle_scale(to, sel);
}

void store_load(const struct store *s, size_t column, const uint32_t *rows, uint32_t first,
                uint32_t n, struct vec *to)
{
    const struct store_column *c = &s->columns[column];
    begin(to);
    for (uint32_t k = 0; k < n; k++)
        get(c, rows ? rows[first + k] : first + k, to, k);
}

static double double_at(const struct store_column *c, uint32_t row)
{
    double x;
    memcpy(&x, &c->cells[row], sizeof x);
    return x;
}

int store_compare(const struct store *s, size_t column, uint32_t a, uint32_t b, bool nulls_first,
                  bool descending, struct arena *scratch)
{
    const struct store_column *c = &s->columns[column];
    int order;
    if (c->nulls[a] || c->nulls[b])
        return (c->nulls[a] - c->nulls[b]) * (nulls_first ? -1 : 1);
    switch (c->type) {
    case SQLTYPE_NUMERIC:
        order = num_cmp(num_unpack(c->cells[a], c->scales[a]),
                        num_unpack(c->cells[b], c->scales[b]), scratch);
        break;
    case SQLTYPE_FLOAT8:
        order = compare_f64(double_at(c, a), double_at(c, b));
        break;
    case SQLTYPE_TEXT:
        order = compare_text(text_at(c, a), text_at(c, b));
        break;
    case SQLTYPE_INTERVAL:
        order = compare_interval(interval_at(c, a), interval_at(c, b));
        break;
    default:
        order = (c->cells[a] > c->cells[b]) - (c->cells[a] < c->cells[b]);
        break;
    }
    return descending ? -order : order;
}
