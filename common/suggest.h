/*
 * suggest.h: "did you mean ...?" for unknown keys, options and verbs.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_SUGGEST_H
#define DROVER_SUGGEST_H

#include "base.h"

enum { SUGGEST_WORD_MAX = 63, SUGGEST_TEXT_LEN = 96 };

/* Edits between two words: insert, delete, replace or swap of neighbours, each 1 (optimal string
 * alignment). Words longer than SUGGEST_WORD_MAX are UINT_MAX apart. Case counts. */
unsigned suggest_distance(const char *a, const char *b);

/* The nearest candidate, or NULL when none is near enough (a third of its length, at least 1) to be
 * what was meant. Case and the blanks around a word do not count here. */
const char *suggest_nearest(const char *word, const char *const *candidates, size_t n);

/* ` (did you mean "nearest"?)`, or "" when there is none, into ret; returns ret. */
const char *suggest_text(const char *word, const char *const *candidates, size_t n,
                         char ret[SUGGEST_TEXT_LEN]);

#endif
