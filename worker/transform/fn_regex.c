/*
 * fn_regex.c: regular expressions. A pattern is a constant and compiled when the plan is made;
 * what a match needs beside it is made for each piece of rows.
 */
#include "fn.h"

#include <stdio.h>

#include "plan.h"
#include "regex.h"

/* ---- compiling ---- */

static void free_regex(void *regex)
{
    regex_free(regex);
}

/* g and i, as flags of a function; PostgreSQL's others are refused. */
static bool read_flags(const struct expr *call, uint32_t at, bool *ret_all, bool *ret_fold,
                       char why[FUNC_WHY_LEN])
{
    *ret_all = *ret_fold = false;
    if (at >= call->n_args)
        return true;
    struct span flags = call->args[at]->value.text;
    for (size_t i = 0; i < flags.len; i++) {
        *ret_all |= flags.p[i] == 'g';
        *ret_fold |= flags.p[i] == 'i';
        if (flags.p[i] != 'g' && flags.p[i] != 'i') {
            snprintf(why, FUNC_WHY_LEN, "the flag '%c' is not supported; there are g and i",
                     flags.p[i]);
            return false;
        }
    }
    return true;
}

static bool compile(struct plan *p, const struct expr *call, bool fold, bool extent,
                    const void **ret, char why[FUNC_WHY_LEN])
{
    char reason[REGEX_WHY_LEN];
    struct regex *r;
    if (!regex_new(call->args[1]->value.text, fold, extent, &r, reason)) {
        if (reason[0] != '\0')
            snprintf(why, FUNC_WHY_LEN, "the pattern: %s", reason);
        return false;
    }
    *ret = r;
    return plan_keep(p, r, free_regex);
}

static bool prepare_match(struct plan *p, const struct expr *call, const void **ret,
                          char why[FUNC_WHY_LEN])
{
    return compile(p, call, call->func->name[strlen(call->func->name) - 1] == '*', false, ret, why);
}

static bool prepare_like(struct plan *p, const struct expr *call, const void **ret,
                         char why[FUNC_WHY_LEN])
{
    bool all, fold;
    return read_flags(call, 2, &all, &fold, why) && compile(p, call, fold, false, ret, why);
}

static bool prepare_extent(struct plan *p, const struct expr *call, const void **ret,
                           char why[FUNC_WHY_LEN])
{
    bool all, fold;
    return read_flags(call, 3, &all, &fold, why) && compile(p, call, fold, true, ret, why);
}

/* ---- matching ---- */

/* For the rows of a piece; NULL: no memory, which is noted. */
static struct regex_run *begin(struct eval *v, const struct expr *call)
{
    struct regex_run *run = regex_run_new(call->prepared);
    if (!run)
        v->error = ERR_NOMEM;
    return run;
}

static void match(struct eval *v, const struct expr *call, const struct vec *const *args,
                  const struct sel *sel, struct vec *out, bool negate)
{
    struct regex_run *run = begin(v, call);
    SEL_EACH(sel, i)
    {
        enum regex_found found = run ? regex_is_in(run, args[0]->text[i]) : REGEX_NO;
        out->b8[i] = (found == REGEX_YES) != negate;
        if (found == REGEX_LIMIT)
            eval_fault(v, i, FAULT_REGEX, call);
    }
    regex_run_free(run);
}

KERNEL(matches)
{
    match(v, call, args, sel, out, false);
}

KERNEL(matches_not)
{
    match(v, call, args, sel, out, true);
}

/* ---- finding ---- */

/* The whole match, or the first group of the pattern when it has one and that is asked for. */
static void find(struct eval *v, const struct expr *call, const struct vec *const *args,
                 const struct sel *sel, struct vec *out, bool first_group)
{
    struct regex_run *run = begin(v, call);
    struct regex_match m = {0};
    SEL_EACH(sel, i)
    {
        struct span s = args[0]->text[i];
        enum regex_found found = run ? regex_find(run, s, 0, &m) : REGEX_NO;
        unsigned group = first_group && m.n_groups > 0 ? 1 : 0;
        out->text[i] = (struct span){s.p, 0};
        if (found == REGEX_LIMIT)
            eval_fault(v, i, FAULT_REGEX, call);
        else if (found == REGEX_NO || m.from[group] == SIZE_MAX)
            vec_set_null(out, i);
        else
            out->text[i] = (struct span){s.p + m.from[group], m.to[group] - m.from[group]};
    }
    out->ascii = args[0]->ascii;
    regex_run_free(run);
}

KERNEL(substring)
{
    find(v, call, args, sel, out, true);
}

KERNEL(regexp_substr)
{
    find(v, call, args, sel, out, false);
}

/* Where to look for the next match: behind this one, and at least a character on. */
static size_t next_from(struct span s, const struct regex_match *m)
{
    size_t at = m->to[0];
    if (m->from[0] != m->to[0])
        return at;
    do
        at++;
    while (at < s.len && ((uint8_t)s.p[at] & 0xc0) == 0x80);
    return at;
}

KERNEL(regexp_count)
{
    struct regex_run *run = begin(v, call);
    SEL_EACH(sel, i)
    {
        struct span s = args[0]->text[i];
        struct regex_match m;
        enum regex_found found = REGEX_NO;
        out->i64[i] = 0;
        for (size_t from = 0; run && from <= s.len; from = next_from(s, &m)) {
            found = regex_find(run, s, from, &m);
            if (found != REGEX_YES)
                break;
            out->i64[i]++;
        }
        if (found == REGEX_LIMIT)
            eval_fault(v, i, FAULT_REGEX, call);
    }
    regex_run_free(run);
}

/* ---- replacing ---- */

/* The replacement, in which \1 to \9 are groups, \& the whole and \\ a backslash. */
static void put_replacement(struct buf *out, struct span with, struct span s,
                            const struct regex_match *m)
{
    for (size_t i = 0; i < with.len; i++) {
        char c = with.p[i], next = i + 1 < with.len ? with.p[i + 1] : '\0';
        unsigned group = next == '&' ? 0 : (unsigned)(next - '0');
        bool is_group = c == '\\' && (next == '&' || (next >= '1' && next <= '9'));
        if (!is_group) {
            buf_byte(out, (uint8_t)c);
            i += c == '\\' && next == '\\';
            continue;
        }
        if (m->from[group] != SIZE_MAX)
            buf_append(out, s.p + m->from[group], m->to[group] - m->from[group]);
        i++;
    }
}

static enum regex_found replace(struct regex_run *run, struct span s, struct span with, bool all,
                                struct buf *out)
{
    struct regex_match m;
    enum regex_found found = REGEX_NO;
    size_t done = 0;
    for (size_t from = 0; from <= s.len; from = next_from(s, &m)) {
        found = regex_find(run, s, from, &m);
        if (found != REGEX_YES)
            break;
        buf_append(out, s.p + done, m.from[0] - done);
        put_replacement(out, with, s, &m);
        done = m.to[0];
        if (!all)
            break;
    }
    buf_append(out, s.p + done, s.len - done);
    return found;
}

KERNEL(regexp_replace)
{
    struct regex_run *run = begin(v, call);
    struct buf text;
    bool all = call->n_args > 3 && memchr(args[3]->text[0].p, 'g', args[3]->text[0].len);
    buf_init(&text, EVAL_SCRATCH_MAX);
    SEL_EACH(sel, i)
    {
        text.len = 0;
        if (run && replace(run, args[0]->text[i], args[2]->text[i], all, &text) == REGEX_LIMIT)
            eval_fault(v, i, FAULT_REGEX, call);
        size_t n = buf_ok(&text) ? text.len : 0;
        if (!buf_ok(&text))
            v->error = ERR_LIMIT;
        char *to = eval_room(v, n);
        n = v->error ? 0 : n;
        memcpy(to, n > 0 ? (const char *)text.data : "", n);
        out->text[i] = eval_keep(v, n);
    }
    buf_done(&text);
    regex_run_free(run);
}

#define MATCH(op, fn_kernel, fexample, fanswer)                                                    \
    {                                                                                              \
        .name = (op), .result = SQLTYPE_BOOL, .n_args = 2, .args = {SQLTYPE_TEXT, SQLTYPE_TEXT},   \
        .flags = FUNC_OPERATOR, .kernel = (fn_kernel), .prepare = prepare_match, .constants = 2,   \
        .example = (fexample), .answer = (fanswer)                                                 \
    }

static const struct func funcs[] = {
    MATCH("~", matches, "'drover' ~ '^d.*r$'", "t"),
    MATCH("~*", matches, "'DROVER' ~* 'ov'", "t"),
    MATCH("!~", matches_not, "'drover' !~ '[0-9]'", "t"),
    MATCH("!~*", matches_not, "'DROVER' !~* 'ov'", "f"),
    FN_PREPARED("regexp_like", BOOL, matches, prepare_like, 2, "regexp_like('drover', '\\mdro')",
                "t", 2, SQLTYPE_TEXT, SQLTYPE_TEXT),
    FN_PREPARED("regexp_like", BOOL, matches, prepare_like, 6, "regexp_like('DROVER', 'o', 'i')",
                "t", 3, SQLTYPE_TEXT, SQLTYPE_TEXT, SQLTYPE_TEXT),
    FN_PREPARED("regexp_count", INT4, regexp_count, prepare_extent, 2,
                "regexp_count('a1b22', '[0-9]+')", "2", 2, SQLTYPE_TEXT, SQLTYPE_TEXT),
    FN_PREPARED("regexp_substr", TEXT, regexp_substr, prepare_extent, 2,
                "regexp_substr('foobar', 'foo|foobar')", "foobar", 2, SQLTYPE_TEXT, SQLTYPE_TEXT),
    FN_PREPARED("substring", TEXT, substring, prepare_extent, 2,
                "substring('id=42;' from '=(\\d+)')", "42", 2, SQLTYPE_TEXT, SQLTYPE_TEXT),
    FN_PREPARED("regexp_replace", TEXT, regexp_replace, prepare_extent, 2,
                "regexp_replace('2024-01-05', '(\\d+)-(\\d+)', '\\2/\\1')", "01/2024-05", 3,
                SQLTYPE_TEXT, SQLTYPE_TEXT, SQLTYPE_TEXT),
    FN_PREPARED("regexp_replace", TEXT, regexp_replace, prepare_extent, 10,
                "regexp_replace(' a  b ', '^\\s+|\\s+$|\\s(?=\\s)', '', 'g')", "a b", 4,
                SQLTYPE_TEXT, SQLTYPE_TEXT, SQLTYPE_TEXT, SQLTYPE_TEXT),
};

FN_TABLE(fn_regex_table, funcs);
