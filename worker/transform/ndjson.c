#include "ndjson.h"

#include "jsontext.h"

enum { GUESSES = 64, GUESS_KEY_MAX = 30 };

/* What a member of an object was in the line before, which it mostly is again. */
struct guess {
    const struct jsonpath *of, *is; /* is NULL: nothing that is wanted */
    uint8_t len;
    char key[GUESS_KEY_MAX + 1];
};

struct ndjson {
    const struct jsonpath *root;
    size_t n_columns;
    struct lines lines;
    struct span block;
    const uint8_t *at, *end; /* in the block */
    uint64_t line;           /* at `at` */
    uint32_t row;
    size_t member; /* of the line, counted over all objects in which something is wanted */
    struct guess guesses[GUESSES];
    struct ndjson_piece piece;
};

int ndjson_new(const struct jsonpath *root, size_t n_columns, csv_read_fn *read, void *user,
               uint64_t first_line, struct ndjson **ret, struct error *e)
{
    struct ndjson *j = calloc(1, sizeof *j);
    if (!j)
        return error_set(e, ERR_NOMEM, "reading NDJSON");
    j->root = root;
    j->n_columns = n_columns;
    j->piece.cells = calloc(n_columns + 1, VEC_ROWS * sizeof *j->piece.cells);
    j->piece.escaped = calloc(n_columns + 1, sizeof *j->piece.escaped);
    int rc =
        j->piece.cells && j->piece.escaped ? ERR_OK : error_set(e, ERR_NOMEM, "reading NDJSON");
    if (rc == ERR_OK)
        rc = lines_init(&j->lines, read, user, first_line, e);
    if (rc)
        ndjson_free(j);
    else
        *ret = j;
    return rc;
}

void ndjson_free(struct ndjson *j)
{
    if (!j)
        return;
    lines_done(&j->lines);
    free(j->piece.cells);
    free(j->piece.escaped);
    free(j);
}

/* ---- scanning: each function returns the place behind what it read, or NULL when that is no JSON.
 * None passes the newline that ends every line, because no JSON has it. ---- */

static inline const uint8_t *blanks(const uint8_t *p)
{
    while (*p == ' ' || *p == '\t' || *p == '\r')
        p++;
    return p;
}

static inline bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static inline bool is_hex(uint8_t c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

#define BYTES(c) (UINT64_C(0x0101010101010101) * (c))

/* Bit 7 of each byte that is 0, or of ones above such a one. */
static inline uint64_t zeros(uint64_t w)
{
    return (w - BYTES(1)) & ~w & BYTES(0x80);
}

/* p: behind the quote; returns the quote that ends the string. */
static inline const uint8_t *string_end(const uint8_t *p, bool *escaped)
{
    for (;;) {
        uint64_t w;
        memcpy(&w, p, sizeof w);
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
        w = __builtin_bswap64(w);
#endif
        uint64_t found =
            zeros(w ^ BYTES('"')) | zeros(w ^ BYTES('\\')) | ((w - BYTES(0x20)) & ~w & BYTES(0x80));
        if (!found) {
            p += sizeof w;
            continue;
        }
        p += __builtin_ctzll(found) / 8;
        if (*p == '"')
            return p;
        if (*p != '\\')
            return NULL;
        *escaped = true;
        if (p[1] == 'u') {
            if (!is_hex(p[2]) || !is_hex(p[3]) || !is_hex(p[4]) || !is_hex(p[5]))
                return NULL;
            p += 6;
        } else if (p[1] && strchr("\"\\/bfnrt", p[1])) {
            p += 2;
        } else {
            return NULL;
        }
    }
}

static inline const uint8_t *digits(const uint8_t *p)
{
    if (!is_digit(*p))
        return NULL;
    while (is_digit(*p))
        p++;
    return p;
}

static inline const uint8_t *number(const uint8_t *p)
{
    p += *p == '-';
    p = *p == '0' ? p + 1 : digits(p);
    if (p && *p == '.')
        p = digits(p + 1);
    if (p && (*p | 0x20) == 'e') {
        p++;
        p = digits(p + (*p == '+' || *p == '-'));
    }
    return p;
}

static const struct jsonpath *find_key(const struct jsonpath *of, struct span key, bool escaped)
{
    char plain[256];
    if (escaped) { /* rare, and a longer one is nobody's column */
        if (key.len > sizeof plain || !jsontext_unescape(key, plain, &key.len))
            return NULL;
        key.p = plain;
    }
    for (const struct jsonpath *c = of->children; c; c = c->next)
        if (c->key && span_eq((struct span){c->key, c->key_len}, key))
            return c;
    return NULL;
}

/* The wanted thing that a member is, or NULL. */
static inline const struct jsonpath *member(struct ndjson *j, const struct jsonpath *of,
                                            struct span key, bool escaped)
{
    size_t k = j->member++;
    struct guess *g = &j->guesses[k % GUESSES];
    if (g->of == of && g->len == key.len && memcmp(g->key, key.p, key.len) == 0)
        return g->is;
    const struct jsonpath *is = find_key(of, key, escaped);
    if (key.len <= GUESS_KEY_MAX) {
        *g = (struct guess){.of = of, .is = is, .len = (uint8_t)key.len};
        memcpy(g->key, key.p, key.len);
    }
    return is;
}

static inline const struct jsonpath *element(const struct jsonpath *of, uint64_t place)
{
    for (const struct jsonpath *c = of ? of->children : NULL; c; c = c->next)
        if (!c->key && c->place == place)
            return c;
    return NULL;
}

static void keep(struct ndjson *j, const struct jsonpath *is, const uint8_t *from,
                 const uint8_t *to, enum ndjson_kind kind)
{
    const struct ndjson_cell cell = {.at = (uint32_t)(from - j->piece.data),
                                     .len = (uint32_t)(to - from) & 0x3FFFFFFF,
                                     .kind = kind};
    for (size_t i = 0; i < is->n_columns; i++) {
        j->piece.cells[is->columns[i] * VEC_ROWS + j->row] = cell;
        j->piece.escaped[is->columns[i]] |= kind == NDJSON_ESCAPED;
    }
}

static const uint8_t *nested(struct ndjson *j, const uint8_t *p, const struct jsonpath *is,
                             unsigned depth);

/* is: what is wanted of the value; NULL: nothing. */
static inline const uint8_t *value(struct ndjson *j, const uint8_t *p, const struct jsonpath *is,
                                   unsigned depth)
{
    const uint8_t *from = p;
    enum ndjson_kind kind = NDJSON_PLAIN;
    bool escaped = false;
    switch (*p) {
    case '"':
        p = string_end(++from, &escaped);
        if (p && is)
            keep(j, is, from, p, escaped ? NDJSON_ESCAPED : NDJSON_PLAIN);
        return p ? p + 1 : NULL;
    case '{':
    case '[':
        p = nested(j, p, is, depth);
        break;
    case 't':
        p = memcmp(p, "true", 4) == 0 ? p + 4 : NULL;
        break;
    case 'f':
        p = memcmp(p, "false", 5) == 0 ? p + 5 : NULL;
        break;
    case 'n':
        p = memcmp(p, "null", 4) == 0 ? p + 4 : NULL;
        kind = NDJSON_NULL;
        break;
    default:
        p = number(p);
        break;
    }
    if (p && is)
        keep(j, is, from, p, kind);
    return p;
}

/* A key and its colon. */
static inline const uint8_t *key(struct ndjson *j, const uint8_t *p, const struct jsonpath *of,
                                 const struct jsonpath **ret)
{
    bool escaped = false;
    if (*p != '"')
        return NULL;
    const uint8_t *end = string_end(++p, &escaped);
    if (!end)
        return NULL;
    if (of)
        *ret = member(j, of, (struct span){(const char *)p, (size_t)(end - p)}, escaped);
    p = blanks(end + 1);
    return *p == ':' ? blanks(p + 1) : NULL;
}

static const uint8_t *nested(struct ndjson *j, const uint8_t *p, const struct jsonpath *is,
                             unsigned depth)
{
    const bool object = *p == '{';
    const uint8_t close = object ? '}' : ']';
    if (is && !is->children)
        is = NULL; /* only as a whole */
    if (depth >= NDJSON_NESTING_MAX)
        return NULL;
    p = blanks(p + 1);
    if (*p == close)
        return p + 1;
    for (uint64_t place = 0;; place++) {
        const struct jsonpath *part = object ? NULL : element(is, place);
        if (object)
            p = key(j, p, is, &part);
        if (p)
            p = value(j, p, part, depth + 1);
        if (!p)
            return NULL;
        p = blanks(p);
        if (*p == close)
            return p + 1;
        if (*p != ',')
            return NULL;
        p = blanks(p + 1);
    }
}

/* ---- rows ---- */

static void scan_line(struct ndjson *j)
{
    struct ndjson_piece *piece = &j->piece;
    const uint8_t *begin = blanks(j->at), *p = begin;
    if (*p != '\n') {
        uint32_t row = piece->n;
        j->row = row;
        j->member = 0;
        for (size_t c = 0; c < j->n_columns; c++)
            piece->cells[c * VEC_ROWS + row].kind = NDJSON_NULL;
        p = *p == '{' ? nested(j, p, j->root, 0) : NULL;
        p = p ? blanks(p) : NULL;
        piece->lines[row] = (uint32_t)(j->line - piece->first_line);
        piece->n++;
        if (p && *p == '\n') {
            piece->good[piece->n_good++] = (uint16_t)row;
        } else {
            p = memchr(begin, '\n', (size_t)(j->end - begin));
            const size_t shown = MIN((size_t)(p - begin), (size_t)NDJSON_BAD_SHOWN);
            piece->bad_text[piece->n_bad] = (struct span){(const char *)begin, shown};
            piece->bad[piece->n_bad++] = (uint16_t)row;
        }
    }
    j->at = p + 1;
    j->line++;
}

static bool is_ascii(struct span s)
{
    uint8_t all = 0;
    for (size_t i = 0; i < s.len; i++)
        all |= (uint8_t)s.p[i];
    return all < 0x80;
}

/* The first line of a file: objects could stand on the others, but part of the array would be missing. */
static bool begins_array(struct span block)
{
    size_t i = 0;
    while (i < block.len && memchr(" \t\r\n", block.p[i], 4))
        i++;
    return i < block.len && block.p[i] == '[';
}

int ndjson_next(struct ndjson *j, const struct ndjson_piece **ret, struct error *e)
{
    struct ndjson_piece *piece = &j->piece;
    piece->n = piece->n_good = piece->n_bad = 0;
    memset(piece->escaped, 0, j->n_columns * sizeof *piece->escaped);
    while (piece->n == 0) {
        if (j->at == j->end) {
            j->lines.line = MAX(j->line, j->lines.line);
            int rc = lines_next(&j->lines, &j->block, &j->line, e);
            if (rc)
                return rc;
            if (j->block.len == 0)
                break;
            if (j->line == 1 && begins_array(j->block))
                return error_set(e, ERR_MALFORMED,
                                 "this is one JSON array; NDJSON has an object on each line "
                                 "(jq -c '.[]' makes it so)");
            piece->data = (const uint8_t *)j->block.p;
            piece->ascii = is_ascii(j->block);
            j->at = piece->data;
            j->end = piece->data + j->block.len;
        }
        piece->first_line = j->line;
        while (j->at < j->end && piece->n < VEC_ROWS)
            scan_line(j);
    }
    *ret = piece->n > 0 ? piece : NULL;
    return ERR_OK;
}
