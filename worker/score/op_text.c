/* op_text.c: letter case and words. */
#include "op_text.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "common/textcase.h"
#include "common/utf8.h"
#include "op_keys.h"

/* ---- StringNormalizer ---- */

enum letters { LETTERS_AS_THEY_ARE, LETTERS_LOWER, LETTERS_UPPER };

struct normalizer_state {
    enum letters letters;
    bool fold; /* stop words are found whatever their case */
    struct tensor stop;
};

/* The memory of a run is bounded, and long texts are what uses it up. */
static int no_room(struct op_run *r)
{
    return error_set(
        r->e, ERR_LIMIT,
        "model: %.150s: the texts of 1,024 rows need more than the %zu bytes of one run "
        "(shorten them before)",
        r->node->label, r->mem->limit_bytes);
}

/* PCRE2 and textcase rely on it, and a batch may come from anyone. */
static int check_texts(struct op_run *r, const struct tensor *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (utf8_valid_prefix(t->str[i]) != t->str[i].len)
            return op_fail(r->e, r->node, "text %zu is no valid UTF-8", i);
    return ERR_OK;
}

static uint32_t in_case(uint32_t c, enum letters letters)
{
    return letters == LETTERS_LOWER   ? textcase_to_lower(c)
           : letters == LETTERS_UPPER ? textcase_to_upper(c)
                                      : c;
}

/* Text in another case. A character may take more bytes than before, or fewer. */
static int recase(struct arena *mem, struct span s, enum letters letters, struct span *ret)
{
    char bytes[TEXTCASE_BYTES_MAX];
    size_t n = 0, len;
    *ret = s;
    if (letters == LETTERS_AS_THEY_ARE || s.len == 0)
        return ERR_OK;
    for (size_t at = 0; at < s.len; at += len)
        n += textcase_write(in_case(textcase_read(s.p + at, &len), letters), bytes);
    char *to = arena_alloc(mem, n);
    if (!to)
        return ERR_NOMEM;
    *ret = (struct span){to, n};
    for (size_t at = 0; at < s.len; at += len)
        to += textcase_write(in_case(textcase_read(s.p + at, &len), letters), to);
    return ERR_OK;
}

int op_prepare_string_normalizer(struct op_prepare *p)
{
    struct normalizer_state *s = arena_zalloc(p->keep, sizeof *s);
    struct span action = op_attr_s(p->node, "case_change_action", "NONE");
    if (!s)
        return op_nomem(p->e, p->node);
    p->node->state = s;
    s->letters = span_eq(action, SPAN("LOWER"))   ? LETTERS_LOWER
                 : span_eq(action, SPAN("UPPER")) ? LETTERS_UPPER
                                                  : LETTERS_AS_THEY_ARE;
    s->fold = op_attr_i(p->node, "is_case_sensitive", 0) == 0;
    int rc = op_keys_list(p, "stopwords", ONNX_ATTR_STRINGS, &s->stop);
    for (size_t i = 0; !rc && s->fold && i < s->stop.n; i++)
        if (recase(p->keep, s->stop.str[i], LETTERS_LOWER, &s->stop.str[i]))
            rc = op_nomem(p->e, p->node);
    return rc;
}

static int is_stop(const struct op_run *r, const struct normalizer_state *s, struct span text,
                   bool *ret)
{
    struct span folded = text;
    *ret = false;
    if (s->stop.n && s->fold && recase(r->mem, text, LETTERS_LOWER, &folded))
        return ERR_NOMEM;
    for (size_t i = 0; !*ret && i < s->stop.n; i++)
        *ret = span_eq(folded, s->stop.str[i]);
    return ERR_OK;
}

/* Stop words are elements that go; when none is left, an empty text is. */
int op_run_string_normalizer(struct op_run *r)
{
    const struct normalizer_state *s = r->node->state;
    const struct tensor *t = r->in[0];
    char text[TENSOR_TEXT_BYTES];
    if (t->type != ELEM_STR || t->rank < 1 || t->rank > 2 || (t->rank == 2 && t->dims[0] != 1))
        return op_fail(r->e, r->node, "it takes a list of strings, not %s", tensor_text(t, text));
    struct span *kept = arena_alloc(r->mem, (t->n + 1) * sizeof *kept);
    size_t n = 0;
    int rc = kept ? check_texts(r, t) : no_room(r);
    if (rc)
        return rc;
    for (size_t i = 0; i < t->n; i++) {
        bool stop;
        if (is_stop(r, s, t->str[i], &stop) ||
            (!stop && recase(r->mem, t->str[i], s->letters, &kept[n])))
            return no_room(r);
        n += !stop;
    }
    if (n == 0)
        kept[n++] = SPAN("");
    int64_t dims[] = {1, 1};
    dims[t->rank - 1] = (int64_t)n;
    rc = op_make(r, 0, ELEM_STR, t->rank, dims);
    if (!rc)
        memcpy(r->out[0].str, kept, n * sizeof *kept);
    return rc;
}

/* ---- Tokenizer ---- */

struct token_state {
    pcre2_code *code;
    pcre2_match_context *limits;
    struct span pad; /* fills the rows of texts with fewer words */
    size_t chars_min;
};

/* PCRE2's memory comes from an arena, and goes with it. */
static void *arena_malloc(size_t n, void *mem)
{
    return arena_alloc(mem, n);
}

static void arena_free(void *p UNUSED, void *mem UNUSED)
{
}

static int compile(struct op_prepare *p, struct token_state *s, struct span pattern)
{
    int code;
    PCRE2_SIZE at;
    pcre2_general_context *memory = pcre2_general_context_create(arena_malloc, arena_free, p->keep);
    pcre2_compile_context *context = memory ? pcre2_compile_context_create(memory) : NULL;
    s->limits = memory ? pcre2_match_context_create(memory) : NULL;
    if (!context || !s->limits)
        return op_nomem(p->e, p->node);
    pcre2_set_match_limit(s->limits, TOKEN_MATCH_STEPS_MAX);
    s->code = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.len, PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C,
                            &code, &at, context);
    if (!s->code) {
        char why[120] = "";
        (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        return op_fail(p->e, p->node, "tokenexp '%.*s', character %zu: %s",
                       (int)MIN(pattern.len, (size_t)80), pattern.p, (size_t)at + 1, why);
    }
    return ERR_OK;
}

int op_prepare_tokenizer(struct op_prepare *p)
{
    struct token_state *s = arena_zalloc(p->keep, sizeof *s);
    struct span pattern = op_attr_s(p->node, "tokenexp", "");
    struct span pad = op_attr_s(p->node, "pad_value", "");
    int64_t chars = op_attr_i(p->node, "mincharnum", 1);
    char *copy = arena_strndup(p->keep, pad.p, pad.len);
    if (!s || !copy)
        return op_nomem(p->e, p->node);
    p->node->state = s;
    s->pad = (struct span){copy, pad.len};
    s->chars_min = (size_t)MAX(chars, (int64_t)1);
    if (op_attr_i(p->node, "mark", 0) != 0 || pattern.len == 0)
        return op_fail(p->e, p->node,
                       "only words by a regular expression (tokenexp) are supported, without marks "
                       "and separators");
    return compile(p, s, pattern);
}

/* The words of a text: how many, and up to room of them. Texts are valid UTF-8. */
static int split(struct op_run *r, pcre2_match_data *data, struct span text, struct span *words,
                 size_t room, size_t *ret_n)
{
    const struct token_state *s = r->node->state;
    const size_t *ends = pcre2_get_ovector_pointer(data);
    size_t n = 0;
    for (size_t at = 0; at < text.len;) {
        int found = pcre2_match(s->code, (PCRE2_SPTR)text.p, text.len, at, PCRE2_NO_UTF_CHECK, data,
                                s->limits);
        if (found == PCRE2_ERROR_NOMATCH)
            break;
        if (found == PCRE2_ERROR_NOMEMORY)
            return op_nomem(r->e, r->node);
        if (found < 0)
            return op_fail(r->e, r->node, "its regular expression takes too many steps (%d)",
                           TOKEN_MATCH_STEPS_MAX);
        struct span word = {text.p + ends[0], ends[1] > ends[0] ? ends[1] - ends[0] : 0};
        if (word.len && textcase_count(word) >= s->chars_min) {
            if (n < room)
                words[n] = word;
            n++;
        }
        for (at = MAX(ends[1], at + !word.len); at < text.len && !textcase_starts(text.p[at]);)
            at++;
    }
    *ret_n = n;
    return ERR_OK;
}

/* Twice: the longest text decides how many words there is room for. */
int op_run_tokenizer(struct op_run *r)
{
    const struct token_state *s = r->node->state;
    const struct tensor *t = r->in[0];
    char text[TENSOR_TEXT_BYTES];
    if (t->type != ELEM_STR || t->rank < 1 || t->rank > 2)
        return op_fail(r->e, r->node, "it takes strings of one or two dimensions, not %s",
                       tensor_text(t, text));
    pcre2_general_context *memory = pcre2_general_context_create(arena_malloc, arena_free, r->mem);
    pcre2_match_data *data = memory ? pcre2_match_data_create(1, memory) : NULL;
    size_t most = 0, n;
    int rc = data ? check_texts(r, t) : no_room(r);
    for (size_t i = 0; !rc && i < t->n; i++) {
        rc = split(r, data, t->str[i], NULL, 0, &n);
        most = rc ? most : MAX(most, n);
    }
    int64_t dims[3] = {t->dims[0], t->dims[1]};
    dims[t->rank] = (int64_t)most;
    if (rc || (rc = op_make(r, 0, ELEM_STR, t->rank + 1, dims)))
        return rc;
    for (size_t i = 0; !rc && i < t->n; i++) {
        struct span *words = r->out[0].str + i * most;
        rc = split(r, data, t->str[i], words, most, &n);
        for (; !rc && n < most; n++)
            words[n] = s->pad;
    }
    return rc;
}
