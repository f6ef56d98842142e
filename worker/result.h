/*
 * result.h: what a task came to, as one element of a RESULT message. It decides the outcome from the
 * output's error and sees to it that no result is larger than a message may be.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_RESULT_H
#define DROVER_RESULT_H

#include "common/wire.h"

struct output;

enum {
    /* One result with the envelope around it fits a message. */
    RESULT_BYTES_MAX = WIRE_MESSAGE_MAX - 1024
};

/* Appends one packed result, which cannot fail but for memory (NOMEM). with_rows: they go to the
 * coordinator's store; otherwise they are only counted. The outcome:
 *     no error               DONE
 *     STALE                  RETURNED: cut short, the attempt does not count
 *     class RETRY, NOMEM     RETRY
 *     any other              FAIL
 * A result above RESULT_BYTES_MAX becomes a FAIL with LIMIT, since its rows cannot travel. */
int result_pack(const struct wire_token *token, const struct output *o, bool with_rows,
                struct buf *out, enum wire_outcome *ret_outcome) MUST_CHECK;

/* What a task's rows hold, and all else that it came to, before its rows land (WIRE_LAND): which inputs
 * are left out of them, with the rejects and retries that became of those, and what was found. Too
 * large: a FAIL, as above; then nothing may land. */
int result_pack_land(const struct wire_token *token, const struct output *o, struct buf *out,
                     enum wire_outcome *ret_outcome) MUST_CHECK;

/* A result without an output: a task that was not run. reason: may be NULL. */
int result_pack_plain(const struct wire_token *token, enum wire_outcome outcome, const char *reason,
                      struct buf *out) MUST_CHECK;

#endif
