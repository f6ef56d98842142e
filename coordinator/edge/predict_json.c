#include "predict_json.h"

#include <errno.h>
#include <math.h>
#include <strings.h>

#include "common/utf8.h"
#include "coordinator/edge/predict_rows.h"

/* The NUL behind the text ends every loop. */
struct json {
    const char *p, *begin, *end;
    struct arena *mem;
    struct error *e;
};

static int bad(const struct json *j, const char *what)
{
    const char *number = j->p + (*j->p == '-' || *j->p == '+');
    if (strncasecmp(number, "nan", 3) == 0 || strncasecmp(number, "inf", 3) == 0)
        return error_set(j->e, ERR_MALFORMED,
                         "character %zu: NaN and Infinity are no JSON; null is a missing value",
                         (size_t)(j->p - j->begin) + 1);
    return error_set(j->e, ERR_MALFORMED, "character %zu: %s", (size_t)(j->p - j->begin) + 1,
                     j->p >= j->end ? "the text ends too early" : what);
}

static void space(struct json *j)
{
    while (*j->p == ' ' || *j->p == '\n' || *j->p == '\r' || *j->p == '\t')
        j->p++;
}

static bool take(struct json *j, char c)
{
    space(j);
    if (*j->p != c)
        return false;
    j->p++;
    return true;
}

static int want(struct json *j, char c, const char *what)
{
    return take(j, c) ? ERR_OK : bad(j, what);
}

/* ---- texts ---- */

static int hex4(struct json *j, uint32_t *ret)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++, j->p++) {
        char c = *j->p;
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return bad(j, "four hexadecimal digits are wanted");
        v = v * 16 + digit;
    }
    *ret = v;
    return ERR_OK;
}

static size_t put_utf8(char *to, uint32_t v)
{
    if (v < 0x80) {
        to[0] = (char)v;
        return 1;
    }
    if (v < 0x800) {
        to[0] = (char)(0xc0 | v >> 6);
        to[1] = (char)(0x80 | (v & 0x3f));
        return 2;
    }
    if (v < 0x10000) {
        to[0] = (char)(0xe0 | v >> 12);
        to[1] = (char)(0x80 | (v >> 6 & 0x3f));
        to[2] = (char)(0x80 | (v & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | v >> 18);
    to[1] = (char)(0x80 | (v >> 12 & 0x3f));
    to[2] = (char)(0x80 | (v >> 6 & 0x3f));
    to[3] = (char)(0x80 | (v & 0x3f));
    return 4;
}

static int escape(struct json *j, char *to, size_t *at)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *found = *j->p ? strchr(names, *j->p) : NULL;
    uint32_t v = 0, low = 0;
    if (found) {
        to[(*at)++] = values[found - names];
        j->p++;
        return ERR_OK;
    }
    if (*j->p != 'u')
        return bad(j, "an escape that JSON does not have");
    j->p++;
    int rc = hex4(j, &v);
    if (rc)
        return rc;
    if (v >= 0xd800 && v < 0xdc00 && j->p[0] == '\\' && j->p[1] == 'u') {
        j->p += 2;
        rc = hex4(j, &low);
        if (rc)
            return rc;
        if (low < 0xdc00 || low > 0xdfff)
            return bad(j, "half of a surrogate pair");
        v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
    }
    if (v == 0 || (v >= 0xd800 && v < 0xe000))
        return bad(j, v ? "half of a surrogate pair" : "a NUL in a text");
    *at += put_utf8(to + *at, v);
    return ERR_OK;
}

/* With its quotes at hand. Without escapes it stays where it is. */
static int text(struct json *j, struct span *ret)
{
    int rc = want(j, '"', "a text is wanted");
    if (rc)
        return rc;
    const char *from = j->p;
    while (*j->p != '"' && *j->p != '\\' && (unsigned char)*j->p >= 0x20)
        j->p++;
    if (*j->p == '"') {
        *ret = (struct span){from, (size_t)(j->p - from)};
    } else {
        const char *quote = j->p;
        while (*quote != '"' && quote < j->end)
            quote += *quote == '\\' && quote + 1 < j->end ? 2 : 1;
        /* An escape is never shorter than what it stands for. */
        char *to = arena_alloc(j->mem, (size_t)(quote - from) + 1);
        size_t at = (size_t)(j->p - from);
        if (!to)
            return error_set(j->e, ERR_NOMEM, "no memory for the rows");
        memcpy(to, from, at);
        while (*j->p != '"') {
            if ((unsigned char)*j->p < 0x20)
                return bad(j, "a control character in a text");
            if (*j->p != '\\') {
                to[at++] = *j->p++;
                continue;
            }
            j->p++;
            rc = escape(j, to, &at);
            if (rc)
                return rc;
        }
        *ret = (struct span){to, at};
    }
    if (utf8_valid_prefix(*ret) != ret->len)
        return bad(j, "the text is not UTF-8");
    j->p++;
    return ERR_OK;
}

/* ---- numbers ---- */

struct number {
    bool whole;
    int64_t i;
    double f;
};

static const char *digits(const char *p)
{
    while (*p >= '0' && *p <= '9')
        p++;
    return p;
}

/* The end of the number at p, by the grammar; NULL: there is none. */
static const char *number_end(const char *p, bool *ret_whole)
{
    p += *p == '-';
    const char *end = digits(p);
    if (end == p || (*p == '0' && end > p + 1))
        return NULL;
    *ret_whole = true;
    if (*end == '.') {
        *ret_whole = false;
        p = end + 1;
        end = digits(p);
        if (end == p)
            return NULL;
    }
    if (*end == 'e' || *end == 'E') {
        *ret_whole = false;
        p = end + 1 + (end[1] == '+' || end[1] == '-');
        end = digits(p);
        if (end == p)
            return NULL;
    }
    return end;
}

/* Up to 15 digits and a power of ten up to 22 are exact in two doubles, and so is their quotient rounded
 * once (Clinger 1990). */
static bool quick(const char *p, const char *end, double *ret)
{
    static const double tens[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool negative = *p == '-';
    uint64_t v = 0;
    size_t n = 0, decimals = 0;
    bool point = false;
    for (p += negative; p < end; p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        if (*p < '0' || *p > '9' || ++n > 15)
            return false;
        v = v * 10 + (uint64_t)(*p - '0');
        decimals += point;
    }
    double f = (double)v / tens[decimals];
    *ret = negative ? -f : f;
    return true;
}

static int number(struct json *j, struct number *ret)
{
    const char *end = number_end(j->p, &ret->whole);
    if (!end)
        return bad(j, "a value is wanted");
    if (!quick(j->p, end, &ret->f)) {
        ret->f = strtod(j->p, NULL);
        if (isinf(ret->f))
            return bad(j, "the number is too large");
    }
    if (ret->whole) {
        errno = 0;
        ret->i = end - j->p < 16 ? (int64_t)ret->f : strtoll(j->p, NULL, 10);
        ret->whole = errno == 0;
    }
    j->p = end;
    return ERR_OK;
}

/* ---- other values ---- */

static bool word(struct json *j, const char *w)
{
    size_t n = strlen(w);
    if ((size_t)(j->end - j->p) < n || memcmp(j->p, w, n) != 0)
        return false;
    j->p += n;
    return true;
}

static int skip(struct json *j, int depth);

static int skip_list(struct json *j, char close, int depth)
{
    struct span key;
    j->p++;
    if (take(j, close))
        return ERR_OK;
    do {
        space(j);
        int rc = close == '}' ? text(j, &key) : ERR_OK;
        if (rc == ERR_OK && close == '}')
            rc = want(j, ':', "':' is wanted");
        if (rc == ERR_OK)
            rc = skip(j, depth + 1);
        if (rc)
            return rc;
    } while (take(j, ','));
    return want(j, close, close == '}' ? "',' or '}' is wanted" : "',' or ']' is wanted");
}

static int skip(struct json *j, int depth)
{
    struct span ignored;
    struct number n;
    space(j);
    if (depth > PREDICT_JSON_DEPTH_MAX)
        return bad(j, "it is nested too deeply");
    if (*j->p == '{' || *j->p == '[')
        return skip_list(j, *j->p == '{' ? '}' : ']', depth);
    if (*j->p == '"')
        return text(j, &ignored);
    if (word(j, "true") || word(j, "false") || word(j, "null"))
        return ERR_OK;
    return number(j, &n);
}

/* ---- rows ---- */

static int cell(struct json *j, struct predict_rows *r, uint32_t at)
{
    struct span t;
    struct number n;
    int rc;
    space(j);
    switch (*j->p) {
    case '"':
        rc = text(j, &t);
        return rc ? rc : predict_rows_text(r, at, t, j->e);
    case '{':
        return predict_rows_wrong(r, at, "an object", j->e);
    case '[':
        return predict_rows_wrong(r, at, "a list", j->e);
    case 't':
        return word(j, "true") ? predict_rows_bool(r, at, true, j->e) : bad(j, "a value is wanted");
    case 'f':
        return word(j, "false") ? predict_rows_bool(r, at, false, j->e)
                                : bad(j, "a value is wanted");
    case 'n':
        return word(j, "null") ? predict_rows_null(r, at, j->e) : bad(j, "a value is wanted");
    default:
        rc = number(j, &n);
        if (rc)
            return rc;
        return n.whole ? predict_rows_integer(r, at, n.i, j->e)
                       : predict_rows_number(r, at, n.f, j->e);
    }
}

/* A list of texts at j, which must be one. */
static int texts(struct json *j, const char *what, struct span **ret, size_t *ret_n)
{
    struct span *names = arena_alloc(j->mem, BATCH_COLUMNS_MAX * sizeof(*names));
    size_t n = 0;
    if (!names)
        return error_set(j->e, ERR_NOMEM, "no memory for the rows");
    int rc = want(j, '[', what);
    if (rc == ERR_OK && !take(j, ']')) {
        do {
            if (n == BATCH_COLUMNS_MAX)
                return error_set(j->e, ERR_INVALID_ARGUMENT, "columns: more than %d",
                                 BATCH_COLUMNS_MAX);
            space(j);
            rc = text(j, &names[n++]);
        } while (rc == ERR_OK && take(j, ','));
        if (rc == ERR_OK)
            rc = want(j, ']', "',' or ']' is wanted");
    }
    *ret = names;
    *ret_n = n;
    return rc;
}

/* The keys of the first row are the request's names. */
static int first_names(struct json *j, struct predict_rows *r)
{
    struct json look = *j;
    struct span *names = arena_alloc(j->mem, BATCH_COLUMNS_MAX * sizeof(*names));
    size_t n = 0;
    if (!names)
        return error_set(j->e, ERR_NOMEM, "no memory for the rows");
    look.p++;
    if (take(&look, '}'))
        return error_set(j->e, ERR_INVALID_ARGUMENT, "rows[0]: it has no columns");
    do {
        if (n == BATCH_COLUMNS_MAX)
            return error_set(j->e, ERR_INVALID_ARGUMENT, "rows[0]: more than %d columns",
                             BATCH_COLUMNS_MAX);
        space(&look);
        int rc = text(&look, &names[n++]);
        if (rc == ERR_OK)
            rc = want(&look, ':', "':' is wanted");
        if (rc == ERR_OK)
            rc = skip(&look, 3);
        if (rc)
            return rc;
    } while (take(&look, ','));
    struct error why = {0};
    int rc = predict_rows_names(r, names, n, &why);
    if (rc) /* "columns: ..." */
        return error_set(j->e, (enum err)rc, "rows[0]%.450s",
                         strncmp(why.detail, "columns", 7) == 0 ? why.detail + 7 : why.detail);
    return ERR_OK;
}

static int object_row(struct json *j, struct predict_rows *r)
{
    struct span name;
    uint32_t at = 0, guess = 0;
    int rc = r->names ? ERR_OK : first_names(j, r);
    if (rc)
        return rc;
    j->p++;
    if (take(j, '}'))
        return ERR_OK;
    do {
        space(j);
        rc = text(j, &name);
        if (rc == ERR_OK)
            rc = want(j, ':', "':' is wanted");
        if (rc == ERR_OK)
            rc = predict_rows_find(r, name, guess++, &at, j->e);
        if (rc == ERR_OK)
            rc = cell(j, r, at);
    } while (rc == ERR_OK && take(j, ','));
    return rc ? rc : want(j, '}', "',' or '}' is wanted");
}

static int list_row(struct json *j, struct predict_rows *r)
{
    uint32_t at = 0;
    int rc = r->columns ? ERR_OK : predict_rows_order(r, j->e);
    j->p++;
    if (rc == ERR_OK && !take(j, ']')) {
        do {
            if (at == r->n)
                return error_set(j->e, ERR_INVALID_ARGUMENT, "rows[%u]: more than %u values",
                                 r->row, r->n);
            rc = cell(j, r, at++);
        } while (rc == ERR_OK && take(j, ','));
        if (rc == ERR_OK)
            rc = want(j, ']', "',' or ']' is wanted");
    }
    if (rc == ERR_OK && at < r->n)
        rc = error_set(j->e, ERR_INVALID_ARGUMENT, "rows[%u]: %u values for %u columns", r->row, at,
                       r->n);
    return rc;
}

static int read_rows(struct json *j, struct predict_rows *r)
{
    const bool columns = r->columns != NULL;
    bool lists = columns;
    int rc = ERR_OK;
    if (*j->p != '[')
        return error_set(j->e, ERR_INVALID_ARGUMENT, "rows: a list of rows is wanted");
    j->p++;
    if (take(j, ']'))
        return ERR_OK; /* predict_add says that there are none */
    do {
        space(j);
        if (r->row == 0 && !lists)
            lists = *j->p == '[';
        if (r->row == 0 && !columns && *j->p != '[' && *j->p != '{')
            return error_set(j->e, ERR_INVALID_ARGUMENT,
                             "rows[0]: an object with the columns or a list of values is wanted");
        if (*j->p != (lists ? '[' : '{'))
            return error_set(j->e, ERR_INVALID_ARGUMENT, "rows[%u]: %s is wanted", r->row,
                             lists ? "a list of values" : "an object with the columns");
        rc = lists ? list_row(j, r) : object_row(j, r);
        if (rc == ERR_OK)
            rc = predict_rows_end(r, j->e);
    } while (rc == ERR_OK && take(j, ','));
    return rc ? rc : want(j, ']', "',' or ']' is wanted");
}

/* Where the members begin; all of the text is known to be JSON then. */
static int find_members(struct json *j, const char **ret_columns, const char **ret_rows)
{
    struct span key;
    int rc = want(j, '{', "an object with \"rows\" is wanted");
    if (rc == ERR_OK && !take(j, '}')) {
        do {
            space(j);
            rc = text(j, &key);
            if (rc == ERR_OK)
                rc = want(j, ':', "':' is wanted");
            if (rc)
                return rc;
            space(j);
            const char **to = span_eq(key, SPAN("rows"))      ? ret_rows
                              : span_eq(key, SPAN("columns")) ? ret_columns
                                                              : NULL;
            if (!to || *to)
                return error_set(j->e, ERR_INVALID_ARGUMENT, "'%.*s': %s",
                                 (int)MIN(key.len, (size_t)60), key.p,
                                 to ? "it is there twice"
                                    : "only \"rows\" and \"columns\" are known");
            *to = j->p;
            rc = skip(j, 1);
        } while (rc == ERR_OK && take(j, ','));
        if (rc == ERR_OK)
            rc = want(j, '}', "',' or '}' is wanted");
    }
    space(j);
    if (rc == ERR_OK && j->p != j->end)
        rc = bad(j, "more behind the object");
    if (rc == ERR_OK && !*ret_rows)
        rc = error_set(j->e, ERR_INVALID_ARGUMENT, "\"rows\" is missing");
    return rc;
}

int predict_json_read(const struct model_info *info, struct span body, struct batch *out,
                      struct arena *mem, struct error *e)
{
    struct json j = {body.p, body.p, body.p + body.len, mem, e};
    const char *columns = NULL, *rows = NULL;
    struct predict_rows r;
    predict_rows_init(&r, info, out, mem);
    if (body.len >= 3 && memcmp(body.p, "\xef\xbb\xbf", 3) == 0)
        j.p += 3; /* a byte order mark, which readers may pass over (RFC 8259, 8.1) */
    int rc = find_members(&j, &columns, &rows);
    if (rc == ERR_OK && columns) {
        struct span *names = NULL;
        size_t n = 0;
        j.p = columns;
        if (*j.p != '[')
            return error_set(e, ERR_INVALID_ARGUMENT, "columns: a list of names is wanted");
        rc = texts(&j, "a list of names is wanted", &names, &n);
        if (rc == ERR_OK)
            rc = predict_rows_names(&r, names, n, e);
    }
    if (rc)
        return rc;
    j.p = rows;
    return read_rows(&j, &r);
}
