/*
 * robots_fetch.h: gets a host's robots.txt and says what its absence means (RFC 9309, 2.3.1): 4xx
 * allows everything; 5xx, 429 and no answer forbid everything for a while. Follows up to five
 * redirects, each with the address guard.
 *
 * Thread rule: the loop's thread.
 */
#ifndef DROVER_ROBOTS_FETCH_H
#define DROVER_ROBOTS_FETCH_H

#include "common/base.h"

struct host;
struct run;

/* Asks on behalf of a task, with its options. */
void robots_fetch_start(struct run *r, struct host *h);

/* Ends those of a task that goes away; their hosts are then asked again by others. */
void robots_fetch_abort(struct run *r);

/* Whether the host's rules are known, fresh, and for the crawler name that the task uses. */
bool robots_fetch_known(const struct run *r, const struct host *h, uint64_t now_ms);

#endif
