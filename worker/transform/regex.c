#include "regex.h"

#include <ctype.h>
#include <stdio.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "common/buf.h"

enum { HEAP_KIB_MAX = 16 * 1024, DFA_WORKSPACE_INTS = 8192 };

struct regex {
    pcre2_code *code;
    pcre2_match_context *context;
    bool longest; /* the first way to match may not be the longest: ask for that */
};

struct regex_run {
    const struct regex *regex;
    pcre2_match_data *data;
    pcre2_match_data *whole; /* of the DFA, which has no groups */
    int *workspace;
};

/* ---- from PostgreSQL's syntax to PCRE2's ---- */

struct translation {
    struct span in;
    size_t at;
    struct buf out;
    bool extent, fold;
    bool alternatives, optional_group, backs, greedy, lazy;
    char *why;
};

static bool refuse(struct translation *t, const char *what, const char *instead)
{
    snprintf(t->why, REGEX_WHY_LEN, "%s %s", what, instead);
    return false;
}

static char peek(const struct translation *t, size_t k)
{
    return t->at + k < t->in.len ? t->in.p[t->at + k] : '\0';
}

/* The code of a character in so many hexadecimal digits (at most; min at least). */
static bool hex(struct translation *t, size_t min, size_t max)
{
    uint32_t code = 0;
    size_t n = 0;
    for (; n < max && isxdigit((uint8_t)peek(t, 0)); n++, t->at++)
        code =
            code * 16 + (uint32_t)(isdigit((uint8_t)peek(t, 0)) ? peek(t, 0) - '0'
                                                                : (peek(t, 0) | 0x20) - 'a' + 10);
    if (n < min || code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return refuse(t, "a character code", "in the pattern is no character");
    buf_printf(&t->out, "\\x{%x}", code);
    return true;
}

/* Behind a backslash. inside: of a bracket expression. */
static bool escape(struct translation *t, bool inside)
{
    static const struct {
        char c;
        bool outside_only;
        const char *pcre;
    } same[] = {
        {'a', false, "\\x07"},      {'b', false, NULL},    {'B', false, NULL},
        {'e', false, "\\x1b"},      {'f', false, "\\f"},   {'n', false, "\\n"},
        {'r', false, "\\r"},        {'t', false, "\\t"},   {'v', false, "\\x0b"},
        {'s', false, "\\s"},        {'w', false, "\\w"},   {'S', true, "\\S"},
        {'W', true, "\\W"},         {'D', true, "[^0-9]"}, {'A', true, "\\A"},
        {'m', true, "\\b(?=\\w)"},  {'y', true, "\\b"},    {'Y', true, "\\B"},
        {'M', true, "\\b(?<=\\w)"}, {'Z', true, "\\z"},
    };
    char c = peek(t, 0);
    char what[] = {'\\', c, '\0'};
    if (c == '\0')
        return refuse(t, "the pattern", "ends with a backslash");
    t->at++;
    if (!isalnum((uint8_t)c)) {
        buf_byte(&t->out, '\\');
        buf_byte(&t->out, (uint8_t)c);
        return (uint8_t)c < 0x80 || refuse(t, "a backslash", "before a letter that is not ASCII");
    }
    if (c == 'd') {
        buf_str(&t->out, inside ? "0-9" : "[0-9]");
        return true;
    }
    if (c == 'x')
        return hex(t, 1, 8);
    if (c == 'u' || c == 'U')
        return hex(t, c == 'u' ? 4 : 8, c == 'u' ? 4 : 8);
    if (c == 'b' || c == 'B')
        return refuse(t, what, "means no boundary of words here: write \\y or \\Y");
    if (c >= '1' && c <= '9' && !inside && !isdigit((uint8_t)peek(t, 0))) {
        buf_printf(&t->out, "\\%c", c);
        t->backs = true;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        if (same[i].c != c || (inside && same[i].outside_only))
            continue;
        buf_str(&t->out, same[i].pcre);
        return true;
    }
    return refuse(t, what, inside ? "is not supported in brackets" : "is not supported");
}

/* [...]: up to its end, with classes like [:alpha:]. */
static bool brackets(struct translation *t)
{
    size_t first;
    buf_byte(&t->out, '[');
    t->at++;
    if (peek(t, 0) == '^') {
        buf_byte(&t->out, '^');
        t->at++;
    }
    first = t->at;
    for (;;) {
        char c = peek(t, 0);
        if (t->at >= t->in.len)
            return refuse(t, "a bracket [", "is never closed");
        if (c == ']' && t->at > first) {
            buf_byte(&t->out, ']');
            t->at++;
            return true;
        }
        if (c == '\\') {
            t->at++;
            if (!escape(t, true))
                return false;
            continue;
        }
        if (c == '[' && (peek(t, 1) == '.' || peek(t, 1) == '='))
            return refuse(t, "a collating element", "is not supported");
        if (c == '[' && peek(t, 1) == ':') {
            const char *end = memmem(t->in.p + t->at, t->in.len - t->at, ":]", 2);
            if (!end)
                return refuse(t, "a class [:", "is never closed");
            size_t n = (size_t)(end + 2 - (t->in.p + t->at));
            struct span class = {t->in.p + t->at, n};
            bool either =
                t->fold && (span_eq(class, SPAN("[:upper:]")) || span_eq(class, SPAN("[:lower:]")));
            buf_append(&t->out, either ? "[:alpha:]" : class.p, n);
            t->at += n;
            continue;
        }
        if (c == ']' || c == '[')
            buf_byte(&t->out, '\\');
        buf_byte(&t->out, (uint8_t)c);
        t->at++;
    }
}

/* The beginning of a group; of those with a question mark only what PostgreSQL has. */
static bool group(struct translation *t)
{
    static const char *const known[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!"};
    if (peek(t, 1) != '?') {
        if (peek(t, 1) == '*')
            return refuse(t, "(*", "is not supported");
        buf_byte(&t->out, '(');
        t->at++;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        size_t n = strlen(known[i]);
        if (t->in.len - t->at < n || memcmp(t->in.p + t->at, known[i], n) != 0)
            continue;
        buf_append(&t->out, known[i], n);
        t->at += n;
        return true;
    }
    if (t->at == 0 && peek(t, 2) == 'i' && peek(t, 3) == ')') {
        t->fold = true;
        buf_str(&t->out, "(?i)");
        t->at += 4;
        return true;
    }
    return refuse(t, "(?", "is known in (?: (?= (?! (?<= (?<! and at the start in (?i)");
}

/* How often what stands before it comes. */
static bool quantifier(struct translation *t, bool after_group)
{
    char c = peek(t, 0);
    bool fixed = false, optional = c == '?' || c == '*';
    if (c == '{') {
        size_t k = 1;
        while (isdigit((uint8_t)peek(t, k)) || peek(t, k) == ',')
            k++;
        if (k == 1 || peek(t, k) != '}' || peek(t, 1) == ',')
            return refuse(t, "a brace {", "is wrong there: write \\{ for the character");
        struct span inner = {t->in.p + t->at, k + 1};
        fixed = !memchr(inner.p, ',', inner.len);
        optional = peek(t, 1) == '0' || !fixed;
        buf_append(&t->out, inner.p, inner.len);
        t->at += inner.len;
    } else {
        buf_byte(&t->out, (uint8_t)c);
        t->at++;
    }
    bool lazy = peek(t, 0) == '?';
    if (lazy) {
        buf_byte(&t->out, '?');
        t->at++;
    } else if (peek(t, 0) == '+' || peek(t, 0) == '*') {
        return refuse(t, "two quantifiers", "one behind the other are not supported");
    }
    t->lazy |= lazy && !fixed;
    t->greedy |= !lazy && !fixed;
    t->optional_group |= after_group && (optional || c == '+');
    return true;
}

static bool translate(struct translation *t)
{
    bool after_group = false;
    if (t->in.len >= 3 && memcmp(t->in.p, "***", 3) == 0)
        return refuse(t, "*** at the start of a pattern", "is not supported");
    while (t->at < t->in.len) {
        char c = peek(t, 0);
        bool ok = true, closes = c == ')';
        if (c == '\\') {
            t->at++;
            ok = escape(t, false);
        } else if (c == '[') {
            ok = brackets(t);
        } else if (c == '(') {
            ok = group(t);
        } else if (c == '?' || c == '*' || c == '+' || c == '{') {
            ok = quantifier(t, after_group);
        } else {
            t->alternatives |= c == '|';
            buf_byte(&t->out, (uint8_t)c);
            t->at++;
        }
        if (!ok)
            return false;
        after_group = closes;
    }
    if (t->extent && t->lazy && (t->greedy || t->alternatives))
        return refuse(t, "lazy quantifiers beside greedy ones or |",
                      "end a match elsewhere in PostgreSQL; make them all alike");
    return true;
}

/* ---- compiling ---- */

static bool compile(struct regex *r, struct span pattern, uint32_t options, char why[REGEX_WHY_LEN])
{
    int code;
    PCRE2_SIZE at;
    r->code = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.len, options, &code, &at, NULL);
    if (!r->code) {
        PCRE2_UCHAR text[REGEX_WHY_LEN];
        pcre2_get_error_message(code, text, sizeof text);
        snprintf(why, REGEX_WHY_LEN, "%s", (const char *)text);
        return false;
    }
    /* Without JIT (a hardened kernel may refuse it) the interpreter is used. */
    (void)pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE);
    r->context = pcre2_match_context_create(NULL);
    if (!r->context)
        return false;
    pcre2_set_match_limit(r->context, REGEX_MATCH_STEPS_MAX);
    pcre2_set_heap_limit(r->context, HEAP_KIB_MAX);
    return true;
}

bool regex_new(struct span pattern, bool ignore_case, bool extent, struct regex **ret,
               char why[REGEX_WHY_LEN])
{
    struct translation t = {.in = pattern, .extent = extent, .fold = ignore_case, .why = why};
    struct regex *r = calloc(1, sizeof *r);
    bool ok = r != NULL;
    buf_init(&t.out, 0);
    why[0] = '\0';
    if (ok && pattern.len > REGEX_PATTERN_BYTES_MAX) {
        snprintf(why, REGEX_WHY_LEN, "the pattern has more than %d bytes", REGEX_PATTERN_BYTES_MAX);
        ok = false;
    }
    ok = ok && translate(&t) && buf_ok(&t.out) &&
         compile(r, buf_span(&t.out),
                 PCRE2_UTF | PCRE2_UCP | PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY |
                     PCRE2_NEVER_BACKSLASH_C | (ignore_case ? PCRE2_CASELESS : 0),
                 why);
    if (ok)
        r->longest = extent && !t.backs && !t.lazy && (t.alternatives || t.optional_group);
    buf_done(&t.out);
    if (!ok) {
        regex_free(r);
        return false;
    }
    *ret = r;
    return true;
}

void regex_free(struct regex *r)
{
    if (!r)
        return;
    pcre2_code_free(r->code);
    pcre2_match_context_free(r->context);
    free(r);
}

/* ---- matching ---- */

struct regex_run *regex_run_new(const struct regex *r)
{
    struct regex_run *run = calloc(1, sizeof *run);
    if (!run)
        return NULL;
    run->regex = r;
    run->data = pcre2_match_data_create_from_pattern(r->code, NULL);
    run->whole = pcre2_match_data_create(1, NULL);
    run->workspace = r->longest ? calloc(DFA_WORKSPACE_INTS, sizeof *run->workspace) : NULL;
    if (!run->data || !run->whole || (r->longest && !run->workspace)) {
        regex_run_free(run);
        return NULL;
    }
    return run;
}

void regex_run_free(struct regex_run *run)
{
    if (!run)
        return;
    pcre2_match_data_free(run->data);
    pcre2_match_data_free(run->whole);
    free(run->workspace);
    free(run);
}

static enum regex_found match(struct regex_run *run, struct span text, size_t from,
                              uint32_t options)
{
    const struct regex *r = run->regex;
    int n = pcre2_match(r->code, (PCRE2_SPTR)text.p, text.len, from, options | PCRE2_NO_UTF_CHECK,
                        run->data, r->context);
    if (n == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter takes it from the heap */
        n = pcre2_match(r->code, (PCRE2_SPTR)text.p, text.len, from,
                        options | PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, run->data, r->context);
    return n >= 0 ? REGEX_YES : n == PCRE2_ERROR_NOMATCH ? REGEX_NO : REGEX_LIMIT;
}

enum regex_found regex_is_in(struct regex_run *run, struct span text)
{
    return match(run, text, 0, 0);
}

/* Where the longest match at its place ends; and the groups of the way that leads there. */
static enum regex_found lengthen(struct regex_run *run, struct span text, size_t at)
{
    const struct regex *r = run->regex;
    int n = pcre2_dfa_match(r->code, (PCRE2_SPTR)text.p, text.len, at,
                            PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK, run->whole, r->context,
                            run->workspace, DFA_WORKSPACE_INTS);
    if (n < 0)
        return REGEX_LIMIT;
    size_t end = pcre2_get_ovector_pointer(run->whole)[1];
    PCRE2_SIZE *found = pcre2_get_ovector_pointer(run->data);
    if (found[1] == end)
        return REGEX_YES;
    if (match(run, (struct span){text.p, end}, at, PCRE2_ANCHORED | PCRE2_ENDANCHORED) ==
        REGEX_LIMIT)
        return REGEX_LIMIT;
    found[0] = at;
    found[1] = end;
    return REGEX_YES;
}

enum regex_found regex_find(struct regex_run *run, struct span text, size_t from,
                            struct regex_match *ret)
{
    PCRE2_SIZE *found = pcre2_get_ovector_pointer(run->data);
    uint32_t pairs = pcre2_get_ovector_count(run->data);
    enum regex_found is = match(run, text, from, 0);
    if (is == REGEX_YES && run->regex->longest)
        is = lengthen(run, text, found[0]);
    if (is != REGEX_YES)
        return is;
    ret->n_groups = pairs - 1;
    for (uint32_t i = 0; i < REGEX_GROUPS; i++) {
        bool in = i < pairs && found[2 * i] != PCRE2_UNSET;
        ret->from[i] = in ? found[2 * i] : SIZE_MAX;
        ret->to[i] = in ? found[2 * i + 1] : SIZE_MAX;
    }
    return REGEX_YES;
}
