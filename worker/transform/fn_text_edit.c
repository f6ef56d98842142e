/*
 * fn_text_edit.c: text functions that cut, search, replace and fill. Positions are characters, from
 * 1, as everywhere in SQL.
 */
#include "fn.h"

#include "common/textcase.h"

enum { TEXT_BYTES_MAX = 16 * 1024 * 1024 }; /* of one result */

#define T(k) args[k]->text[i]
#define N(k) args[k]->i64[i]

static size_t count(const struct vec *x, struct span s)
{
    return x->ascii ? s.len : textcase_count(s);
}

static size_t bytes(const struct vec *x, struct span s, size_t n)
{
    return x->ascii ? MIN(n, s.len) : textcase_bytes(s, n);
}

/* Characters [from, to) of s, counted from 0. */
static struct span slice(const struct vec *x, struct span s, size_t from, size_t to)
{
    size_t skip = bytes(x, s, from);
    struct span rest = {s.p + skip, s.len - skip};
    return (struct span){rest.p, to > from ? bytes(x, rest, to - from) : 0};
}

/* ---- cutting ---- */

KERNEL(substring)
{
    SEL_EACH(sel, i)
    {
        int64_t from = N(1) - 1, to = INT64_MAX;
        if (call->n_args == 3) {
            if (N(2) < 0) {
                eval_fault(v, i, FAULT_ARGUMENT, call);
                out->text[i] = (struct span){T(0).p, 0};
                continue;
            }
            to = MAX(from + N(2), (int64_t)0);
        }
        from = MAX(from, (int64_t)0);
        out->text[i] = slice(args[0], T(0), (size_t)from, (size_t)to);
    }
    out->ascii = args[0]->ascii;
}

/* The first n characters; of a negative n, all but the last -n. */
KERNEL(left)
{
    SEL_EACH(sel, i)
    {
        int64_t n = N(1);
        if (n < 0)
            n = MAX((int64_t)count(args[0], T(0)) + n, (int64_t)0);
        out->text[i] = slice(args[0], T(0), 0, (size_t)n);
    }
    out->ascii = args[0]->ascii;
}

KERNEL(right)
{
    SEL_EACH(sel, i)
    {
        int64_t n = N(1), all = (int64_t)count(args[0], T(0));
        int64_t from = n < 0 ? -n : MAX(all - n, (int64_t)0);
        out->text[i] = slice(args[0], T(0), (size_t)from, SIZE_MAX);
    }
    out->ascii = args[0]->ascii;
}

/* ---- searching ---- */

KERNEL(position)
{
    SEL_EACH(sel, i)
    {
        const char *at = memmem(T(0).p, T(0).len, T(1).p, T(1).len);
        struct span before = {T(0).p, at ? (size_t)(at - T(0).p) : 0};
        out->i64[i] = at ? (int64_t)count(args[0], before) + 1 : 0;
    }
}

/* The n-th occurrence of what in s, from the end when n is negative; NULL: there are not so many.
 * */
static const char *nth(struct span s, struct span what, int64_t n)
{
    const char *found = NULL;
    if (n > 0) {
        for (; n > 0; n--) {
            found = memmem(s.p, s.len, what.p, what.len);
            if (!found)
                return NULL;
            s.len -= (size_t)(found - s.p) + what.len;
            s.p = found + what.len;
        }
        return found;
    }
    for (; n < 0; n++) {
        found = NULL;
        for (size_t at = s.len; at-- > 0 && !found;)
            if (at + what.len <= s.len && memcmp(s.p + at, what.p, what.len) == 0)
                found = s.p + at;
        if (!found)
            return NULL;
        s.len = (size_t)(found - s.p);
    }
    return found;
}

static struct span part_of(struct span s, struct span by, int64_t n)
{
    const char *end = s.p + s.len, *from = s.p, *to = end;
    struct span none = {s.p, 0};
    if (s.len == 0)
        return none;
    if (by.len == 0)
        return n == 1 || n == -1 ? s : none;
    if (n > 0) {
        if (n > 1) {
            from = nth(s, by, n - 1);
            if (!from)
                return none;
            from += by.len;
        }
        to = nth((struct span){from, (size_t)(end - from)}, by, 1);
        to = to ? to : end;
    } else {
        if (n < -1) {
            to = nth(s, by, n + 1);
            if (!to)
                return none;
        }
        const char *before = nth((struct span){s.p, (size_t)(to - s.p)}, by, -1);
        from = before ? before + by.len : s.p;
    }
    return (struct span){from, (size_t)(to - from)};
}

KERNEL(split_part)
{
    SEL_EACH(sel, i)
    {
        if (N(2) == 0)
            eval_fault(v, i, FAULT_ARGUMENT, call);
        out->text[i] = part_of(T(0), T(1), N(2) == 0 ? 1 : N(2));
    }
    out->ascii = args[0]->ascii;
}

/* ---- making ---- */

/* Room for a result; false: it is too large, and the row has a fault. */
static bool room(struct eval *v, const struct expr *call, struct vec *out, uint32_t i, size_t n)
{
    bool fits = n <= TEXT_BYTES_MAX;
    if (!fits)
        eval_fault(v, i, FAULT_OVERFLOW, call);
    out->text[i] = (struct span){eval_room(v, fits ? n : 0), 0};
    return fits && !v->error;
}

KERNEL(replace)
{
    SEL_EACH(sel, i)
    {
        struct span s = T(0), what = T(1), by = T(2);
        size_t found = 0, n = 0;
        const char *end = s.p + s.len;
        if (what.len > 0)
            for (const char *p = s.p; (p = memmem(p, (size_t)(end - p), what.p, what.len));
                 p += what.len)
                found++;
        if (found == 0) {
            out->text[i] = s;
            continue;
        }
        if (!room(v, call, out, i, s.len - found * what.len + found * by.len))
            continue;
        char *to = v->room;
        for (; found > 0; found--) {
            const char *p = memmem(s.p, s.len, what.p, what.len);
            size_t before = (size_t)(p - s.p);
            memcpy(to + n, s.p, before);
            memcpy(to + n + before, by.p, by.len);
            n += before + by.len;
            s = (struct span){p + what.len, (size_t)(end - p) - what.len};
        }
        memcpy(to + n, s.p, s.len);
        out->text[i] = eval_keep(v, n + s.len);
    }
    out->ascii = args[0]->ascii && args[2]->ascii;
}

/* Each character that is in `from` becomes the one at its place in `to`, or nothing. */
KERNEL(translate)
{
    SEL_EACH(sel, i)
    {
        struct span s = T(0), from = T(1), to = T(2);
        size_t n = 0;
        if (!room(v, call, out, i, s.len * TEXTCASE_BYTES_MAX))
            continue;
        char *p = v->room;
        for (size_t at = 0, len; at < s.len; at += len) {
            textcase_read(s.p + at, &len);
            size_t place = 0, k = 0, m = 0;
            bool found = false;
            for (; k < from.len && !found; k += m, place += !found) {
                textcase_read(from.p + k, &m);
                found = m == len && memcmp(from.p + k, s.p + at, len) == 0;
            }
            struct span with = {s.p + at, len};
            if (found) {
                size_t skip = textcase_bytes(to, place);
                with = (struct span){to.p + skip, 0};
                with.len = textcase_bytes((struct span){to.p + skip, to.len - skip}, 1);
            }
            memcpy(p + n, with.p, with.len);
            n += with.len;
        }
        out->text[i] = eval_keep(v, n);
    }
    out->ascii = args[0]->ascii && args[2]->ascii;
}

static size_t put_fill(char *to, struct span fill, size_t fill_chars, size_t chars)
{
    size_t n = 0;
    for (; chars >= fill_chars; chars -= fill_chars) {
        memcpy(to + n, fill.p, fill.len);
        n += fill.len;
    }
    size_t rest = textcase_bytes(fill, chars);
    memcpy(to + n, fill.p, rest);
    return n + rest;
}

static void pad(struct eval *v, const struct expr *call, const struct vec *const *args,
                const struct sel *sel, struct vec *out, bool at_left)
{
    SEL_EACH(sel, i)
    {
        struct span s = T(0), fill = call->n_args == 3 ? T(2) : (struct span){" ", 1};
        size_t want = (size_t)MAX(N(1), (int64_t)0), have = count(args[0], s);
        if (want <= have || fill.len == 0) {
            out->text[i] = slice(args[0], s, 0, want);
            continue;
        }
        size_t missing = want - have, chars = textcase_count(fill);
        if (!room(v, call, out, i,
                  MIN(s.len + (missing / chars + 1) * fill.len,
                      (size_t)TEXT_BYTES_MAX + (missing > TEXT_BYTES_MAX))))
            continue;
        char *to = v->room;
        size_t n = at_left ? put_fill(to, fill, chars, missing) : 0;
        memcpy(to + n, s.p, s.len);
        n += s.len;
        n += at_left ? 0 : put_fill(to + n, fill, chars, missing);
        out->text[i] = eval_keep(v, n);
    }
    out->ascii = args[0]->ascii && (call->n_args < 3 || args[2]->ascii);
}

KERNEL(lpad)
{
    pad(v, call, args, sel, out, true);
}

KERNEL(rpad)
{
    pad(v, call, args, sel, out, false);
}

KERNEL(repeat)
{
    SEL_EACH(sel, i)
    {
        struct span s = T(0);
        size_t times = (size_t)MAX(N(1), (int64_t)0), n;
        if (__builtin_mul_overflow(s.len, times, &n))
            n = SIZE_MAX;
        if (!room(v, call, out, i, n))
            continue;
        for (size_t at = 0; at < n; at += s.len)
            memcpy(v->room + at, s.p, s.len);
        out->text[i] = eval_keep(v, n);
    }
    out->ascii = args[0]->ascii;
}

KERNEL(reverse)
{
    SEL_EACH(sel, i)
    {
        struct span s = T(0);
        if (!room(v, call, out, i, s.len))
            continue;
        char *end = v->room + s.len;
        for (size_t at = 0, len; at < s.len; at += len) {
            textcase_read(s.p + at, &len);
            end -= len;
            memcpy(end, s.p + at, len);
        }
        out->text[i] = eval_keep(v, s.len);
    }
    out->ascii = args[0]->ascii;
}

static const struct func funcs[] = {
    FN2("substring", TEXT, TEXT, INT4, substring, "substring('drôver' from 3)", "ôver"),
    FN3("substring", TEXT, TEXT, INT4, INT4, substring, "substring('drôver' from 3 for 2)", "ôv"),
    FN2("substr", TEXT, TEXT, INT4, substring, "substr('drover', -1)", "drover"),
    FN3("substr", TEXT, TEXT, INT4, INT4, substring, "substr('drover', 0, 3)", "dr"),
    FN2("left", TEXT, TEXT, INT4, left, "left('drover', -2)", "drov"),
    FN2("right", TEXT, TEXT, INT4, right, "right('drover', 2)", "er"),
    FN2("position", INT4, TEXT, TEXT, position, "position('v' in 'drôver')", "4"),
    FN2("strpos", INT4, TEXT, TEXT, position, "strpos('drover', 'x')", "0"),
    FN3("split_part", TEXT, TEXT, TEXT, INT4, split_part, "split_part('a,b,c', ',', -1)", "c"),
    FN3("replace", TEXT, TEXT, TEXT, TEXT, replace, "replace('abcabc', 'b', '--')", "a--ca--c"),
    FN3("translate", TEXT, TEXT, TEXT, TEXT, translate, "translate('12345', '143', 'ax')", "a2x5"),
    FN2("lpad", TEXT, TEXT, INT4, lpad, "lpad('7', 3)", "  7"),
    FN3("lpad", TEXT, TEXT, INT4, TEXT, lpad, "lpad('7', 4, 'xy')", "xyx7"),
    FN2("rpad", TEXT, TEXT, INT4, rpad, "rpad('drover', 3)", "dro"),
    FN3("rpad", TEXT, TEXT, INT4, TEXT, rpad, "rpad('7', 4, 'xy')", "7xyx"),
    FN2("repeat", TEXT, TEXT, INT4, repeat, "repeat('ab', 2)", "abab"),
    FN1("reverse", TEXT, TEXT, reverse, "reverse('añb')", "bña"),
};

FN_TABLE(fn_text_edit_table, funcs);
