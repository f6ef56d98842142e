/*
 * client.h: requests to the coordinator's front and their answers (docs/PROTOCOL.md, "Client and
 * coordinator"): one at a time, sent again with the same number until an answer comes.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CLIENT_H
#define DROVER_CLIENT_H

#include <signal.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/keys.h"

enum {
    CLIENT_TIMEOUT_MS = 10000, /* without an answer: UNREACHABLE */
    CLIENT_WAIT_MAX_MS = 30000 /* what a request may ask the coordinator to wait */
};

struct client;

struct client_target {
    const char *url;
    const struct keys_pair *key; /* NULL: no CURVE */
    const char *server_key;      /* Z85, with key */
};

/* Connects in the background: only client_call finds out whether there is anybody. stop: set by a
 * signal handler, ends a call with UNAVAILABLE. The strings and keys are copied. */
int client_open(const struct client_target *target, const volatile sig_atomic_t *stop,
                struct client **ret, struct error *e) MUST_CHECK;
void client_close(struct client *c);

/* args: a packed map; wait_ms: what it asks the coordinator to wait, 0 for most. The value is valid
 * until the next call. Errors: those of the coordinator, UNREACHABLE, AUTH (key refused),
 * PROTOCOL_MISMATCH. */
int client_call(struct client *c, const char *verb, struct span args, uint32_t wait_ms,
                struct span *ret_value, struct error *e) MUST_CHECK;

/* After an error: when the coordinator said to try again; 0: it did not. */
uint32_t client_retry_after_ms(const struct client *c);

/* Sleeps, unless the stop signal comes. */
void client_pause(struct client *c, uint32_t ms);

#endif
