#include "split.h"

enum { SPLIT_BYTES = 256 * 1024 };

int split_init(struct split *s, int quote, struct split_point from, csv_read_fn *read, void *user,
               struct error *e)
{
    *s = (struct split){.read = read, .user = user, .quote = quote, .here = from, .at_row = true};
    s->memory = malloc(SPLIT_BYTES);
    return s->memory ? ERR_OK : error_set(e, ERR_NOMEM, "splitting a file");
}

void split_done(struct split *s)
{
    free(s->memory);
    *s = (struct split){0};
}

static size_t count(const uint8_t *p, size_t n, uint8_t byte)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        found += p[i] == byte;
    return found;
}

static void advance(struct split *s, size_t n)
{
    if (s->quote != SPLIT_NO_QUOTE)
        s->in_quote ^= count(s->memory + s->at, n, (uint8_t)s->quote) & 1;
    s->here.line += count(s->memory + s->at, n, '\n');
    s->here.offset += n;
    s->at += n;
}

int split_next(struct split *s, uint64_t offset, struct split_point *ret, struct error *e)
{
    while (!s->at_row || s->here.offset < offset) {
        if (s->at == s->len) {
            size_t n = 0;
            int rc = s->read(s->user, s->memory, SPLIT_BYTES, &n, e);
            if (rc)
                return rc;
            s->at = 0;
            s->len = n;
            if (n == 0)
                break;
        }
        /* All bytes before the one that could end a row at the offset only matter by their counts.
         * */
        uint64_t far = offset > s->here.offset ? offset - s->here.offset : 0;
        if (far > 1) {
            advance(s, (size_t)MIN(far - 1, (uint64_t)(s->len - s->at)));
            s->at_row = false;
            continue;
        }
        uint8_t byte = s->memory[s->at];
        advance(s, 1);
        s->at_row = byte == '\n' && !s->in_quote;
    }
    *ret = s->here;
    return ERR_OK;
}
