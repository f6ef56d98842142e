/*
 * fn_text.c: text functions that look at or change single characters: case, length, trimming,
 * joining, LIKE. Vectors whose texts are all ASCII, which is known from reading, go a short way.
 */
#include "fn.h"

#include "like.h"
#include "common/textcase.h"

#define T(k) args[k]->text[i]

/* ---- case ---- */

typedef uint8_t bytes16 __attribute__((vector_size(16)));

/* All texts one after another. Each writes up to fifteen bytes into the place of the next one,
 * which then overwrites them. */
static void fold_ascii(struct eval *v, const struct vec *in, const struct sel *sel, struct vec *out,
                       uint8_t first)
{
    size_t bytes = 0;
    SEL_EACH(sel, i)
    bytes += in->text[i].len;
    char *to = eval_room(v, bytes);
    SEL_EACH(sel, i)
    {
        const char *from = in->text[i].p;
        size_t n = v->error ? 0 : in->text[i].len;
        for (size_t k = 0; k < n; k += sizeof(bytes16)) {
            bytes16 b;
            memcpy(&b, from + k, sizeof b);
            b ^= (bytes16)((b - first) < 26) & 0x20;
            memcpy(to + k, &b, sizeof b);
        }
        out->text[i].p = to;
        out->text[i].len = n;
        to += n;
    }
    (void)eval_keep(v, v->error ? 0 : bytes);
}

static void fold(struct eval *v, const struct vec *in, const struct sel *sel, struct vec *out,
                 bool up)
{
    out->ascii = in->ascii;
    if (in->ascii) {
        fold_ascii(v, in, sel, out, up ? 'a' : 'A');
        return;
    }
    SEL_EACH(sel, i)
    {
        struct span s = in->text[i];
        /* A letter of two bytes may become one of three, never more. */
        char *to = eval_room(v, s.len * 2 + TEXTCASE_BYTES_MAX);
        size_t n = 0;
        for (size_t at = 0, len; at < s.len && !v->error; at += len) {
            uint32_t c = textcase_read(s.p + at, &len);
            n += textcase_write(up ? textcase_to_upper(c) : textcase_to_lower(c), to + n);
        }
        out->text[i] = eval_keep(v, n);
    }
}

KERNEL(lower)
{
    fold(v, args[0], sel, out, false);
}

KERNEL(upper)
{
    fold(v, args[0], sel, out, true);
}

KERNEL(initcap)
{
    SEL_EACH(sel, i)
    {
        struct span s = T(0);
        char *to = eval_room(v, s.len * 2 + TEXTCASE_BYTES_MAX);
        size_t n = 0;
        bool word = false;
        for (size_t at = 0, len; at < s.len && !v->error; at += len) {
            uint32_t c = textcase_read(s.p + at, &len);
            n += textcase_write(word ? textcase_to_lower(c) : textcase_to_upper(c), to + n);
            word = textcase_is_alnum(c);
        }
        out->text[i] = eval_keep(v, n);
    }
    out->ascii = args[0]->ascii;
}

/* ---- length ---- */

KERNEL(length)
{
    SEL_EACH(sel, i)
    out->i64[i] = (int64_t)(args[0]->ascii ? T(0).len : textcase_count(T(0)));
}

KERNEL(octet_length)
{
    SEL_EACH(sel, i)
    out->i64[i] = (int64_t)T(0).len;
}

/* ---- trimming ---- */

enum { TRIM_LEFT = 1, TRIM_RIGHT = 2 };

static void trim_blanks(const struct vec *in, const struct sel *sel, struct vec *out, int sides)
{
    SEL_EACH(sel, i)
    {
        struct span s = in->text[i];
        while ((sides & TRIM_LEFT) && s.len > 0 && s.p[0] == ' ') {
            s.p++;
            s.len--;
        }
        while ((sides & TRIM_RIGHT) && s.len > 0 && s.p[s.len - 1] == ' ')
            s.len--;
        out->text[i].p = s.p; /* one by one: see load.c, raw_at */
        out->text[i].len = s.len;
    }
    out->ascii = in->ascii;
}

/* Is the character of len bytes at p one of set? */
static bool among(struct span set, const char *p, size_t len)
{
    for (size_t at = 0; at + len <= set.len; at++)
        if (textcase_starts(set.p[at]) && memcmp(set.p + at, p, len) == 0)
            return true;
    return false;
}

static void trim(const struct vec *const *args, const struct expr *call, const struct sel *sel,
                 struct vec *out, int sides)
{
    if (call->n_args == 1) {
        trim_blanks(args[0], sel, out, sides);
        return;
    }
    SEL_EACH(sel, i)
    {
        struct span s = T(0), set = T(1);
        while ((sides & TRIM_LEFT) && s.len > 0) {
            size_t len;
            textcase_read(s.p, &len);
            if (!among(set, s.p, len))
                break;
            s.p += len;
            s.len -= len;
        }
        while ((sides & TRIM_RIGHT) && s.len > 0) {
            size_t from = s.len - 1;
            while (!textcase_starts(s.p[from]))
                from--;
            if (!among(set, s.p + from, s.len - from))
                break;
            s.len = from;
        }
        out->text[i] = s;
    }
    out->ascii = args[0]->ascii;
}

KERNEL(trim_both)
{
    trim(args, call, sel, out, TRIM_LEFT | TRIM_RIGHT);
}

KERNEL(trim_left)
{
    trim(args, call, sel, out, TRIM_LEFT);
}

KERNEL(trim_right)
{
    trim(args, call, sel, out, TRIM_RIGHT);
}

/* ---- joining ---- */

/* Of all arguments that are not NULL, with a separator or none between them. */
static void join(struct eval *v, const struct expr *call, const struct vec *const *args,
                 const struct sel *sel, struct vec *out, bool separated)
{
    uint32_t first = separated;
    SEL_EACH(sel, i)
    {
        size_t n = 0;
        bool any = false;
        if (separated && vec_is_null(args[0], i)) {
            vec_set_null(out, i);
            continue;
        }
        struct span between = separated ? T(0) : (struct span){"", 0};
        for (uint32_t k = first; k < call->n_args; k++)
            n += vec_is_null(args[k], i) ? 0 : T(k).len + between.len;
        char *to = eval_room(v, n);
        n = 0;
        for (uint32_t k = first; k < call->n_args && !v->error; k++) {
            if (vec_is_null(args[k], i))
                continue;
            if (any) {
                memcpy(to + n, between.p, between.len);
                n += between.len;
            }
            memcpy(to + n, T(k).p, T(k).len);
            n += T(k).len;
            any = true;
        }
        out->text[i] = eval_keep(v, n);
    }
    out->ascii = true;
    for (uint32_t k = 0; k < call->n_args; k++)
        out->ascii &= args[k]->ascii;
}

KERNEL(concat)
{
    join(v, call, args, sel, out, false);
}

KERNEL(concat_ws)
{
    join(v, call, args, sel, out, true);
}

/* ---- LIKE ---- */

static void match(struct eval *v, const struct expr *call, const struct vec *const *args,
                  const struct sel *sel, struct vec *out, bool fold_case, bool negate)
{
    struct like pattern;
    bool ready = false;
    SEL_EACH(sel, i)
    {
        if (!ready || !args[1]->constant)
            ready = like_compile(&pattern, T(1), fold_case, &v->scratch);
        if (!ready)
            eval_fault(v, i, FAULT_ARGUMENT, call);
        else
            out->b8[i] = like_match(&pattern, T(0)) != negate;
    }
}

KERNEL(like)
{
    match(v, call, args, sel, out, false, false);
}

KERNEL(not_like)
{
    match(v, call, args, sel, out, false, true);
}

KERNEL(ilike)
{
    match(v, call, args, sel, out, true, false);
}

KERNEL(not_ilike)
{
    match(v, call, args, sel, out, true, true);
}

KERNEL(starts_with)
{
    SEL_EACH(sel, i)
    out->b8[i] = T(1).len <= T(0).len && memcmp(T(0).p, T(1).p, T(1).len) == 0;
}

/* ---- single characters ---- */

KERNEL(ascii)
{
    SEL_EACH(sel, i)
    {
        size_t len;
        out->i64[i] = T(0).len > 0 ? textcase_read(T(0).p, &len) : 0;
    }
}

KERNEL(chr)
{
    SEL_EACH(sel, i)
    {
        int64_t c = args[0]->i64[i];
        size_t n = 0;
        if (c < 1 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
            eval_fault(v, i, FAULT_ARGUMENT, call);
        else
            n = textcase_write((uint32_t)c, eval_room(v, TEXTCASE_BYTES_MAX));
        out->text[i] = n > 0 ? eval_keep(v, n) : (struct span){eval_room(v, 0), 0};
    }
}

static const struct func funcs[] = {
    FN1("lower", TEXT, TEXT, lower, "lower('ÀBc')", "àbc"),
    FN1("upper", TEXT, TEXT, upper, "upper('àbc')", "ÀBC"),
    FN1("initcap", TEXT, TEXT, initcap, "initcap('hELLO wORLD 2nd')", "Hello World 2nd"),
    FN1("length", INT4, TEXT, length, "length('né')", "2"),
    FN1("char_length", INT4, TEXT, length, "char_length('né')", "2"),
    FN1("character_length", INT4, TEXT, length, "character_length('né')", "2"),
    FN1("octet_length", INT4, TEXT, octet_length, "octet_length('né')", "3"),
    FN1("btrim", TEXT, TEXT, trim_both, "btrim('  a ')", "a"),
    FN2("btrim", TEXT, TEXT, TEXT, trim_both, "trim(both 'xy' from 'xyaxy')", "a"),
    FN1("ltrim", TEXT, TEXT, trim_left, "ltrim('  a ')", "a "),
    FN2("ltrim", TEXT, TEXT, TEXT, trim_left, "ltrim('éèa', 'èé')", "a"),
    FN1("rtrim", TEXT, TEXT, trim_right, "rtrim('  a ')", "  a"),
    FN2("rtrim", TEXT, TEXT, TEXT, trim_right, "rtrim('axyx', 'xy')", "a"),
    OP2("||", TEXT, TEXT, TEXT, concat, "'a' || 'b'", "ab"),
    FN("concat", TEXT, concat, "concat('a', NULL, 1, true)", "a1t",
       FUNC_NULLS | FUNC_VARIADIC | FUNC_TO_TEXT, 1, SQLTYPE_TEXT),
    FN("concat_ws", TEXT, concat_ws, "concat_ws('-', 'a', NULL, 1.50)", "a-1.50",
       FUNC_NULLS | FUNC_VARIADIC | FUNC_TO_TEXT, 2, SQLTYPE_TEXT, SQLTYPE_TEXT),
    OP2("~~", BOOL, TEXT, TEXT, like, "'drover' LIKE 'd_o%'", "t"),
    OP2("!~~", BOOL, TEXT, TEXT, not_like, "'drover' NOT LIKE '%x%'", "t"),
    OP2("~~*", BOOL, TEXT, TEXT, ilike, "'DROVER' ILIKE '%ov%'", "t"),
    OP2("!~~*", BOOL, TEXT, TEXT, not_ilike, "'DROVER' NOT ILIKE 'd%'", "f"),
    FN2("starts_with", BOOL, TEXT, TEXT, starts_with, "starts_with('drover', 'dro')", "t"),
    FN1("ascii", INT4, TEXT, ascii, "ascii('é')", "233"),
    FN1("chr", TEXT, INT4, chr, "chr(233)", "é"),
};

FN_TABLE(fn_text_table, funcs);
