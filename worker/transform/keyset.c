#include "keyset.h"

#include "common/utf8.h"

/* Few keys have many slots: two that collide cost a branch that is guessed wrong. */
enum { ENTRIES_MIN = 64, SLOTS_MIN = 1024 };

void keyset_init(struct keyset *k, size_t limit_bytes)
{
    *k = (struct keyset){.limit_bytes = limit_bytes};
    arena_init(&k->memory, limit_bytes);
}

void keyset_done(struct keyset *k)
{
    arena_done(&k->memory);
    free(k->entries);
    free(k->slots);
    *k = (struct keyset){0};
}

static bool grow(struct keyset *k)
{
    uint32_t cap = MAX(k->cap * 2, (uint32_t)ENTRIES_MIN),
             n_slots = MAX(cap * 2, (uint32_t)SLOTS_MIN);
    size_t bytes = cap * sizeof *k->entries + n_slots * sizeof *k->slots;
    if (cap > UINT32_MAX / 4 || bytes + k->memory.used_bytes > k->limit_bytes)
        return false;
    struct keyset_entry *entries = realloc(k->entries, cap * sizeof *entries);
    if (!entries)
        return false;
    k->entries = entries;
    uint32_t *slots = calloc(n_slots, sizeof *slots);
    if (!slots)
        return false;
    free(k->slots);
    k->slots = slots;
    k->cap = cap;
    k->n_slots = n_slots;
    for (uint32_t i = 0; i < k->n; i++) {
        uint32_t at = k->entries[i].hash & (n_slots - 1);
        while (slots[at])
            at = (at + 1) & (n_slots - 1);
        slots[at] = i + 1;
    }
    return true;
}

static uint32_t insert(struct keyset *k, struct span key, const uint64_t head[2], uint32_t h)
{
    if (k->n == k->cap && !grow(k))
        return KEYSET_NONE;
    char *copy = key.len < UINT32_MAX ? arena_alloc(&k->memory, key.len + VEC_PAD) : NULL;
    if (!copy)
        return KEYSET_NONE;
    memcpy(copy, key.p, key.len);
    memset(copy + key.len, 0, VEC_PAD);
    uint32_t at = h & (k->n_slots - 1);
    while (k->slots[at])
        at = (at + 1) & (k->n_slots - 1);
    k->entries[k->n] = (struct keyset_entry){{head[0], head[1]}, copy, (uint32_t)key.len, h};
    k->slots[at] = ++k->n;
    return k->n - 1;
}

uint32_t keyset_put(struct keyset *k, struct span key, bool *ret_new)
{
    uint64_t head[2];
    uint32_t number = keyset_find(k, key);
    *ret_new = false;
    if (number != KEYSET_NONE)
        return number;
    keyset_head(key, head);
    number = insert(k, key, head, keyset_hash(key, head));
    *ret_new = number != KEYSET_NONE;
    return number;
}

static void encode_num(struct num x, struct arena *scratch, struct buf *out)
{
    struct num s = x;
    if (!num_strip(scratch, x, &s))
        out->failed = true;
    uint8_t scale = s.big ? NUM_BIG : (uint8_t)s.scale;
    buf_byte(out, scale);
    if (!s.big) {
        buf_append(out, &s.m, sizeof s.m);
        return;
    }
    uint32_t n = s.big->n;
    buf_append(out, &n, sizeof n);
    buf_byte(out, s.big->neg);
    buf_append(out, &s.big->scale, sizeof s.big->scale);
    buf_append(out, s.big->limbs, n * sizeof s.big->limbs[0]);
}

void keyset_encode(const struct vec *v, uint32_t i, struct arena *scratch, struct buf *out)
{
    bool null = vec_is_null(v, i);
    buf_byte(out, null);
    if (null)
        return;
    switch (v->type) {
    case SQLTYPE_BOOL:
        buf_byte(out, v->b8[i]);
        break;
    case SQLTYPE_NUMERIC:
        encode_num(vec_num(v, i), scratch, out);
        break;
    case SQLTYPE_FLOAT8: {
        double x = v->f64[i] == 0           ? 0
                   : v->f64[i] != v->f64[i] ? (double)__builtin_nan("")
                                            : v->f64[i];
        buf_append(out, &x, sizeof x);
        break;
    }
    case SQLTYPE_TEXT: {
        uint32_t len = (uint32_t)v->text[i].len;
        buf_append(out, &len, sizeof len);
        buf_append(out, v->text[i].p, len);
        break;
    }
    case SQLTYPE_INTERVAL: {
        __int128 x = calendar_interval_us(v->interval[i]);
        buf_append(out, &x, sizeof x);
        break;
    }
    default:
        buf_append(out, &v->i64[i], sizeof v->i64[i]);
        break;
    }
}

static bool take(struct span *s, void *to, size_t n)
{
    if (s->len < n)
        return false;
    memcpy(to, s->p, n);
    s->p += n;
    s->len -= n;
    return true;
}

static bool decode_num(struct span *s, struct vec *v, uint32_t i, struct arena *a)
{
    struct num x = {0};
    uint8_t scale, neg;
    uint32_t n;
    int32_t big_scale;
    if (!take(s, &scale, sizeof scale))
        return false;
    if (scale != NUM_BIG) {
        x.scale = scale;
        bool ok = scale <= NUM_SCALE_MAX && take(s, &x.m, sizeof x.m);
        vec_put_num(v, i, x);
        return ok;
    }
    if (!take(s, &n, sizeof n) || n > BIG_DIGITS_MAX || !take(s, &neg, sizeof neg) ||
        !take(s, &big_scale, sizeof big_scale) || big_scale < 0 || big_scale > BIG_DIGITS_MAX)
        return false;
    struct big *b = arena_alloc(a, sizeof *b + n * sizeof b->limbs[0]);
    if (!b || !take(s, b->limbs, n * sizeof b->limbs[0]))
        return false;
    b->scale = big_scale;
    b->n = n;
    b->neg = neg != 0;
    for (uint32_t k = 0; k < n; k++)
        if (b->limbs[k] >= BIG_LIMB)
            return false;
    if (n > 0 && b->limbs[n - 1] == 0)
        return false;
    x.big = b;
    vec_put_num(v, i, x);
    return true;
}

static bool decode_text(struct span *s, struct vec *v, uint32_t i, struct arena *a)
{
    uint32_t len;
    if (!take(s, &len, sizeof len) || len != s->len)
        return false;
    char *to = arena_alloc(a, (size_t)len + VEC_PAD);
    if (!to || !take(s, to, len))
        return false;
    memset(to + len, 0, VEC_PAD);
    v->text[i] = (struct span){to, len};
    return utf8_valid_prefix(v->text[i]) == len && !memchr(to, '\0', len);
}

/* NULL is in no set of values. */
bool keyset_decode(struct span bytes, struct vec *v, uint32_t i, struct arena *a)
{
    uint8_t null;
    bool ok;
    __int128 us;
    vec_no_nulls(v);
    v->scale = v->type == SQLTYPE_NUMERIC ? VEC_MIXED : 0;
    if (!take(&bytes, &null, sizeof null) || null != 0)
        return false;
    switch (v->type) {
    case SQLTYPE_BOOL:
        ok = take(&bytes, &v->b8[i], 1) && v->b8[i] <= 1;
        break;
    case SQLTYPE_NUMERIC:
        ok = decode_num(&bytes, v, i, a);
        break;
    case SQLTYPE_TEXT:
        ok = decode_text(&bytes, v, i, a);
        break;
    case SQLTYPE_INTERVAL: /* only counted */
        ok = take(&bytes, &us, sizeof us);
        v->interval[i] = (struct interval){0};
        break;
    default: /* the bits of a double too */
        ok = take(&bytes, &v->i64[i], sizeof v->i64[i]);
        break;
    }
    return ok && bytes.len == 0;
}
