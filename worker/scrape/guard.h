/*
 * guard.h: the guard against server-side request forgery: which addresses a scrape may connect to.
 *
 * It judges resolved addresses (at the moment a socket is opened for one, so that a name that
 * resolves differently the second time cannot pass) and literal addresses in URLs. It refuses every
 * address that is not plainly global, and addresses that carry a refused IPv4 address inside, unless
 * a network of the allow-list holds it. It does not resolve names.
 *
 * Thread rule: immutable after guard_new.
 */
#ifndef DROVER_GUARD_H
#define DROVER_GUARD_H

#include <sys/socket.h>

#include "common/err.h"

struct guard;

enum { GUARD_NETS_MAX = 256 };

/* allow_nets: "10.0.0.0/8", "fd00::/8", "192.0.2.7"; NULL-terminated, or NULL for none. CONFIG with
 * a detail that names the entry, or NOMEM. */
int guard_new(const char *const *allow_nets, struct guard **ret, struct error *e) MUST_CHECK;
void guard_free(struct guard *g);

/* Whether a connection to the address may be opened. Families other than IPv4 and IPv6: never. */
bool guard_allows(const struct guard *g, const struct sockaddr *address);

/* The same for the host of a canonical URL: a literal ("192.0.2.1", "[2001:db8::1]") is judged, a
 * name is not (true), since its address is judged when it is known. */
bool guard_allows_host(const struct guard *g, struct span host);

#endif
