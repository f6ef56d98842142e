/*
 * redis_tls.h: TLS for a connection to Redis, without a socket: bytes go in and come out. The
 * server's certificate must be signed by an authority that is trusted, and be for the host that was
 * asked for.
 *
 * Thread rule: a context and its streams belong to one thread.
 */
#ifndef DROVER_REDIS_TLS_H
#define DROVER_REDIS_TLS_H

#include "common/buf.h"
#include "common/err.h"

struct redis_tls;        /* whom to trust; for all connections of a sink */
struct redis_tls_stream; /* one connection */

/* ca_pem: the authorities; "": the built-in bundle. INVALID_ARGUMENT: no certificate is in it. */
int redis_tls_new(const char *ca_pem, struct redis_tls **ret, struct error *e) MUST_CHECK;
void redis_tls_free(struct redis_tls *t);

/* host: a name or an address, which must stand in the certificate. NOMEM. */
int redis_tls_stream_new(struct redis_tls *t, const char *host, struct redis_tls_stream **ret,
                         struct error *e) MUST_CHECK;
void redis_tls_stream_free(struct redis_tls_stream *s);

bool redis_tls_ready(const struct redis_tls_stream *s); /* the handshake is over */

/* Goes on with the handshake, reads n bytes that came from the server (0 at the start) into plain,
 * and appends what must be sent to wire. UNAVAILABLE: what TLS has against it. */
int redis_tls_take(struct redis_tls_stream *s, const void *p, size_t n, struct buf *plain,
                   struct buf *wire, struct error *e) MUST_CHECK;
/* Appends plain bytes, encrypted, to wire; the handshake is over. */
int redis_tls_put(struct redis_tls_stream *s, const void *p, size_t n, struct buf *wire,
                  struct error *e) MUST_CHECK;

#endif
