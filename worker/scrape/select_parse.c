/* select_parse.c: from text, through lexbor's CSS parser, to the compiled form. */
#include "select_internal.h"

#include <ctype.h>
#include <lexbor/css/css.h>
#include <lexbor/tag/tag.h>
#include <stdio.h>

#include "spec.h"

enum { NESTING_MAX = 8 }; /* :not(:is(:has(...))) */

struct parse {
    struct arena *arena;
    struct error *e;
    int err;
    int nesting;
};

struct pseudo_class {
    unsigned id;
    struct simple simple;
};

#define PSEUDO(name) LXB_CSS_SELECTOR_PSEUDO_CLASS_##name
#define FUNCTION(name) LXB_CSS_SELECTOR_PSEUDO_CLASS_FUNCTION_##name

static const struct pseudo_class pseudo_classes[] = {
    {PSEUDO(FIRST_CHILD), {.kind = SIMPLE_NTH, .b = 1}},
    {PSEUDO(LAST_CHILD), {.kind = SIMPLE_NTH, .b = 1, .last = true}},
    {PSEUDO(FIRST_OF_TYPE), {.kind = SIMPLE_NTH, .b = 1, .of_type = true}},
    {PSEUDO(LAST_OF_TYPE), {.kind = SIMPLE_NTH, .b = 1, .of_type = true, .last = true}},
    {PSEUDO(EMPTY), {.kind = SIMPLE_EMPTY}},
    {PSEUDO(ROOT), {.kind = SIMPLE_ROOT}},
    {PSEUDO(LINK), {.kind = SIMPLE_LINK}},
    {PSEUDO(ANY_LINK), {.kind = SIMPLE_LINK}},
    {PSEUDO(CHECKED), {.kind = SIMPLE_CHECKED}},
    {PSEUDO(DISABLED), {.kind = SIMPLE_DISABLED}},
    {PSEUDO(ENABLED), {.kind = SIMPLE_ENABLED}},
};

static const struct selector *compile_list(struct parse *p, const lxb_css_selector_list_t *list,
                                           enum relation leading);

static void *allocate(struct parse *p, size_t n)
{
    void *m = arena_zalloc(p->arena, n);
    if (!m && !p->err)
        p->err = error_set(p->e, ERR_NOMEM, "no memory for a selector");
    return m;
}

static void refuse(struct parse *p, const char *what, struct span name)
{
    if (!p->err)
        p->err = error_set(p->e, ERR_INVALID_SPEC, "%s %.*s is not supported", what,
                           (int)MIN(name.len, (size_t)60), name.p);
}

static struct span copied(struct parse *p, const lexbor_str_t *s)
{
    char *copy = arena_strndup(p->arena, s->data ? (const char *)s->data : "", s->length);
    if (!copy && !p->err)
        p->err = error_set(p->e, ERR_NOMEM, "no memory for a selector");
    return (struct span){copy, copy ? s->length : 0};
}

static struct span copied_lower(struct parse *p, const lexbor_str_t *s)
{
    struct span copy = copied(p, s);
    for (size_t i = 0; i < copy.len; i++)
        ((char *)(uintptr_t)copy.p)[i] = (char)tolower((unsigned char)copy.p[i]);
    return copy;
}

/* lexbor numbers the elements and attributes that it knows alike in all documents. */
static uintptr_t tag_id(struct span name)
{
    for (uintptr_t id = LXB_TAG__UNDEF + 1; id < LXB_TAG__LAST_ENTRY; id++) {
        size_t len;
        const lxb_char_t *known = lxb_tag_name_by_id((lxb_tag_id_t)id, &len);
        if (known && span_eq((struct span){(const char *)known, len}, name))
            return id;
    }
    return 0;
}

static uintptr_t attr_id(struct span name)
{
    for (uintptr_t id = LXB_DOM_ATTR__UNDEF + 1; id < LXB_DOM_ATTR__LAST_ENTRY; id++) {
        const lxb_dom_attr_data_t *data = lxb_dom_attr_data_by_id(NULL, id);
        if (!data)
            continue;
        struct span known = {(const char *)lexbor_hash_entry_str(&data->entry), data->entry.length};
        if (span_eq(known, name))
            return id;
    }
    return 0;
}

static void compile_attribute(struct parse *p, const lxb_css_selector_t *from, struct simple *to)
{
    static const enum simple_kind kinds[] = {
        [LXB_CSS_SELECTOR_MATCH_EQUAL] = SIMPLE_ATTR_EQUAL,
        [LXB_CSS_SELECTOR_MATCH_INCLUDE] = SIMPLE_ATTR_INCLUDES,
        [LXB_CSS_SELECTOR_MATCH_DASH] = SIMPLE_ATTR_DASH,
        [LXB_CSS_SELECTOR_MATCH_PREFIX] = SIMPLE_ATTR_PREFIX,
        [LXB_CSS_SELECTOR_MATCH_SUFFIX] = SIMPLE_ATTR_SUFFIX,
        [LXB_CSS_SELECTOR_MATCH_SUBSTRING] = SIMPLE_ATTR_SUBSTRING,
    };
    const lxb_css_selector_attribute_t *attribute = &from->u.attribute;
    to->name = copied_lower(p, &from->name);
    to->id = attr_id(to->name);
    to->kind = SIMPLE_ATTR;
    if (!attribute->value.data)
        return;
    to->kind = kinds[attribute->match];
    to->value = copied(p, &attribute->value);
    to->insensitive = attribute->modifier == LXB_CSS_SELECTOR_MODIFIER_I;
}

static void compile_nth(struct parse *p, const void *data, struct simple *to)
{
    const lxb_css_selector_anb_of_t *nth = data;
    to->kind = SIMPLE_NTH;
    to->a = nth->anb.a;
    to->b = nth->anb.b;
    if (nth->of)
        to->inner = compile_list(p, nth->of, RELATION_NONE);
}

static void compile_function(struct parse *p, const lxb_css_selector_t *from, struct simple *to)
{
    const void *data = from->u.pseudo.data;
    switch (from->u.pseudo.type) {
    case FUNCTION(NOT):
        to->kind = SIMPLE_NOT;
        to->inner = compile_list(p, data, RELATION_NONE);
        return;
    case FUNCTION(IS):
    case FUNCTION(WHERE):
        to->kind = SIMPLE_IS;
        to->inner = compile_list(p, data, RELATION_NONE);
        return;
    case FUNCTION(HAS):
        to->kind = SIMPLE_HAS;
        to->inner = compile_list(p, data, RELATION_DESCENDANT);
        return;
    case FUNCTION(LEXBOR_CONTAINS): {
        const lxb_css_selector_contains_t *contains = data;
        to->kind = SIMPLE_CONTAINS;
        to->value = copied(p, &contains->str);
        to->insensitive = contains->insensitive;
        return;
    }
    case FUNCTION(NTH_LAST_CHILD):
    case FUNCTION(NTH_LAST_OF_TYPE):
        to->last = true;
        /* fall through */
    case FUNCTION(NTH_CHILD):
    case FUNCTION(NTH_OF_TYPE):
        to->of_type = from->u.pseudo.type == FUNCTION(NTH_OF_TYPE) ||
                      from->u.pseudo.type == FUNCTION(NTH_LAST_OF_TYPE);
        compile_nth(p, data, to);
        return;
    default:
        refuse(p, "the pseudo-class",
               (struct span){(const char *)from->name.data, from->name.length});
    }
}

static void compile_pseudo(struct parse *p, const lxb_css_selector_t *from, struct simple *to)
{
    unsigned id = from->u.pseudo.type;
    for (size_t i = 0; i < ARRAY_LEN(pseudo_classes); i++)
        if (pseudo_classes[i].id == id) {
            *to = pseudo_classes[i].simple;
            return;
        }
    if (id == PSEUDO(ONLY_CHILD) || id == PSEUDO(ONLY_OF_TYPE)) { /* first and last at once */
        struct simple *last = allocate(p, sizeof *last);
        bool of_type = id == PSEUDO(ONLY_OF_TYPE);
        *to = (struct simple){.kind = SIMPLE_NTH, .b = 1, .of_type = of_type, .next = last};
        if (last)
            *last = (struct simple){.kind = SIMPLE_NTH, .b = 1, .of_type = of_type, .last = true};
        return;
    }
    refuse(p, "the pseudo-class", (struct span){(const char *)from->name.data, from->name.length});
}

/* NULL for the universal selector, and on failure. */
static struct simple *compile_simple(struct parse *p, const lxb_css_selector_t *from)
{
    if (from->type == LXB_CSS_SELECTOR_TYPE_ANY)
        return NULL;
    struct simple *to = allocate(p, sizeof *to);
    if (!to)
        return NULL;
    switch (from->type) {
    case LXB_CSS_SELECTOR_TYPE_ELEMENT:
        to->name = copied_lower(p, &from->name);
        to->id = tag_id(to->name);
        to->kind = to->id ? SIMPLE_TAG_ID : SIMPLE_TAG_NAME;
        break;
    case LXB_CSS_SELECTOR_TYPE_ID:
        to->kind = SIMPLE_ID;
        to->value = copied(p, &from->name);
        break;
    case LXB_CSS_SELECTOR_TYPE_CLASS:
        to->kind = SIMPLE_CLASS;
        to->value = copied(p, &from->name);
        break;
    case LXB_CSS_SELECTOR_TYPE_ATTRIBUTE:
        compile_attribute(p, from, to);
        break;
    case LXB_CSS_SELECTOR_TYPE_PSEUDO_CLASS:
        compile_pseudo(p, from, to);
        break;
    case LXB_CSS_SELECTOR_TYPE_PSEUDO_CLASS_FUNCTION:
        compile_function(p, from, to);
        break;
    default:
        refuse(p, "the pseudo-element",
               (struct span){(const char *)from->name.data, from->name.length});
    }
    return to;
}

static enum relation relation_of(struct parse *p, lxb_css_selector_combinator_t combinator)
{
    switch (combinator) {
    case LXB_CSS_SELECTOR_COMBINATOR_CHILD:
        return RELATION_CHILD;
    case LXB_CSS_SELECTOR_COMBINATOR_SIBLING:
        return RELATION_NEXT;
    case LXB_CSS_SELECTOR_COMBINATOR_FOLLOWING:
        return RELATION_LATER;
    case LXB_CSS_SELECTOR_COMBINATOR_CELL:
        refuse(p, "the combinator", SPAN("||"));
        return RELATION_NONE;
    default:
        return RELATION_DESCENDANT;
    }
}

static const struct compound *compile_complex(struct parse *p, const lxb_css_selector_t *from,
                                              enum relation leading)
{
    struct compound *compound = NULL;
    const struct simple **tail = NULL;
    unsigned n = 0;
    for (; from && !p->err; from = from->next) {
        if (!compound || from->combinator != LXB_CSS_SELECTOR_COMBINATOR_CLOSE) {
            struct compound *right = allocate(p, sizeof *right);
            if (!right)
                return NULL;
            right->left = compound;
            right->relation = relation_of(p, from->combinator);
            if (!compound && right->relation <= RELATION_DESCENDANT)
                right->relation = leading;
            compound = right;
            tail = &right->simples;
            if (++n > SPEC_COMPOUNDS_MAX)
                p->err = error_set(p->e, ERR_INVALID_SPEC,
                                   "a selector has more than %d parts joined by combinators",
                                   SPEC_COMPOUNDS_MAX);
        }
        const struct simple *simple = compile_simple(p, from);
        if (!simple)
            continue;
        *tail = simple;
        while (*tail)
            tail = (const struct simple **)(uintptr_t) & (*tail)->next;
    }
    return compound;
}

static const struct selector *compile_list(struct parse *p, const lxb_css_selector_list_t *list,
                                           enum relation leading)
{
    const struct selector *first = NULL, **tail = &first;
    if (++p->nesting > NESTING_MAX && !p->err)
        p->err = error_set(p->e, ERR_INVALID_SPEC, "selectors nested deeper than %d", NESTING_MAX);
    for (; list && !p->err; list = list->next) {
        struct selector *one = allocate(p, sizeof *one);
        if (!one)
            break;
        one->right = compile_complex(p, list->first, leading);
        for (const struct simple *simple = one->right ? one->right->simples : NULL; simple;
             simple = simple->next) {
            if (simple->kind == SIMPLE_TAG_ID)
                one->tag = (uint32_t)simple->id;
            one->needs_class |= simple->kind == SIMPLE_CLASS;
        }
        *tail = one;
        tail = &one->next;
    }
    p->nesting--;
    return first;
}

/* ---- text ---- */

/* lexbor knows no :scope and calls :contains by a name of its own: the leading ":scope" is left out
 * (what remains begins with a combinator) and ":contains(" becomes ":lexbor-contains(". */
static void rewrite(struct span text, struct buf *out)
{
    size_t i = 0;
    while (i < text.len && isspace((unsigned char)text.p[i]))
        i++;
    if (text.len - i > 6 && memcmp(text.p + i, ":scope", 6) == 0)
        for (i += 6; i < text.len && isspace((unsigned char)text.p[i]);)
            i++;
    char quote = 0;
    for (; i < text.len; i++) {
        char c = text.p[i];
        if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '"' || c == '\'')
            quote = c;
        else if (c == ':' && text.len - i > 10 && memcmp(text.p + i, ":contains(", 10) == 0)
            buf_str(out, ":lexbor-"), c = 'c', i++;
        buf_byte(out, (uint8_t)c);
    }
}

/* After some errors (":not(:has(x:contains(a > b)), c") lexbor destroys a list that it has destroyed
 * before, and runs into whatever stands there by then. So nothing is destroyed one by one (the linker puts
 * these in place of lexbor's: meson.build): all of it goes with the memory of its text. */
void __wrap_lxb_css_selector_destroy(lxb_css_selector_t *s);
void __wrap_lxb_css_selector_list_destroy(lxb_css_selector_list_t *list);
void __wrap_lxb_css_selector_list_destroy_chain(lxb_css_selector_list_t *list);

void __wrap_lxb_css_selector_destroy(lxb_css_selector_t *s UNUSED)
{
}

void __wrap_lxb_css_selector_list_destroy(lxb_css_selector_list_t *list UNUSED)
{
}

void __wrap_lxb_css_selector_list_destroy_chain(lxb_css_selector_list_t *list UNUSED)
{
}

struct lexbor_css {
    lxb_css_parser_t *parser;
    lxb_css_memory_t *memory;
};

static void lexbor_css_done(struct lexbor_css *l)
{
    if (l->memory)
        lxb_css_memory_destroy(l->memory, true);
    lxb_css_parser_destroy(l->parser, true);
    *l = (struct lexbor_css){0};
}

static bool lexbor_css_init(struct lexbor_css *l)
{
    *l = (struct lexbor_css){lxb_css_parser_create(), lxb_css_memory_create()};
    if (!l->parser || lxb_css_parser_init(l->parser, NULL) != LXB_STATUS_OK)
        return false;
    if (!l->memory || lxb_css_memory_init(l->memory, 64) != LXB_STATUS_OK)
        return false;
    lxb_css_parser_memory_set(l->parser, l->memory);
    return true;
}

/* The list belongs to l, which has no parser when there is no memory for one. Each text gets a parser
 * and memory of its own: nothing of an error is left for the next. */
static const lxb_css_selector_list_t *lexbor_parse(struct lexbor_css *l, struct span text)
{
    lexbor_css_done(l);
    if (!lexbor_css_init(l)) {
        lexbor_css_done(l);
        return NULL;
    }
    const lxb_css_selector_list_t *list =
        lxb_css_selectors_parse_relative_list(l->parser, (const lxb_char_t *)text.p, text.len);
    bool ok = l->parser->status == LXB_STATUS_OK && lxb_css_log_length(l->parser->log) == 0;
    return ok ? list : NULL;
}

/* The last message of lexbor's log: "Syntax error. Selectors. Unexpected token: X" -> from "Unexp". */
static struct span lexbor_message(struct lexbor_css *l)
{
    size_t n = l->parser ? lxb_css_log_length(l->parser->log) : 0;
    if (n == 0)
        return SPAN("");
    lxb_css_log_message_t *m = lexbor_array_obj_get(&l->parser->log->messages, n - 1);
    struct span s = {(const char *)m->text.data, m->text.length};
    static const char prefix[] = "Selectors. ";
    if (s.len > sizeof prefix && memcmp(s.p, prefix, sizeof prefix - 1) == 0)
        s = (struct span){s.p + sizeof prefix - 1, s.len - (sizeof prefix - 1)};
    return s;
}

static bool name_char(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '(' || (c & 0x80);
}

/* Whether the beginning of a selector can be made whole: by closing what is open, after one of a few
 * things that may be missing. */
static bool can_go_on(struct lexbor_css *l, struct span beginning)
{
    static const char *const missing[] = {"", "x", "=x", "1", "root"};
    int brackets = 0, parentheses = 0;
    char quote = 0;
    for (size_t i = 0; i < beginning.len; i++) {
        char c = beginning.p[i];
        if (quote || c == '"' || c == '\'')
            quote = !quote ? c : quote == c ? 0 : quote;
        brackets += !quote ? (c == '[') - (c == ']') : 0;
        parentheses += !quote ? (c == '(') - (c == ')') : 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(missing); i++) {
        CLEANUP(buf_done) struct buf whole = {0};
        rewrite(beginning, &whole);
        if (quote)
            buf_byte(&whole, (uint8_t)quote);
        buf_str(&whole, missing[i]);
        for (int k = 0; k < brackets; k++)
            buf_byte(&whole, ']');
        for (int k = 0; k < parentheses; k++)
            buf_byte(&whole, ')');
        if (buf_ok(&whole) && lexbor_parse(l, buf_span(&whole)))
            return true;
    }
    return false;
}

static bool inside_name(struct span text, size_t n)
{
    return name_char(text.p[n]) && name_char(text.p[n - 1]) && text.p[n - 1] != '(';
}

/* A cut between two tokens, far from either end; low: there is none. */
static size_t cut_between(struct span text, size_t low, size_t high)
{
    const size_t middle = low + (high - low) / 2;
    size_t n = middle;
    while (n < high && (n == low || inside_name(text, n)))
        n++;
    if (n < high)
        return n;
    for (n = middle; n > low && inside_name(text, n);)
        n--;
    return n;
}

/* lexbor does not say where. It is where the shortest beginning of the text ends (cut between
 * tokens) that nothing can make whole; a longer one cannot be made whole either. */
static int syntax_error(struct lexbor_css *l, struct span text, struct error *e)
{
    if (can_go_on(l, text))
        return error_set(e, ERR_INVALID_SPEC, "character %zu: the selector ends too early",
                         text.len + 1);
    size_t n = text.len;
    for (size_t good = 0, cut; (cut = cut_between(text, good, n)) > good;) {
        if (can_go_on(l, (struct span){text.p, cut}))
            good = cut;
        else
            n = cut;
    }
    size_t at = n;
    while (at > 1 && name_char(text.p[at - 1]) && name_char(text.p[at - 2]))
        at--;
    CLEANUP(buf_done) struct buf wrong = {0};
    rewrite((struct span){text.p, n}, &wrong);
    (void)lexbor_parse(l, buf_span(&wrong));
    struct span message = lexbor_message(l);
    if (message.len == 0 || memmem(message.p, message.len, "END-OF-FILE", 11))
        return error_set(e, ERR_INVALID_SPEC, "character %zu: unexpected \"%.*s\"", at,
                         (int)MIN(n - at + 1, (size_t)40), text.p + at - 1);
    return error_set(e, ERR_INVALID_SPEC, "character %zu: %.*s", at, (int)message.len, message.p);
}

int select_compile(struct arena *a, struct span text, const struct selector **ret, struct error *e)
{
    if (text.len > SPEC_SELECTOR_BYTES_MAX)
        return error_set(e, ERR_INVALID_SPEC, "a selector is longer than %d bytes",
                         SPEC_SELECTOR_BYTES_MAX);
    CLEANUP(buf_done) struct buf rewritten = {0};
    CLEANUP(lexbor_css_done) struct lexbor_css l = {0};
    rewrite(text, &rewritten);
    if (text.len == 0)
        return error_set(e, ERR_INVALID_SPEC, "character 1: the selector is empty");
    const lxb_css_selector_list_t *list =
        buf_ok(&rewritten) ? lexbor_parse(&l, buf_span(&rewritten)) : NULL;
    if (!list && !l.parser)
        return error_set(e, ERR_NOMEM, "no memory for a selector");
    if (!list)
        return syntax_error(&l, text, e);
    struct parse p = {.arena = a, .e = e};
    const struct selector *s = compile_list(&p, list, RELATION_NONE);
    if (!p.err)
        *ret = s;
    return p.err;
}
