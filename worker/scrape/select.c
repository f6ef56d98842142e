#include "select.h"

#include <ctype.h>
#include <strings.h>

#include "select_internal.h"

/* How a compound failed tells how far the search to its right must go back (as in WebKit's
 * SelectorChecker). Without it, "a b c d" in n nested elements takes n^3 steps. */
enum outcome {
    MATCHES,
    FAILS_HERE,     /* the element on the right may find another partner */
    FAILS_SIBLINGS, /* no other sibling helps */
    FAILS           /* no other ancestor helps either */
};

struct match {
    struct select_run *run;
    lxb_dom_node_t *scope;
};

static enum outcome match_compound(struct match *m, lxb_dom_node_t *n, const struct compound *c);

static bool is_element(const lxb_dom_node_t *n)
{
    return n && n->type == LXB_DOM_NODE_TYPE_ELEMENT;
}

static lxb_dom_node_t *parent_of(const lxb_dom_node_t *n)
{
    return is_element(n->parent) ? n->parent : NULL;
}

static lxb_dom_node_t *prev_of(lxb_dom_node_t *n)
{
    do {
        n = n->prev;
    } while (n && !is_element(n));
    return n;
}

static lxb_dom_node_t *next_of(lxb_dom_node_t *n)
{
    do {
        n = n->next;
    } while (n && !is_element(n));
    return n;
}

static bool spend(struct select_run *run, uint64_t steps)
{
    run->steps_left = run->steps_left > steps ? run->steps_left - steps : 0;
    return run->steps_left > 0;
}

/* The next element in document order below root (for :has, whose candidates are few). */
static lxb_dom_node_t *next_below(lxb_dom_node_t *root, lxb_dom_node_t *n)
{
    do {
        if (n->first_child) {
            n = n->first_child;
            continue;
        }
        while (n != root && !n->next)
            n = n->parent;
        if (n == root)
            return NULL;
        n = n->next;
    } while (n->type != LXB_DOM_NODE_TYPE_ELEMENT);
    return n;
}

/* ---- attributes ---- */

static struct span attr_value(const lxb_dom_attr_t *attr)
{
    if (!attr)
        return (struct span){NULL, 0};
    if (!attr->value || !attr->value->data)
        return SPAN("");
    return (struct span){(const char *)attr->value->data, attr->value->length};
}

static struct span find_attr(lxb_dom_node_t *n, uintptr_t id, struct span name)
{
    lxb_dom_attr_t *attr = lxb_dom_element_first_attribute(lxb_dom_interface_element(n));
    for (; attr; attr = lxb_dom_element_next_attribute(attr)) {
        if (id) {
            if (attr->node.local_name == id)
                return attr_value(attr);
            continue;
        }
        size_t len;
        const lxb_char_t *local = lxb_dom_attr_local_name(attr, &len);
        if (len == name.len && memcmp(local, name.p, len) == 0)
            return attr_value(attr);
    }
    return (struct span){NULL, 0};
}

struct span select_attribute(lxb_dom_node_t *element, struct span name)
{
    return find_attr(element, 0, name);
}

static bool html_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f';
}

static bool equal(struct span a, struct span b, bool insensitive)
{
    if (a.len != b.len)
        return false;
    return insensitive ? strncasecmp(a.p, b.p, a.len) == 0 : memcmp(a.p, b.p, a.len) == 0;
}

/* Whether one of the words of list (separated by white space) is word. */
static bool includes(struct span list, struct span word, bool insensitive)
{
    if (word.len == 0)
        return false;
    size_t i = 0;
    while (i < list.len) {
        while (i < list.len && html_space(list.p[i]))
            i++;
        size_t start = i;
        while (i < list.len && !html_space(list.p[i]))
            i++;
        if (equal((struct span){list.p + start, i - start}, word, insensitive))
            return true;
    }
    return false;
}

static bool contains(struct span text, struct span part, bool insensitive)
{
    if (!insensitive)
        return memmem(text.p, text.len, part.p, part.len) != NULL;
    for (size_t i = 0; i + part.len <= text.len; i++)
        if (strncasecmp(text.p + i, part.p, part.len) == 0)
            return true;
    return false;
}

static bool match_attr(lxb_dom_node_t *n, const struct simple *s)
{
    struct span v = find_attr(n, s->id, s->name), want = s->value;
    if (!v.p)
        return false;
    struct span head = {v.p, MIN(v.len, want.len)};
    struct span tail = {v.p + (v.len - head.len), head.len};
    switch (s->kind) {
    case SIMPLE_ATTR_EQUAL:
        return equal(v, want, s->insensitive);
    case SIMPLE_ATTR_INCLUDES:
        return includes(v, want, s->insensitive);
    case SIMPLE_ATTR_DASH:
        return equal(head, want, s->insensitive) && (v.len == want.len || v.p[want.len] == '-');
    case SIMPLE_ATTR_PREFIX:
        return want.len > 0 && equal(head, want, s->insensitive);
    case SIMPLE_ATTR_SUFFIX:
        return want.len > 0 && equal(tail, want, s->insensitive);
    case SIMPLE_ATTR_SUBSTRING:
        return want.len > 0 && contains(v, want, s->insensitive);
    default:
        return true;
    }
}

/* ---- pseudo-classes ---- */

static bool match_any(struct match *m, lxb_dom_node_t *n, const struct selector *s)
{
    for (; s; s = s->next)
        if (match_compound(m, n, s->right) == MATCHES)
            return true;
    return false;
}

static bool counts(struct match *m, lxb_dom_node_t *n, lxb_dom_node_t *sibling,
                   const struct simple *s)
{
    if (s->of_type)
        return sibling->local_name == n->local_name && sibling->ns == n->ns;
    return !s->inner || match_any(m, sibling, s->inner);
}

/* Selectors, level 4, section 14: the element's place among its siblings is an+b for an n >= 0. */
static bool match_nth(struct match *m, lxb_dom_node_t *n, const struct simple *s)
{
    if (s->inner && !match_any(m, n, s->inner))
        return false;
    long place = 1, place_max = s->a > 0 ? LONG_MAX : s->b;
    for (lxb_dom_node_t *o = s->last ? next_of(n) : prev_of(n); o;
         o = s->last ? next_of(o) : prev_of(o)) {
        if (!spend(m->run, 1))
            return false;
        if (counts(m, n, o, s) && ++place > place_max)
            return false;
    }
    long distance = place - s->b;
    return s->a == 0 ? distance == 0 : distance % s->a == 0 && distance / s->a >= 0;
}

/* Candidates of :has are the descendants, and for a leading + or ~ the later siblings with theirs. */
static bool match_has(struct match *m, lxb_dom_node_t *n, const struct selector *inner)
{
    for (const struct selector *s = inner; s; s = s->next) {
        const struct compound *c = s->right;
        while (c->left)
            c = c->left;
        struct match in = {m->run, n};
        bool siblings = c->relation == RELATION_NEXT || c->relation == RELATION_LATER;
        for (lxb_dom_node_t *top = siblings ? next_of(n) : n; top;
             top = siblings ? next_of(top) : NULL) {
            lxb_dom_node_t *d = siblings ? top : next_below(top, top);
            for (; d; d = next_below(top, d)) {
                if (match_compound(&in, d, s->right) == MATCHES)
                    return true;
                if (m->run->steps_left == 0)
                    return false;
            }
        }
    }
    return false;
}

static bool match_contains(struct match *m, lxb_dom_node_t *n, const struct simple *s)
{
    struct buf *text = m->run->scratch;
    buf_clear(text);
    lxb_dom_node_t *d = n;
    while (d) {
        if (d->type == LXB_DOM_NODE_TYPE_TEXT) {
            lexbor_str_t *data = &((lxb_dom_character_data_t *)d)->data;
            buf_append(text, data->data, data->length);
        }
        if (!spend(m->run, 1))
            return false;
        if (d->first_child) {
            d = d->first_child;
            continue;
        }
        while (d != n && !d->next)
            d = d->parent;
        d = d == n ? NULL : d->next;
    }
    return spend(m->run, text->len / 64) && buf_ok(text) &&
           contains(buf_span(text), s->value, s->insensitive);
}

static bool match_empty(const lxb_dom_node_t *n)
{
    for (const lxb_dom_node_t *c = n->first_child; c; c = c->next)
        if (c->type == LXB_DOM_NODE_TYPE_ELEMENT || c->type == LXB_DOM_NODE_TYPE_TEXT)
            return false;
    return true;
}

static bool can_be_disabled(const lxb_dom_node_t *n)
{
    static const lxb_tag_id_t tags[] = {LXB_TAG_BUTTON,   LXB_TAG_INPUT,  LXB_TAG_SELECT,
                                        LXB_TAG_TEXTAREA, LXB_TAG_OPTION, LXB_TAG_OPTGROUP,
                                        LXB_TAG_FIELDSET};
    for (size_t i = 0; i < ARRAY_LEN(tags); i++)
        if (n->local_name == tags[i])
            return true;
    return false;
}

static bool has_attr(lxb_dom_node_t *n, struct span name)
{
    return select_attribute(n, name).p != NULL;
}

static bool match_state(lxb_dom_node_t *n, enum simple_kind kind)
{
    switch (kind) {
    case SIMPLE_LINK:
        return (n->local_name == LXB_TAG_A || n->local_name == LXB_TAG_AREA) &&
               has_attr(n, SPAN("href"));
    case SIMPLE_CHECKED:
        return (n->local_name == LXB_TAG_INPUT && has_attr(n, SPAN("checked"))) ||
               (n->local_name == LXB_TAG_OPTION && has_attr(n, SPAN("selected")));
    default:
        return can_be_disabled(n) && has_attr(n, SPAN("disabled")) == (kind == SIMPLE_DISABLED);
    }
}

static bool match_simple(struct match *m, lxb_dom_node_t *n, const struct simple *s)
{
    lxb_dom_element_t *element = lxb_dom_interface_element(n);
    switch (s->kind) {
    case SIMPLE_TAG_ID:
        return n->local_name == s->id;
    case SIMPLE_TAG_NAME: {
        size_t len;
        const lxb_char_t *name = lxb_dom_element_local_name(element, &len);
        return equal((struct span){(const char *)name, len}, s->name, true);
    }
    case SIMPLE_ID: {
        struct span id = attr_value(lxb_dom_element_id_attribute(element));
        return id.p && span_eq(id, s->value);
    }
    case SIMPLE_CLASS: {
        struct span classes = attr_value(lxb_dom_element_class_attribute(element));
        return classes.p && includes(classes, s->value, false);
    }
    case SIMPLE_NOT:
        return !match_any(m, n, s->inner);
    case SIMPLE_IS:
        return match_any(m, n, s->inner);
    case SIMPLE_HAS:
        return match_has(m, n, s->inner);
    case SIMPLE_CONTAINS:
        return match_contains(m, n, s);
    case SIMPLE_NTH:
        return match_nth(m, n, s);
    case SIMPLE_EMPTY:
        return match_empty(n);
    case SIMPLE_ROOT:
        return n->parent && n->parent->type == LXB_DOM_NODE_TYPE_DOCUMENT;
    case SIMPLE_LINK:
    case SIMPLE_CHECKED:
    case SIMPLE_DISABLED:
    case SIMPLE_ENABLED:
        return match_state(n, s->kind);
    default:
        return match_attr(n, s);
    }
}

/* ---- combinators ---- */

static enum outcome match_scope(struct match *m, lxb_dom_node_t *n, enum relation relation)
{
    bool ok = true;
    lxb_dom_node_t *o = n;
    switch (relation) {
    case RELATION_NONE:
        break;
    case RELATION_CHILD:
        ok = n->parent == m->scope;
        break;
    case RELATION_NEXT:
        ok = prev_of(n) == m->scope;
        break;
    case RELATION_LATER:
        while (o && o != m->scope && spend(m->run, 1))
            o = prev_of(o);
        ok = o == m->scope && n != m->scope;
        break;
    case RELATION_DESCENDANT:
        while (o && o != m->scope && spend(m->run, 1))
            o = o->parent;
        ok = o == m->scope && n != m->scope;
        break;
    }
    return ok ? MATCHES : FAILS_HERE;
}

static enum outcome match_ancestors(struct match *m, lxb_dom_node_t *n, const struct compound *left)
{
    for (lxb_dom_node_t *p = parent_of(n); p; p = parent_of(p)) {
        enum outcome outcome = match_compound(m, p, left);
        if (outcome == MATCHES || outcome == FAILS)
            return outcome;
    }
    return FAILS;
}

static enum outcome match_siblings(struct match *m, lxb_dom_node_t *n, const struct compound *left)
{
    for (lxb_dom_node_t *p = prev_of(n); p; p = prev_of(p)) {
        enum outcome outcome = match_compound(m, p, left);
        if (outcome != FAILS_HERE)
            return outcome;
    }
    return FAILS_SIBLINGS;
}

/* Recursion is as deep as the selector has compounds. */
static enum outcome match_compound(struct match *m, lxb_dom_node_t *n, const struct compound *c)
{
    if (!spend(m->run, 1))
        return FAILS;
    for (const struct simple *s = c->simples; s; s = s->next)
        if (!match_simple(m, n, s))
            return FAILS_HERE;
    if (!c->left)
        return match_scope(m, n, c->relation);
    lxb_dom_node_t *other;
    switch (c->relation) {
    case RELATION_CHILD:
        other = parent_of(n);
        return other ? match_compound(m, other, c->left) : FAILS;
    case RELATION_NEXT:
        other = prev_of(n);
        return other ? match_compound(m, other, c->left) : FAILS_SIBLINGS;
    case RELATION_LATER:
        return match_siblings(m, n, c->left);
    default:
        return match_ancestors(m, n, c->left);
    }
}

/* ---- looking for elements ---- */

static bool index_append(struct select_index *index, lxb_dom_node_t *n)
{
    if (index->n == index->cap) {
        size_t cap = index->cap ? index->cap * 2 : 1024;
        struct select_entry *more =
            cap < UINT32_MAX / 2 ? realloc(index->entries, cap * sizeof *more) : NULL;
        if (!more)
            return false;
        index->entries = more;
        index->cap = cap;
    }
    struct select_entry *e = &index->entries[index->n++];
    e->node = n;
    e->tag = n->local_name < LXB_TAG__LAST_ENTRY ? (uint32_t)n->local_name : UINT32_MAX;
    e->has_class = lxb_dom_element_class_attribute(lxb_dom_interface_element(n)) != NULL;
    n->user = (void *)(uintptr_t)index->n;
    return true;
}

static size_t place_of(const lxb_dom_node_t *n)
{
    return (size_t)(uintptr_t)n->user - 1;
}

static void subtree_end(struct select_index *index, const lxb_dom_node_t *n)
{
    if (n->type == LXB_DOM_NODE_TYPE_ELEMENT)
        index->entries[place_of(n)].end = (uint32_t)index->n & INT32_MAX;
}

bool select_index_fill(struct select_index *index, lxb_dom_node_t *document)
{
    index->n = 0;
    for (lxb_dom_node_t *n = document->first_child; n;) {
        if (n->type == LXB_DOM_NODE_TYPE_ELEMENT && !index_append(index, n))
            return false;
        if (n->first_child) {
            n = n->first_child;
            continue;
        }
        for (;;) {
            subtree_end(index, n);
            if (n->next || n->parent == document)
                break;
            n = n->parent;
        }
        n = n->next;
    }
    return true;
}

void select_index_done(struct select_index *index)
{
    free(index->entries);
    *index = (struct select_index){0};
}

static bool candidate(const struct select_entry *e, const struct selector *s)
{
    return (s->tag == 0 || s->tag == e->tag) && (!s->needs_class || e->has_class);
}

lxb_dom_node_t *select_next(struct select_run *run, const struct selector *s, lxb_dom_node_t *scope,
                            lxb_dom_node_t *after)
{
    const struct select_entry *entries = run->index->entries;
    struct match m = {run, scope};
    bool whole = scope->type == LXB_DOM_NODE_TYPE_DOCUMENT;
    size_t start = after ? place_of(after) + 1 : whole ? 0 : place_of(scope) + 1;
    size_t end = whole ? run->index->n : entries[place_of(scope)].end;
    for (size_t i = start; i < end; i++)
        for (const struct selector *one = s; one; one = one->next)
            if (candidate(&entries[i], one) &&
                match_compound(&m, entries[i].node, one->right) == MATCHES) {
                (void)spend(run, i - start);
                return run->steps_left > 0 ? entries[i].node : NULL;
            }
    (void)spend(run, end - start);
    return NULL;
}
