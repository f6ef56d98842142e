/* spec_field.h: compiles "extract", for spec.c. */
#ifndef DROVER_SPEC_FIELD_H
#define DROVER_SPEC_FIELD_H

#include "spec_read.h"

struct pattern;
struct selector;

/* Compiles the dictionary v into r->spec's fields; NULL: the default dictionary. */
int spec_field_compile_all(struct spec_reader *r, const json_t *v) MUST_CHECK;

/* Marks the top-level field of that name as the one that makes the rows. */
int spec_field_set_rows(struct spec_reader *r, const char *name) MUST_CHECK;

int spec_field_selector(struct spec_reader *r, struct span text,
                        const struct selector **ret) MUST_CHECK;
int spec_field_pattern(struct spec_reader *r, const char *text, struct pattern **ret) MUST_CHECK;

#endif
