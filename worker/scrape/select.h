/*
 * select.h: CSS selectors. lexbor parses them; they are then compiled into an immutable form of our
 * own, which threads share, and matched from right to left with the backtracking of browsers and a
 * budget of steps: lexbor's own matcher takes 17 s for "section div div div b" in 200 nested divs.
 *
 * Supported: type, *, #id, .class, attributes, the combinators (space) > + ~, lists, :not :is :where
 * :has, :nth-*() with "of", :first-/last-/only-child and -of-type, :empty :root :scope (leading),
 * :link :any-link :checked :disabled :enabled, :contains("text"). Others are refused by name.
 *
 * Thread rule: a selector is shared; a select_run belongs to one thread.
 */
#ifndef DROVER_SELECT_H
#define DROVER_SELECT_H

#include <lexbor/dom/dom.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"

struct selector;

/* The elements of a document in document order, so that looking for one does not walk the tree. */
struct select_entry {
    lxb_dom_node_t *node; /* whose user pointer is its place in the list plus one */
    uint32_t tag;         /* lexbor's number; UINT32_MAX: an element that lexbor does not know */
    uint32_t end : 31;    /* the place behind the last element in its subtree */
    uint32_t has_class : 1;
};

struct select_index {
    struct select_entry *entries;
    size_t n, cap;
};

/* The state of matching in one page. */
struct select_run {
    uint64_t steps_left; /* tests of one node against one compound; at 0 nothing matches any more */
    const struct select_index *index;
    struct buf *scratch; /* for :contains */
};

/* Fills the index from the document. False: no memory, or too many elements. */
bool select_index_fill(struct select_index *index, lxb_dom_node_t *document) MUST_CHECK;
void select_index_done(struct select_index *index);

/* Compiles text into the arena. On failure INVALID_SPEC with a detail "character N: ..." counted
 * from 1, LIMIT or NOMEM. An element matches like in Element.querySelectorAll: ancestors outside the
 * scope count; a leading combinator or :scope relates to the scope itself. */
int select_compile(struct arena *a, struct span text, const struct selector **ret,
                   struct error *e) MUST_CHECK;

/* The next element after `after` (NULL: from the start) in the subtree of scope (the document or an
 * element of it), without scope itself, in document order. NULL: none, or the steps are used up. */
lxb_dom_node_t *select_next(struct select_run *run, const struct selector *s, lxb_dom_node_t *scope,
                            lxb_dom_node_t *after);

/* The attribute's value, or a span with p NULL when the element has none of that name (lower case). */
struct span select_attribute(lxb_dom_node_t *element, struct span name);

#endif
