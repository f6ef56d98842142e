/*
 * sqltext.h: SQL text into the tree of PostgreSQL's own parser (libpg_query). Checks the length and
 * that there is one SELECT statement; what the statement may say is analyze.h's business.
 *
 * Thread rule: any thread; the parser runs on a thread of its own, whose stack is large enough for
 * the deepest nesting that a text of SQLTEXT_BYTES_MAX can have.
 */
#ifndef DROVER_TRANSFORM_SQLTEXT_H
#define DROVER_TRANSFORM_SQLTEXT_H

#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include "common/err.h"

enum { SQLTEXT_BYTES_MAX = 64 * 1024, SQLTEXT_STACK_BYTES = 256 * 1024 * 1024 };

/* Calls f on a thread with a large stack, and waits. NOMEM: there can be none. */
int sqltext_with_stack(void (*f)(void *user), void *user, struct error *e) MUST_CHECK;

/* INVALID_SPEC with the position of the mistake. Freed by sqltext_free. Both need the large stack.
 * */
int sqltext_parse(struct span sql, PgQuery__ParseResult **ret, struct error *e) MUST_CHECK;
void sqltext_free(PgQuery__ParseResult *tree);

/* The number of the character at a byte offset, from 1. */
unsigned sqltext_character(struct span sql, size_t offset);

#endif
