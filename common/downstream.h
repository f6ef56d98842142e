/*
 * downstream.h: what a worker calls that can fail, and its name: "postgres:main" and "redis:cache"
 * (a sink of the administrator), "host:https://example.org" (a scraped host). Breakers go by it;
 * on the wire it is text, in the scheduler its hash.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_DOWNSTREAM_H
#define DROVER_DOWNSTREAM_H

#include "base.h"

enum { DOWNSTREAM_NAME_MAX = 300 }; /* bytes; a host's key is a scheme, 253 of a name, a port */

#define DOWNSTREAM_HOST_PREFIX "host:"

/* A sink's or a host's. Sinks and hosts never share a hash by design: a host's is that of its key
 * (which tasks are grouped by), a sink's that of its whole name. */
uint64_t downstream_hash(struct span name);
bool downstream_is_host(struct span name);

#endif
