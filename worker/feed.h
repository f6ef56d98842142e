/*
 * feed.h: the inputs of a local run, read as they are wanted: the texts inside the description, then
 * the lines of a file. Empty lines and lines that begin with # are left out.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_FEED_H
#define DROVER_FEED_H

#include <jansson.h>
#include <stdio.h>

#include "common/err.h"

struct feed {
    const json_t *texts; /* borrowed array, or NULL */
    size_t next;
    FILE *file; /* NULL: none, or at its end */
    const char *path;
    size_t line_max;
    char *line;
    size_t cap;
    uint64_t n_lines;
};

/* path: "-" is standard input, NULL none. IO. */
int feed_open(struct feed *f, const json_t *texts, const char *path, size_t line_max,
              struct error *e) MUST_CHECK;
void feed_close(struct feed *f);

/* The next text, valid until the next call; p NULL: no more. LIMIT: a line is too long; IO. */
int feed_next(struct feed *f, struct span *ret, struct error *e) MUST_CHECK;

#endif
