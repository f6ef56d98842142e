#include "csv.h"

static int allocate(struct csv *c, size_t cap, struct error *e)
{
    size_t bytes = CSV_PAD + cap + CSV_PAD + CSVINDEX_STEP;
    uint8_t *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    uint32_t *ends = malloc((cap + CSVINDEX_SLACK + 2) * sizeof *ends);
    uint32_t *rows = malloc((cap + CSVINDEX_SLACK + 2) * sizeof *rows);
    uint64_t *quotes = calloc(cap / 64 + 1 + CSVINDEX_QUOTES_SLACK, sizeof *quotes);
    if (!memory || !ends || !rows || !quotes) {
        free(memory);
        free(ends);
        free(rows);
        free(quotes);
        return error_set(e, ERR_NOMEM, "a block of %zu bytes of CSV", cap);
    }
    memset(memory, 0, CSV_PAD);
    if (c->memory)
        memcpy(memory + CSV_PAD, c->memory + CSV_PAD, c->len);
    memset(memory + CSV_PAD + c->len, 0, bytes - CSV_PAD - c->len);
    free(c->memory);
    free(c->ends);
    free(c->rows);
    free(c->quotes);
    c->memory = memory;
    c->ends = ends;
    c->rows = rows;
    c->quotes = quotes;
    c->ends[0] = c->rows[0] = UINT32_MAX; /* the entries before the first */
    c->cap = cap;
    return ERR_OK;
}

int csv_init(struct csv *c, const struct csv_options *options, enum simd simd, csv_read_fn *read,
             void *user, uint64_t first_line, struct error *e)
{
    *c = (struct csv){.options = *options,
                      .simd = simd,
                      .read = read,
                      .user = user,
                      .lines = first_line ? first_line - 1 : 0};
    return allocate(c, CSV_BLOCK_BYTES, e);
}

void csv_done(struct csv *c)
{
    free(c->memory);
    free(c->ends);
    free(c->rows);
    free(c->quotes);
    *c = (struct csv){0};
}

/* Moves what is left to the front and reads until the block is full or the data end. */
static int refill(struct csv *c, struct error *e)
{
    uint8_t *data = c->memory + CSV_PAD;
    memmove(data, data + c->used, c->len - c->used);
    c->len -= c->used;
    c->used = 0;
    while (c->len < c->cap && !c->end) {
        size_t n = 0;
        int rc = c->read(c->user, data + c->len, c->cap - c->len, &n, e);
        if (rc)
            return rc;
        c->end = n == 0;
        c->len += n;
        if (!c->started && (c->len >= 3 || c->end)) {
            c->started = true;
            if (c->lines == 0 && c->len >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0) {
                memmove(data, data + 3, c->len - 3);
                c->len -= 3;
            }
        }
    }
    memset(data + c->len, 0, CSV_PAD);
    return ERR_OK;
}

static uint64_t count_newlines(const uint8_t *p, size_t n)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < n; i++)
        lines += p[i] == '\n';
    return lines;
}

/* Indexes the block; a last row without newline gets one in the padding. */
static int index_block(struct csv *c, struct csvindex *x, struct error *e)
{
    uint8_t *data = c->memory + CSV_PAD;
    *x = (struct csvindex){.data = data,
                           .n = c->len,
                           .delimiter = c->options.delimiter,
                           .quote = c->options.quote,
                           .ends = c->ends + 1,
                           .rows = c->rows + 1,
                           .quotes = c->quotes};
    csvindex_run(x, c->simd);
    if (!c->end)
        return ERR_OK;
    uint32_t last = x->n_rows > 0 ? x->ends[x->rows[x->n_rows - 1]] + 1 : 0;
    if (last == c->len)
        return ERR_OK;
    if (x->in_quote)
        return error_set(e, ERR_MALFORMED, "a quote in the row of line %llu is never closed",
                         (unsigned long long)(c->lines + count_newlines(data, last) + 1));
    data[c->len] = '\n';
    x->rows[x->n_rows++] = (uint32_t)x->n_ends;
    x->ends[x->n_ends++] = (uint32_t)c->len;
    c->len++;
    return ERR_OK;
}

int csv_next(struct csv *c, const struct csv_block **ret, struct error *e)
{
    struct csvindex x;
    if (c->inner_lines) /* else each row was a line */
        c->lines += count_newlines(c->memory + CSV_PAD, c->used);
    else
        c->lines += c->block.n_rows;
    for (;;) {
        int rc = refill(c, e);
        if (rc == ERR_OK)
            rc = index_block(c, &x, e);
        if (rc)
            return rc;
        if (x.n_rows > 0 || c->end)
            break;
        if (c->cap >= CSV_ROW_BYTES_MAX)
            return error_set(e, ERR_LIMIT,
                             "the row of line %llu has more than %d bytes (is a quote missing?)",
                             (unsigned long long)(c->lines + 1), CSV_ROW_BYTES_MAX);
        rc = allocate(c, c->cap * 2, e);
        if (rc)
            return rc;
    }
    c->inner_lines = x.n_inner_lines > 0;
    c->used = x.n_rows > 0 ? x.ends[x.rows[x.n_rows - 1]] + 1 : c->len;
    c->block = (struct csv_block){.data = x.data,
                                  .ends = x.ends,
                                  .rows = x.rows,
                                  .quotes = x.quotes,
                                  .n_rows = x.n_rows,
                                  .any_quote = x.n_quotes > 0,
                                  .plain = x.plain,
                                  .first_line = c->lines + 1};
    *ret = x.n_rows > 0 ? &c->block : NULL;
    return ERR_OK;
}

uint64_t csv_line(const struct csv_block *b, size_t row)
{
    uint32_t k = csv_first_field(b, row);
    return b->first_line + count_newlines(b->data, b->ends[(ptrdiff_t)k - 1] + 1);
}

size_t csv_unquote(struct span raw, uint8_t quote, char *to)
{
    size_t n = 0;
    bool inside = false;
    for (size_t i = 0; i < raw.len; i++) {
        if ((uint8_t)raw.p[i] != quote) {
            to[n++] = raw.p[i];
        } else if (inside && i + 1 < raw.len && (uint8_t)raw.p[i + 1] == quote) {
            to[n++] = (char)quote;
            i++;
        } else {
            inside = !inside;
        }
    }
    return n;
}
