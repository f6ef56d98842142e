/*
 * hold.h: breakers and hosts: what an ended request says about its host, when a task gives the rest of
 * its URLs back because the host fails, and what the coordinator says of a host.
 *
 * Failures are those of the host alone: no connection, no name, a TLS handshake or an answer that is cut
 * off, a timeout, 429 and 5xx. Any other answer is a success; a page that is refused for what it is, or
 * a want of this worker, says nothing.
 *
 * Only in a fleet (scrape_config.calls): a run alone has nobody to hold the URLs for it.
 *
 * Thread rule: the loop's thread.
 */
#ifndef DROVER_HOLD_H
#define DROVER_HOLD_H

#include "scrape.h"

struct fetch;
struct host;

/* A request to the host has ended: counts it. page: and gives up on the host when it failed too often,
 * so that runs without a page under way may be gone after (robots.txt has its own way to give up). */
void hold_note(struct scrape_loop *l, struct host *h, const struct fetch *f, bool page);

/* What the coordinator says. key.p NULL: every host is free (a new session). */
void hold_tell(struct scrape_loop *l, struct span key, enum scrape_host_state state);

#endif
