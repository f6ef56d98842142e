#include "pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "spec.h"

struct pattern {
    pcre2_code *code;
};

struct pattern_run {
    pcre2_match_context *context;
    pcre2_match_data *data;
};

enum { GROUPS_MAX = 64 };

int pattern_compile(struct span text, struct pattern **ret, struct error *e)
{
    if (text.len > SPEC_REGEX_BYTES_MAX)
        return error_set(e, ERR_INVALID_SPEC, "a regular expression is longer than %d bytes",
                         SPEC_REGEX_BYTES_MAX);
    struct pattern *p = calloc(1, sizeof *p);
    if (!p)
        return error_set(e, ERR_NOMEM, "no memory for a regular expression");
    int code;
    PCRE2_SIZE offset;
    p->code = pcre2_compile((PCRE2_SPTR)text.p, text.len,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &offset, NULL);
    if (!p->code) {
        PCRE2_UCHAR message[200];
        pattern_free(p);
        if (code == PCRE2_ERROR_HEAP_FAILED)
            return error_set(e, ERR_NOMEM, "no memory for a regular expression");
        pcre2_get_error_message(code, message, sizeof message);
        return error_set(e, ERR_INVALID_SPEC, "character %zu: %s", (size_t)offset + 1,
                         (const char *)message);
    }
    /* Without JIT (a hardened kernel may refuse it) the interpreter is used. */
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
    *ret = p;
    return ERR_OK;
}

void pattern_free(struct pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    free(p);
}

struct pattern_run *pattern_run_new(void)
{
    struct pattern_run *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->context = pcre2_match_context_create(NULL);
    r->data = pcre2_match_data_create(GROUPS_MAX, NULL);
    if (!r->context || !r->data) {
        pattern_run_free(r);
        return NULL;
    }
    pcre2_set_match_limit(r->context, PATTERN_MATCH_LIMIT);
    pcre2_set_depth_limit(r->context, PATTERN_DEPTH_LIMIT);
    pcre2_set_heap_limit(r->context, PATTERN_HEAP_KIB);
    return r;
}

void pattern_run_free(struct pattern_run *r)
{
    if (!r)
        return;
    pcre2_match_data_free(r->data);
    pcre2_match_context_free(r->context);
    free(r);
}

/* The bytes of s up to the limit, cut between characters. */
static size_t searched(struct span s)
{
    size_t n = MIN(s.len, (size_t)PATTERN_SUBJECT_BYTES_MAX);
    while (n > 0 && n < s.len && ((unsigned char)s.p[n] & 0xC0) == 0x80)
        n--;
    return n;
}

bool pattern_find(struct pattern_run *r, const struct pattern *p, struct span subject,
                  struct span *ret, bool *ret_limit)
{
    const char *text = subject.p ? subject.p : "";
    int n = pcre2_match(p->code, (PCRE2_SPTR)text, searched(subject), 0, PCRE2_NO_UTF_CHECK,
                        r->data, r->context);
    if (n < 0) {
        if (n != PCRE2_ERROR_NOMATCH && ret_limit)
            *ret_limit = true;
        return false;
    }
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(r->data);
    int group = 0;
    for (int i = 1; i < (n == 0 ? GROUPS_MAX : n) && group == 0; i++)
        if (at[2 * i] != PCRE2_UNSET)
            group = i;
    *ret = (struct span){text + at[2 * group], 0};
    if (at[2 * group + 1] > at[2 * group]) /* \K can put the end before the start */
        ret->len = at[2 * group + 1] - at[2 * group];
    return true;
}
