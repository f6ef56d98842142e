/*
 * path.h: paths into JSON values, for JSON-LD: a small part of JSONPath (RFC 9535).
 *
 *   $            the value            .name ['name']   a member
 *   [2] [-1]     an element           [*] .*           all elements or members
 *   ..name       members of that name at any depth
 *   [?(@.name == 'text')]             the elements (or the value itself) whose member equals or,
 *                                     being a list, contains the text
 *
 * Thread rule: a path is shared; a walk belongs to its thread.
 */
#ifndef DROVER_PATH_H
#define DROVER_PATH_H

#include <jansson.h>

#include "common/arena.h"
#include "common/err.h"

enum {
    PATH_STEPS_MAX = 32,
    PATH_VISITS_MAX = 100000 /* values looked at in one walk; at the limit the walk ends */
};

struct path;

/* Compiles into the arena. INVALID_SPEC with "character N: ...", or NOMEM. */
int path_compile(struct arena *a, struct span text, const struct path **ret,
                 struct error *e) MUST_CHECK;

/* Calls found for each value, in document order, until it returns false. */
void path_walk(const struct path *p, const json_t *root, bool (*found)(const json_t *v, void *user),
               void *user);

#endif
