#include "wire_part.h"

#include "pack.h"
#include "utf8.h"

enum { STATS_MAX = 1000 };

/* ---- packing ---- */

void wire_part_pack_text(struct buf *out, struct span s)
{
    if (!s.p) {
        pack_nil(out);
        return;
    }
    pack_str(out, s);
    size_t valid = utf8_valid_prefix(s);
    if (valid == s.len || !buf_ok(out))
        return;
    char *copy = (char *)out->data + out->len - s.len;
    while (valid < s.len) {
        copy[valid++] = '?';
        valid += utf8_valid_prefix((struct span){copy + valid, s.len - valid});
    }
}

void wire_part_pack_raw(struct buf *out, struct span packed)
{
    buf_append(out, packed.p, packed.len);
}

void wire_part_pack_token(struct buf *out, const struct wire_token *t)
{
    pack_u64(out, t->task);
    pack_u64(out, t->epoch);
    pack_u64(out, t->counter);
}

void wire_part_pack_stats(struct buf *out, const struct wire_stat *stats, size_t n)
{
    pack_array(out, n);
    for (size_t i = 0; i < n; i++) {
        pack_array(out, 2);
        wire_part_pack_text(out, stats[i].name);
        pack_i64(out, stats[i].value);
    }
}

/* ---- reading ---- */

size_t wire_part_count(struct unpack *u, size_t min_bytes, size_t max)
{
    size_t n = unpack_array(u);
    if (n > max || n > (size_t)(u->end - u->p) / min_bytes) {
        u->failed = true;
        return 0;
    }
    return n;
}

void *wire_part_room(struct unpack *u, struct arena *a, size_t n, size_t size, bool *nomem)
{
    if (!unpack_ok(u) || n == 0)
        return NULL;
    void *p = arena_zalloc(a, n * size);
    if (!p) {
        *nomem = true;
        u->failed = true;
    }
    return p;
}

uint32_t wire_part_u32(struct unpack *u)
{
    uint64_t v = unpack_u64(u);
    if (v > UINT32_MAX) {
        u->failed = true;
        return 0;
    }
    return (uint32_t)v;
}

struct span wire_part_text_or_nil(struct unpack *u)
{
    struct span s = unpack_str(u);
    if (s.p && utf8_valid_prefix(s) != s.len)
        u->failed = true;
    return s;
}

struct span wire_part_text(struct unpack *u)
{
    struct span s = wire_part_text_or_nil(u);
    if (!s.p)
        u->failed = true;
    return s;
}

struct span wire_part_raw(struct unpack *u, enum unpack_type want)
{
    if (unpack_peek(u) != want)
        u->failed = true;
    return unpack_raw(u);
}

struct wire_token wire_part_token(struct unpack *u)
{
    struct wire_token t;
    t.task = unpack_u64(u);
    t.epoch = unpack_u64(u);
    t.counter = unpack_u64(u);
    return t;
}

void wire_part_stats(struct unpack *u, struct arena *a, struct wire_stat **ret, size_t *ret_n,
                     bool *nomem)
{
    size_t n = wire_part_count(u, 3, STATS_MAX), extra;
    struct wire_stat *stats = wire_part_room(u, a, n, sizeof *stats, nomem);
    for (size_t i = 0; i < n && unpack_ok(u); i++) {
        unpack_tuple(u, 2, &extra);
        stats[i].name = wire_part_text(u);
        stats[i].value = unpack_i64(u);
        unpack_skip_n(u, extra);
    }
    *ret = stats;
    *ret_n = n;
}

int wire_part_end(const struct unpack *u, bool nomem, const char *what, struct error *e)
{
    if (nomem)
        return error_set(e, ERR_NOMEM, "%s: no memory, or it is too large", what);
    if (!unpack_finished(u))
        return error_set(e, ERR_MALFORMED, "%s: not as the protocol says", what);
    return ERR_OK;
}
