/*
 * reason.h: the one table of reason codes: why an input came to no row (a reject), and why an attempt
 * at a task failed (its dead letter). Beside them there are "HTTP_" with a status that is no
 * success, and the names of err.h. docs/SCRAPE.md and docs/OPERATIONS.md say what to do about each;
 * tests/e2e/test_docs_codes.py compares.
 *
 * A code never changes its meaning: jobs of years are searched by it.
 *
 * Thread rule: constants.
 */
#ifndef DROVER_REASON_H
#define DROVER_REASON_H

/* ---- the page could not be had ---- */
#define REASON_BLOCKED_ADDRESS "BLOCKED_ADDRESS"       /* the guard refused the address */
#define REASON_CLOSED "CLOSED"                         /* the connection ended early */
#define REASON_CONNECT "CONNECT"                       /* no connection could be made */
#define REASON_DECODE "DECODE"                         /* the body is not what its encoding says */
#define REASON_DNS "DNS"                               /* the name does not resolve */
#define REASON_OFF_SCOPE "OFF_SCOPE"                   /* a redirect led out of "follow" */
#define REASON_OPEN_FILES "OPEN_FILES"                 /* the worker had no socket left */
#define REASON_OUTPUT_TOO_LARGE "OUTPUT_TOO_LARGE"     /* what one page gave */
#define REASON_PROTOCOL "PROTOCOL"                     /* no HTTP that can be understood */
#define REASON_REDIRECT_LIMIT "REDIRECT_LIMIT"         /* more than "redirects" */
#define REASON_REDIRECT_LOOP "REDIRECT_LOOP"           /* to where it had been */
#define REASON_ROBOTS "ROBOTS"                         /* robots.txt forbids it */
#define REASON_ROBOTS_UNAVAILABLE "ROBOTS_UNAVAILABLE" /* it answers 5xx or 429 */
#define REASON_SLOW "SLOW"                             /* below "min_speed" */
#define REASON_TIMEOUT "TIMEOUT"                       /* no answer, or not all of it, in time */
#define REASON_TLS "TLS"                               /* certificate or handshake */
#define REASON_TOO_LARGE "TOO_LARGE"                   /* more than "max_bytes" */
#define REASON_TYPE "TYPE"                             /* a Content-Type that is not in "types" */

/* ---- nothing could be extracted ---- */
#define REASON_EMPTY_BODY "EMPTY_BODY"
#define REASON_MISSING_FIELD "MISSING_FIELD"
#define REASON_NEEDS_JAVASCRIPT "NEEDS_JAVASCRIPT"

/* ---- the worker ---- */
#define REASON_BAD_ROW "BAD_ROW"             /* a row that a sink does not take */
#define REASON_CANCELLED "CANCELLED"         /* the lease is gone: nobody asks any more */
#define REASON_FRONTIER_FULL "FRONTIER_FULL" /* `run`: too many URLs wait */
#define REASON_INVALID_INPUT "INVALID_INPUT" /* `run`: not what the first stage takes */
#define REASON_LIMIT "LIMIT"                 /* the result has no room in a message */
#define REASON_NOMEM "NOMEM"
#define REASON_SINK "SINK"       /* a sink refused the rows of a task, for good */
#define REASON_STOPPED "STOPPED" /* the worker ends: the task goes back uncounted */

/* ---- the coordinator ---- */
#define REASON_ATTEMPTS_EXHAUSTED "ATTEMPTS_EXHAUSTED" /* it came with none left */
#define REASON_HOST_DOWN "HOST_DOWN"                   /* nothing of the host came for long */
#define REASON_RUN_TIMEOUT "RUN_TIMEOUT"               /* longer than run_timeout_s */
#define REASON_WORKER_LOST "WORKER_LOST"               /* kills_max workers died with it */

/* The statistic of rejects that a task counted and did not list. */
#define STAT_REJECTS_NOT_LISTED "rejects_not_listed"

#endif
