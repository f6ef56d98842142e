#include "like.h"

#include "common/textcase.h"

enum { LIKE_ANY = 0 }; /* texts have no NUL */

/* The shapes that a search for bytes decides: abc, abc%, %abc, %abc%. */
static void find_shape(struct like *l, bool any, char *bytes)
{
    const struct like_part *p = l->parts;
    size_t filled = l->n_parts, n = 0;
    l->shape = LIKE_GENERAL;
    if (l->fold || any || l->n_parts > 3)
        return;
    if (l->n_parts == 1)
        l->shape = LIKE_EQUAL, filled = 0;
    else if (l->n_parts == 2 && p[1].n == 0)
        l->shape = LIKE_PREFIX, filled = 0;
    else if (l->n_parts == 2 && p[0].n == 0)
        l->shape = LIKE_SUFFIX, filled = 1;
    else if (l->n_parts == 3 && p[0].n == 0 && p[2].n == 0)
        l->shape = LIKE_CONTAINS, filled = 1;
    else
        return;
    for (size_t i = 0; i < p[filled].n; i++)
        n += textcase_write(p[filled].chars[i], bytes + n);
    l->literal = (struct span){bytes, n};
}

bool like_compile(struct like *l, struct span pattern, bool fold, struct arena *a)
{
    uint32_t *chars = arena_alloc(a, (pattern.len + 1) * sizeof *chars);
    char *bytes = arena_alloc(a, pattern.len + 1);
    size_t n = 0, n_parts = 1;
    bool any = false;
    for (size_t i = 0; i < pattern.len; i++)
        n_parts += pattern.p[i] == '%';
    *l = (struct like){.fold = fold, .n_parts = 1};
    l->parts = arena_alloc(a, n_parts * sizeof *l->parts);
    if (!chars || !bytes || !l->parts)
        return false;
    l->parts[0] = (struct like_part){chars, 0};
    for (size_t at = 0, len; at < pattern.len; at += len) {
        uint32_t c = textcase_read(pattern.p + at, &len);
        if (c == '%') {
            l->parts[l->n_parts++] = (struct like_part){chars + n, 0};
            continue;
        }
        if (c == '\\') {
            at += len;
            if (at >= pattern.len)
                return false;
            c = textcase_read(pattern.p + at, &len);
        } else if (c == '_') {
            c = LIKE_ANY;
            any = true;
        }
        chars[n++] = fold ? textcase_to_lower(c) : c;
        l->parts[l->n_parts - 1].n++;
    }
    find_shape(l, any, bytes);
    return true;
}

/* Does the part stand at the start of s? *ret: the bytes it takes. */
static bool part_at(const struct like *l, const struct like_part *part, struct span s, size_t *ret)
{
    size_t at = 0;
    for (size_t k = 0; k < part->n; k++) {
        size_t len;
        if (at >= s.len)
            return false;
        uint32_t c = textcase_read(s.p + at, &len);
        if (part->chars[k] != LIKE_ANY && part->chars[k] != (l->fold ? textcase_to_lower(c) : c))
            return false;
        at += len;
    }
    *ret = at;
    return true;
}

static size_t step(struct span s)
{
    size_t len;
    textcase_read(s.p, &len);
    return len;
}

/* Each part at the first place that it fits: no later place could do better. */
static bool match_parts(const struct like *l, struct span s)
{
    size_t len;
    if (!part_at(l, &l->parts[0], s, &len))
        return false;
    s = (struct span){s.p + len, s.len - len};
    for (size_t k = 1; k + 1 < l->n_parts; k++) {
        while (!part_at(l, &l->parts[k], s, &len)) {
            if (s.len == 0)
                return false;
            size_t skip = step(s);
            s = (struct span){s.p + skip, s.len - skip};
        }
        s = (struct span){s.p + len, s.len - len};
    }
    if (l->n_parts == 1)
        return s.len == 0;
    const struct like_part *last = &l->parts[l->n_parts - 1];
    size_t count = textcase_count(s);
    if (count < last->n)
        return false;
    size_t skip = textcase_bytes(s, count - last->n);
    return part_at(l, last, (struct span){s.p + skip, s.len - skip}, &len);
}

bool like_match(const struct like *l, struct span s)
{
    struct span w = l->literal;
    switch (l->shape) {
    case LIKE_EQUAL:
        return span_eq(s, w);
    case LIKE_PREFIX:
        return s.len >= w.len && memcmp(s.p, w.p, w.len) == 0;
    case LIKE_SUFFIX:
        return s.len >= w.len && memcmp(s.p + s.len - w.len, w.p, w.len) == 0;
    case LIKE_CONTAINS:
        return memmem(s.p, s.len, w.p, w.len) != NULL;
    case LIKE_GENERAL:
        break;
    }
    return match_parts(l, s);
}
