/*
 * spec_read.h: reading a JSON description by tables of keys, with errors that name the path, what
 * was expected and what was found, and for an unknown key the nearest known one.
 *
 * Thread rule: a reader belongs to the call that compiles a spec.
 */
#ifndef DROVER_SPEC_READ_H
#define DROVER_SPEC_READ_H

#include <jansson.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"

struct spec_reader {
    struct arena *arena; /* everything that is compiled lives here */
    struct scrape_spec *spec;
    struct error *e;
    struct buf path; /* of the value that is being read: "extract.price.regex" */
};

enum key_kind { KEY_BOOL, KEY_U32, KEY_U64, KEY_SECONDS, KEY_STRING, KEY_CUSTOM };

typedef int (*key_read)(struct spec_reader *r, const json_t *v, void *target);

struct key {
    const char *name;
    enum key_kind kind;
    size_t offset;   /* into the target: bool, uint32_t, uint64_t, uint32_t of ms, const char * */
    double min, max; /* of numbers, in the unit of the key */
    key_read read;   /* CUSTOM: gets the target itself */
};

/* Reads the object v by the table into target. Keys that are absent leave the target alone. */
int spec_read_object(struct spec_reader *r, const json_t *v, const struct key *keys, size_t n_keys,
                     void *target) MUST_CHECK;

/* Returns INVALID_SPEC with "path: text". */
int spec_read_refuse(struct spec_reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Returns the error of a callee whose detail lacks the path: "character 3: x" -> "path, character 3: x". */
int spec_read_refuse_inner(struct spec_reader *r, const struct error *inner);
/* "path: expected ..., got a string" */
int spec_read_refuse_type(struct spec_reader *r, const char *expected, const json_t *got);
int spec_read_no_memory(struct spec_reader *r);

/* Going down to a member and back: spec_read_pop(r, spec_read_push(r, name)). */
size_t spec_read_push(struct spec_reader *r, const char *name);
size_t spec_read_push_index(struct spec_reader *r, size_t index);
void spec_read_pop(struct spec_reader *r, size_t mark);

int spec_read_string(struct spec_reader *r, const json_t *v, const char **ret) MUST_CHECK;
/* A string or a list of strings; *ret is NULL-terminated and has *ret_n strings. */
int spec_read_strings(struct spec_reader *r, const json_t *v, const char ***ret,
                      size_t *ret_n) MUST_CHECK;

void *spec_read_alloc(struct spec_reader *r, size_t n, size_t size); /* cleared; NULL: no memory */

#endif
