/*
 * calls.h: what came of requests to hosts, for the coordinator's breakers: counts since they were last
 * taken. Only hosts that failed of late are kept: nobody needs to hear of the others.
 *
 * Bounded: CALLS_HOSTS_MAX hosts. When it is full, the host whose last failure is the longest ago makes
 * room for one that fails now.
 *
 * Thread rule: any thread.
 */
#ifndef DROVER_CALLS_H
#define DROVER_CALLS_H

#include "common/base.h"

enum {
    CALLS_HOSTS_MAX = 1000,
    CALLS_WATCH_MS = 60 * 1000, /* a host is reported for so long after a failure */
    CALLS_SLOW_MS = 10 * 1000,  /* a request that took longer is slow */
    CALLS_IN_A_ROW = 5,         /* failures, after which a task gives the rest of a host back */
    CALLS_KEY_MAX = 290,        /* bytes; a longer key is no host's */
    CALLS_ERROR_LEN = 300
};

struct calls;

struct calls_report {
    char key[CALLS_KEY_MAX + 1]; /* "https://example.org" */
    uint32_t ok, fail, slow;
    uint32_t row;                /* of `fail`: those after the last success */
    char error[CALLS_ERROR_LEN]; /* of the last failure; "": none since the last report */
};

/* wake_fd: an eventfd that becomes readable when a report should not wait (a first failure). NULL: no
 * memory. */
struct calls *calls_new(int wake_fd) MUST_CHECK;
void calls_free(struct calls *c); /* takes NULL */

/* Of a host that is watched: ask only while its last failure is less than CALLS_WATCH_MS ago. */
void calls_ok(struct calls *c, struct span key, bool slow);
void calls_failed(struct calls *c, struct span key, const char *error, uint64_t now_ms);
void calls_clear(struct calls *c); /* a new session: what was counted is of no use */

bool calls_watching(struct calls *c); /* any host at all */

/* Takes up to max reports. all: otherwise only when one should not wait. */
size_t calls_take(struct calls *c, bool all, uint64_t now_ms, struct calls_report *ret, size_t max);

#endif
