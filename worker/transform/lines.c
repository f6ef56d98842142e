#include "lines.h"

static int allocate(struct lines *l, size_t cap, struct error *e)
{
    uint8_t *memory = realloc(l->memory, LINES_PAD + cap + LINES_PAD);
    if (!memory)
        return error_set(e, ERR_NOMEM, "a block of %zu bytes", cap);
    if (!l->memory)
        memset(memory, 0, LINES_PAD);
    l->memory = memory;
    l->cap = cap;
    return ERR_OK;
}

int lines_init(struct lines *l, csv_read_fn *read, void *user, uint64_t first_line, struct error *e)
{
    *l = (struct lines){.read = read, .user = user, .line = first_line ? first_line : 1};
    return allocate(l, LINES_BLOCK_BYTES, e);
}

void lines_done(struct lines *l)
{
    free(l->memory);
    *l = (struct lines){0};
}

/* Moves what is left to the front and reads until the block is full or the data end. */
static int refill(struct lines *l, struct error *e)
{
    uint8_t *data = l->memory + LINES_PAD;
    memmove(data, data + l->used, l->len - l->used);
    l->len -= l->used;
    l->used = 0;
    while (l->len < l->cap && !l->end) {
        size_t n = 0;
        int rc = l->read(l->user, data + l->len, l->cap - l->len, &n, e);
        if (rc)
            return rc;
        l->end = n == 0;
        l->len += n;
        if (!l->started && (l->len >= 3 || l->end)) {
            l->started = true;
            if (l->line == 1 && l->len >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0) {
                memmove(data, data + 3, l->len - 3);
                l->len -= 3;
            }
        }
    }
    memset(data + l->len, 0, LINES_PAD);
    return ERR_OK;
}

int lines_next(struct lines *l, struct span *ret, uint64_t *ret_line, struct error *e)
{
    const uint8_t *end;
    for (;;) {
        int rc = refill(l, e);
        if (rc)
            return rc;
        uint8_t *data = l->memory + LINES_PAD;
        end = memrchr(data, '\n', l->len);
        if (l->end && l->len > 0 && data[l->len - 1] != '\n') {
            end = data + l->len;
            data[l->len++] = '\n'; /* the padding has room */
        }
        if (end || l->end)
            break;
        if (l->cap >= LINES_BYTES_MAX)
            return error_set(e, ERR_LIMIT, "line %llu has more than %d bytes",
                             (unsigned long long)l->line, LINES_BYTES_MAX);
        rc = allocate(l, l->cap * 2, e);
        if (rc)
            return rc;
    }
    l->used = end ? (size_t)(end + 1 - (l->memory + LINES_PAD)) : 0;
    *ret = (struct span){(const char *)l->memory + LINES_PAD, l->used};
    *ret_line = l->line;
    return ERR_OK;
}
