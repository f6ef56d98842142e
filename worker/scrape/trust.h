/*
 * trust.h: the certificate authorities that servers are verified against: a file, or the bundle that
 * is built into the program. Parsed once and shared by all connections of a loop, because curl alone
 * would parse 140 certificates for each connection.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_TRUST_H
#define DROVER_TRUST_H

#include "common/err.h"

struct trust;

/* ca_file: PEM, read at once; CONFIG when it cannot be. NULL: the built-in bundle, read at the first
 * use. */
int trust_new(const char *ca_file, struct trust **ret, struct error *e) MUST_CHECK;
void trust_free(struct trust *t);

/* Gives the authorities to a new OpenSSL context (SSL_CTX *). False: they cannot be read. */
bool trust_apply(struct trust *t, void *ssl_ctx);

#endif
