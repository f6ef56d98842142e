/*
 * print.h: answers on standard output, as tables for people and as JSON for programs. Control
 * characters in a value never reach the terminal.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_PRINT_H
#define DROVER_PRINT_H

#include <jansson.h>

#include "common/buf.h"

enum print_format { PRINT_TABLE, PRINT_WIDE, PRINT_JSON, PRINT_JSONL, PRINT_NAME };

enum print_kind {
    PRINT_TEXT,
    PRINT_COUNT,   /* 91,204 */
    PRINT_BYTES,   /* 15.2 MiB */
    PRINT_SECONDS, /* 12ms, 1.9s, 14m5s, 6d4h */
    PRINT_TIME,    /* RFC 3339 without the fraction */
    PRINT_LIST     /* texts with commas between */
};

struct print_column {
    const char *title, *key;
    enum print_kind kind;
    bool wide; /* only in PRINT_WIDE */
};

bool print_format_parse(const char *text, enum print_format *ret);

/* Appends one value as people read it; "-" for null and what is missing. */
void print_value(struct buf *out, const json_t *v, enum print_kind kind);

/* rows: an array of objects. name_key: what PRINT_NAME prints. Empty tables print their head alone. */
void print_list(enum print_format format, const json_t *rows, const struct print_column *columns,
                size_t n, const char *name_key);

/* One object: a line for each column (all of them), or JSON. */
void print_object(enum print_format format, const json_t *row, const struct print_column *columns,
                  size_t n, const char *name_key);

void print_json(const json_t *v, bool compact);

/* Writes text that is ready. A closed pipe ends the program quietly, as for other filters. */
void print_text(struct span text);

#endif
