/*
 * pattern.h: regular expressions by PCRE2, compiled once per spec, matched with limits: what a page
 * contains must not be able to stop a worker.
 *
 * Thread rule: a pattern is shared; a pattern_run belongs to one thread.
 */
#ifndef DROVER_PATTERN_H
#define DROVER_PATTERN_H

#include "common/base.h"
#include "common/err.h"

enum {
    PATTERN_MATCH_LIMIT = 200000, /* PCRE2's match limit, of one search */
    PATTERN_DEPTH_LIMIT = 10000,  /* its backtracking depth (interpreter) */
    PATTERN_HEAP_KIB = 4096,
    PATTERN_SUBJECT_BYTES_MAX = 1024 * 1024 /* what is searched; the rest of a longer text is not */
};

struct pattern;
struct pattern_run;

/* UTF-8, case-sensitive ((?i) inside changes it). INVALID_SPEC with "character N: message" (from 1),
 * or NOMEM. */
int pattern_compile(struct span text, struct pattern **ret, struct error *e) MUST_CHECK;
void pattern_free(struct pattern *p);

struct pattern_run *pattern_run_new(void) MUST_CHECK; /* NULL: no memory */
void pattern_run_free(struct pattern_run *r);

/* Searches subject (valid UTF-8). True: *ret is the first group that took part, or the whole match
 * when the pattern has no group. False also when a limit was passed; *ret_limit (may be NULL) is set
 * to true then and left alone otherwise. */
bool pattern_find(struct pattern_run *r, const struct pattern *p, struct span subject,
                  struct span *ret, bool *ret_limit);

#endif
