/*
 * regex.h: PostgreSQL's advanced regular expressions, matched by PCRE2. A pattern is translated
 * first: what both write the same and mean otherwise (\y, \Z, \v, $, the point) is rewritten, and
 * what only PCRE2 knows, or what means another thing there that cannot be told apart, is refused
 * with the reason (docs/TRANSFORM.md). Where the extent of a match shows, it is the longest one at
 * the leftmost place, as POSIX has it.
 *
 * Thread rule: a struct regex is immutable and may be shared; a struct regex_run has one owner.
 */
#ifndef DROVER_TRANSFORM_REGEX_H
#define DROVER_TRANSFORM_REGEX_H

#include "common/base.h"

enum {
    REGEX_PATTERN_BYTES_MAX = 8192,
    REGEX_MATCH_STEPS_MAX = 1000000, /* of one match; PCRE2's match limit */
    REGEX_GROUPS = 10,               /* that a replacement can name, and the whole */
    REGEX_WHY_LEN = 160
};

struct regex;
struct regex_run;

struct regex_match {
    size_t from[REGEX_GROUPS], to[REGEX_GROUPS]; /* SIZE_MAX: the group is not in it */
    unsigned n_groups;                           /* of the pattern */
};

enum regex_found { REGEX_NO, REGEX_YES, REGEX_LIMIT };

/* extent: it will be asked where a match ends, and not only whether there is one. False: why not;
 * "" for no memory. */
bool regex_new(struct span pattern, bool ignore_case, bool extent, struct regex **ret,
               char why[REGEX_WHY_LEN]) MUST_CHECK;
void regex_free(struct regex *r); /* takes NULL */

struct regex_run *regex_run_new(const struct regex *r) MUST_CHECK; /* NULL: no memory */
void regex_run_free(struct regex_run *run);                        /* takes NULL */

/* The text is valid UTF-8. LIMIT: the pattern needs too many steps or too much memory for it. */
enum regex_found regex_is_in(struct regex_run *run, struct span text);
/* The first match at or behind that byte; the regex was made for its extent. */
enum regex_found regex_find(struct regex_run *run, struct span text, size_t from,
                            struct regex_match *ret);

#endif
