/*
 * zap.h: the authenticator of a ZeroMQ context (ZAP, ZeroMQ RFC 27): a thread that looks each CURVE
 * public key up in the list of authorized keys. It decides who may come in and as what, and nothing
 * else. Only transport.c uses it.
 *
 * The ZAP domain of a socket is the decimal number of the roles it lets in; the User-Id given to its
 * messages is "role:name".
 *
 * Thread rule: new and free on one thread; its own thread does the rest.
 */
#ifndef DROVER_ZAP_H
#define DROVER_ZAP_H

#include "err.h"
#include "keys.h"

struct zap;

/* Binds inside the given zmq context, before its first CURVE socket binds. allow is borrowed; NULL
 * lets nobody in. */
int zap_new(void *zmq_context, struct keys_allow *allow, struct zap **ret,
            struct error *e) MUST_CHECK;
void zap_free(struct zap *z); /* stops and joins the thread; before the context ends */

#endif
