#include "write.h"

#include <math.h>

#include "digits.h"
#include "textfloat.h"
#include "timetext.h"

/* ---- copying text ---- */

typedef uint8_t bytes16 __attribute__((vector_size(16)));

static const uint8_t first_bytes[32] = {255, 255, 255, 255, 255, 255, 255, 255,
                                        255, 255, 255, 255, 255, 255, 255, 255};

/* Copies sixteen bytes; are any of the first n what the mask function marks? */
#define COPY_PLAIN(name, ...)                                                                      \
    static inline bool name(char *to, struct span s, uint8_t delimiter UNUSED,                     \
                            uint8_t quote UNUSED)                                                  \
    {                                                                                              \
        for (size_t k = 0; k < s.len; k += sizeof(bytes16)) {                                      \
            bytes16 b, keep;                                                                       \
            uint64_t any[2];                                                                       \
            memcpy(&b, s.p + k, sizeof b);                                                         \
            memcpy(to + k, &b, sizeof b);                                                          \
            memcpy(&keep, first_bytes + 16 - MIN(s.len - k, (size_t)16), sizeof keep);             \
            bytes16 found = (bytes16)(__VA_ARGS__)&keep;                                           \
            memcpy(any, &found, sizeof any);                                                       \
            if (any[0] | any[1])                                                                   \
                return false;                                                                      \
        }                                                                                          \
        return true;                                                                               \
    }
COPY_PLAIN(copy_csv, (b == delimiter) | (b == quote) | (b == '\n') | (b == '\r'))
COPY_PLAIN(copy_json, (b < 0x20) | (b == '"') | (b == '\\'))

static char *quoted_csv(char *to, struct span s, uint8_t quote)
{
    *to++ = (char)quote;
    for (size_t i = 0; i < s.len; i++) {
        if ((uint8_t)s.p[i] == quote)
            *to++ = (char)quote;
        *to++ = s.p[i];
    }
    *to++ = (char)quote;
    return to;
}

static char *escaped_json(char *to, struct span s)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.p[i];
        const char *at =
            c < 0x20 || c == '"' || c == '\\' ? strchr("\"\"\\\\\nn\rr\tt\bb\ff", c) : NULL;
        if (c >= 0x20 && c != '"' && c != '\\') {
            *to++ = (char)c;
        } else if (c != 0 && at) {
            *to++ = '\\';
            *to++ = at[1];
        } else {
            memcpy(to, "\\u00", 4);
            to[4] = hex[c >> 4];
            to[5] = hex[c & 15];
            to += 6;
        }
    }
    return to;
}

/* ---- cells ---- */

static inline char *put_text(const struct write *w, char *to, struct span s)
{
    if (w->format == WRITE_CSV) {
        if (s.len == 0)
            return quoted_csv(to, s, w->quote);
        return copy_csv(to, s, w->delimiter, w->quote) ? to + s.len : quoted_csv(to, s, w->quote);
    }
    *to++ = '"';
    to = copy_json(to, s, 0, 0) ? to + s.len : escaped_json(to, s);
    *to++ = '"';
    return to;
}

static char *put_float(const struct write *w, char *to, double x)
{
    if (w->format == WRITE_NDJSON && !isfinite(x)) {
        memcpy(to, "null", 4);
        return to + 4;
    }
    return to + textfloat_write(x, to);
}

static char *put_bool(const struct write *w, char *to, bool x)
{
    struct span s =
        w->format == WRITE_CSV ? (x ? SPAN("t") : SPAN("f")) : (x ? SPAN("true") : SPAN("false"));
    memcpy(to, s.p, s.len);
    return to + s.len;
}

static char *put_num(char *to, const struct vec *v, uint32_t i)
{
    struct num x = vec_num(v, i);
    return x.big ? big_put(x.big, to) : digits_write(to, x.m, x.scale);
}

/* An interval has blanks and colons, which may be the delimiter: it is quoted as a text is. */
static char *put_time(const struct write *w, char *to, const struct vec *v, uint32_t i)
{
    bool json = w->format == WRITE_NDJSON;
    char text[TIMETEXT_ROOM];
    size_t n;
    if (v->type == SQLTYPE_DATE)
        n = timetext_put_date(v->i64[i], text);
    else if (v->type == SQLTYPE_INTERVAL)
        n = timetext_put_interval(v->interval[i], text);
    else if (json)
        n = timetext_put_rfc3339(v->i64[i], text);
    else
        n = timetext_put_time(v->i64[i], v->type == SQLTYPE_TIMESTAMPTZ, text);
    return put_text(w, to, (struct span){text, n});
}

/* As it is; in NDJSON a row is a line, and blanks between values are as good as line ends. */
static char *put_json(const struct write *w, char *to, struct span s)
{
    if (w->format == WRITE_CSV)
        return put_text(w, to, s);
    for (size_t i = 0; i < s.len; i++)
        *to++ = s.p[i] == '\n' || s.p[i] == '\r' ? ' ' : s.p[i];
    return to;
}

static char *put_other(const struct write *w, char *to, const struct vec *v, uint32_t i)
{
    switch (v->type) {
    case SQLTYPE_BOOL:
        return put_bool(w, to, v->b8[i]);
    case SQLTYPE_NUMERIC:
        return put_num(to, v, i);
    case SQLTYPE_JSON:
        return put_json(w, to, v->text[i]);
    case SQLTYPE_DATE:
    case SQLTYPE_TIMESTAMP:
    case SQLTYPE_TIMESTAMPTZ:
    case SQLTYPE_INTERVAL:
        return put_time(w, to, v, i);
    default:
        return put_float(w, to, v->f64[i]);
    }
}

/* Numbers whose digits digits_words can make for all rows at once. */
static inline bool by_words(const struct vec *v)
{
    return v->type == SQLTYPE_INT4 || v->type == SQLTYPE_INT8 ||
           (v->type == SQLTYPE_NUMERIC && v->scale != VEC_MIXED);
}

/* word: of the number, when the column is one by_words. */
static inline char *put_cell(const struct write *w, char *to, const struct vec *v, uint32_t i,
                             const uint64_t *word)
{
    if (__builtin_expect(vec_is_null(v, i), 0)) {
        memcpy(to, "null", 4);
        return to + (w->format == WRITE_CSV ? 0 : 4);
    }
    if (v->type == SQLTYPE_TEXT)
        return put_text(w, to, v->text[i]);
    if (by_words(v))
        return digits_put(to, *word, v->i64[i], v->scale);
    return put_other(w, to, v, i);
}

/* ---- rows ---- */

/* Bytes of a cell that is no text and no long number, with its quotes. */
enum { CELL_ROOM = DIGITS_ROOM + 2 };
static_assert((int)TIMETEXT_ROOM <= (int)DIGITS_ROOM, "a time fits where a number does");
static_assert((int)TEXTFLOAT_MAX <= (int)DIGITS_ROOM, "a double, too");

/* What a row can take at most, with what may be written past its end: a part that is the same for
 * all rows of a piece, and one that depends on texts and long numbers. */
struct bound {
    size_t fixed, factor;
    const struct vec *texts[BATCH_COLUMNS_MAX];
    size_t n_texts;
};

static size_t cell_bytes(const struct vec *v, uint32_t i, size_t factor)
{
    if (vec_is_null(v, i))
        return 0;
    if (sqltype_is_text(v->type))
        return v->text[i].len * factor;
    struct num x = vec_num(v, i);
    return x.big ? big_digits(x.big) + (size_t)x.big->scale : 0;
}

static void begin_bound(struct bound *b, const struct write *w, const struct vec *const *columns)
{
    *b = (struct bound){.fixed = 2 + VEC_PAD, .factor = w->format == WRITE_CSV ? 2 : 6};
    for (size_t k = 0; k < w->n_columns; k++) {
        const struct vec *v = columns[k];
        b->fixed += CELL_ROOM + (w->format == WRITE_NDJSON ? w->keys[k].len : 1);
        if (sqltype_is_text(v->type) || (v->type == SQLTYPE_NUMERIC && v->scale == VEC_MIXED))
            b->texts[b->n_texts++] = v;
    }
}

/* k-th of the selected rows, which is row i. */
static inline char *put_row(const struct write *w, char *to, const struct vec *const *columns,
                            uint32_t i, uint32_t place)
{
    for (size_t k = 0; k < w->n_columns; k++) {
        if (w->format == WRITE_NDJSON) {
            memcpy(to, w->keys[k].data, w->keys[k].len);
            to += w->keys[k].len;
        } else if (k > 0) {
            *to++ = (char)w->delimiter;
        }
        to = put_cell(w, to, columns[k], i, w->words + k * VEC_ROWS + place);
    }
    if (w->format == WRITE_NDJSON)
        *to++ = '}';
    *to++ = '\n';
    return to;
}

static int flush(struct write *w, struct error *e)
{
    int rc = buf_ok(&w->out) ? ERR_OK : error_set(e, ERR_NOMEM, "output");
    if (rc == ERR_OK && w->out.len > 0)
        rc = w->flush(w->user, w->out.data, w->out.len, e);
    w->out.len = 0;
    return rc;
}

/* Writes out what there is, and makes room for a row of n bytes. */
static int make_room(struct write *w, size_t n, struct error *e)
{
    int rc = flush(w, e);
    if (rc == ERR_OK && !buf_reserve(&w->out, MAX(n, (size_t)WRITE_FLUSH_BYTES)))
        rc = error_set(e, ERR_NOMEM, "output");
    return rc;
}

/* The digits of all numbers of the piece. */
static void make_words(const struct write *w, const struct vec *const *columns,
                       const struct sel *sel)
{
    int64_t packed[VEC_ROWS];
    for (size_t k = 0; k < w->n_columns; k++) {
        const int64_t *m = columns[k]->i64;
        if (!by_words(columns[k]))
            continue;
        if (sel->rows) {
            for (uint32_t i = 0; i < sel->n; i++)
                packed[i] = m[sel->rows[i]];
            m = packed;
        }
        digits_words(m, sel->n, w->words + k * VEC_ROWS, w->simd);
    }
}

static int write_rows(struct sink *sink, const struct vec *const *columns, const struct sel *sel,
                      struct error *e)
{
    struct write *w = (struct write *)(void *)sink;
    struct bound b;
    begin_bound(&b, w, columns);
    make_words(w, columns, sel);
    uint32_t place = 0;
    char *to = (char *)w->out.data + w->out.len;
    SEL_EACH(sel, i)
    {
        size_t n = b.fixed;
        for (size_t k = 0; k < b.n_texts; k++)
            n += cell_bytes(b.texts[k], i, b.factor);
        if (__builtin_expect((size_t)((char *)w->out.data + w->out.cap - to) < n, 0)) {
            w->out.len = (size_t)(to - (char *)w->out.data);
            int rc = make_room(w, n, e);
            if (rc)
                return rc;
            to = (char *)w->out.data;
        }
        to = put_row(w, to, columns, i, place++);
    }
    w->out.len = (size_t)(to - (char *)w->out.data);
    return ERR_OK;
}

int write_init(struct write *w, enum write_format format, const char *const *names, size_t n,
               uint8_t delimiter, uint8_t quote, write_flush_fn *flush_fn, void *user,
               struct error *e)
{
    *w = (struct write){.sink.rows = write_rows,
                        .format = format,
                        .delimiter = delimiter,
                        .quote = quote,
                        .flush = flush_fn,
                        .user = user,
                        .n_columns = n,
                        .simd = simd_best()};
    buf_init(&w->out, 0);
    w->keys = calloc(n + 1, sizeof *w->keys);
    w->words = calloc(n + 1, VEC_ROWS * sizeof *w->words);
    bool ok =
        w->keys && w->words && n <= BATCH_COLUMNS_MAX && buf_reserve(&w->out, WRITE_FLUSH_BYTES);
    for (size_t k = 0; k < n && ok; k++) {
        if (format == WRITE_NDJSON) {
            buf_str(&w->keys[k], k == 0 ? "{" : ",");
            buf_json_str(&w->keys[k], span_str(names[k]));
            buf_byte(&w->keys[k], ':');
            ok = buf_ok(&w->keys[k]);
            continue;
        }
        struct span s = span_str(names[k]);
        bool plain = s.len > 0 && !strchr(names[k], delimiter) && !strchr(names[k], quote) &&
                     !strpbrk(names[k], "\r\n");
        if (k > 0)
            buf_byte(&w->out, delimiter);
        char *to = (char *)buf_reserve(&w->out, s.len * 2 + 2);
        ok = to != NULL;
        if (ok)
            w->out.len += plain ? s.len : (size_t)(quoted_csv(to, s, quote) - to);
        if (ok && plain)
            memcpy(to, s.p, s.len);
    }
    if (format == WRITE_CSV)
        buf_byte(&w->out, '\n');
    if (ok && buf_ok(&w->out))
        return ERR_OK;
    write_done(w);
    return error_set(e, ERR_NOMEM, "output");
}

int write_end(struct write *w, struct error *e)
{
    return flush(w, e);
}

void write_done(struct write *w)
{
    for (size_t k = 0; w->keys && k < w->n_columns; k++)
        buf_done(&w->keys[k]);
    free(w->keys);
    free(w->words);
    buf_done(&w->out);
    *w = (struct write){0};
}
