/*
 * transport.h: ZeroMQ sockets with everything set that measuring libzmq showed to be needed (the
 * reasons stand in transport.c): the ROUTER of a coordinator, the DEALER of everyone else, CURVE, and
 * the authenticator (ZAP, ZeroMQ RFC 27), which runs on a small thread of the context so that
 * handshakes never wait for a busy loop.
 *
 * It moves single frames of at most WIRE_MESSAGE_MAX bytes and knows nothing of what is in them.
 * Peers that do not speak ZeroMQ, send larger or multi-part messages or chose their own routing id
 * are cut off or ignored; the others notice nothing.
 *
 * Thread rule: a transport belongs to one thread; a context may be shared.
 */
#ifndef DROVER_TRANSPORT_H
#define DROVER_TRANSPORT_H

#include "err.h"
#include "keys.h"

struct transport_context;
struct transport;

/* allow: who may connect to the CURVE sockets of this context; borrowed, NULL on clients.
 * io_threads: 1 does about 1 GB/s. */
int transport_context_new(struct keys_allow *allow, int io_threads, struct transport_context **ret,
                          struct error *e) MUST_CHECK;
void transport_context_free(
    struct transport_context *c); /* after its sockets; waits up to 1 s for what is unsent */

/* ---- the coordinator's side ---- */

/* One connection of one peer. A peer that connects again has another. */
struct transport_peer {
    uint32_t v;
};

struct transport_bind {
    const char *url;             /* "tcp://127.0.0.1:7701"; port 0 or *: any free one */
    const struct keys_pair *key; /* NULL: no CURVE, which only loopback addresses may do */
    uint32_t roles;              /* bits of keys_role that are let in */
    int send_queue_max;          /* messages waiting for one peer; 0: 256 */
};

/* AUTH: an address that is not loopback without a key. INVALID_ARGUMENT, IO (address in use, ...). */
int transport_bind(struct transport_context *c, const struct transport_bind *config,
                   struct transport **ret, struct error *e) MUST_CHECK;

/* ---- everyone else's side ---- */

struct transport_connect {
    const char *url;             /* "tcp://host:7700" */
    const struct keys_pair *key; /* NULL: no CURVE */
    const char *server_key;      /* Z85, with key */
};

int transport_connect(struct transport_context *c, const struct transport_connect *config,
                      struct transport **ret, struct error *e) MUST_CHECK;

/* A new socket in place of the old one; what is unsent is dropped. When no answer comes in 5 s. */
int transport_reconnect(struct transport *t, struct error *e) MUST_CHECK;

/* What is known about the connection of a connected transport. UNREACHABLE: not connected (yet),
 * AUTH: the key was refused, PROTOCOL_MISMATCH: something else listens there (or with other keys);
 * OK: the handshake is done. *e says it for a person. */
int transport_problem(struct transport *t, struct error *e) MUST_CHECK;

/* ---- both ---- */

void transport_free(struct transport *t);

/* The address with the real port: "tcp://127.0.0.1:41235". Valid while t lives. */
const char *transport_url(const struct transport *t);

/* Small data lies in the struct itself: it must not be copied or moved while in use. */
struct transport_message {
    struct transport_peer peer; /* of a bound transport */
    enum keys_role role;        /* KEYS_ADMIN without CURVE: loopback is trusted */
    struct span user;           /* the key's name; empty without CURVE */
    struct span data;
    const char *address;               /* of the peer, for logs; "" when unknown; until done */
    _Alignas(8) unsigned char zmq[64]; /* private: the frame that data lies in */
    _Alignas(8) unsigned char zmq_from[64];
};

/* The next message, without waiting: UNAVAILABLE when there is none. After OK the caller calls
 * transport_message_done when it no longer needs user and data. */
int transport_recv(struct transport *t, struct transport_message *ret, struct error *e) MUST_CHECK;
void transport_message_done(struct transport_message *m);

/* Sends without waiting. peer: NULL on a connected transport.
 *   UNREACHABLE  the peer is gone (bound), or there is no connection or no room (connected)
 *   QUEUE_FULL   the peer reads too slowly; nothing was sent
 *   LIMIT        larger than WIRE_MESSAGE_MAX
 * OK does not mean delivered. */
int transport_send(struct transport *t, const struct transport_peer *peer, struct span data,
                   struct error *e) MUST_CHECK;

/* Waits until an item is readable, a signal comes or the time is over (-1: none). Each item has a
 * transport, or an fd. Sets ready; level-triggered, so a transport need not be read to its end. A
 * connected transport is also ready when its connection changed (transport_problem tells). At most 32
 * items. Returns the number of ready items; 0 also on a signal. */
struct transport_item {
    struct transport *transport;
    int fd;
    bool ready;
};
int transport_wait(struct transport_item *items, size_t n, int64_t timeout_ms);

/* True for an address that only this machine can reach. */
bool transport_is_loopback(const char *url);

#endif
