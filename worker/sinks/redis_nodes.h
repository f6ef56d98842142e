/*
 * redis_nodes.h: the servers behind one Redis sink: one, or the nodes of a cluster, each with its
 * connection once it is needed, and which of them has a slot. Logs in; follows what CLUSTER SLOTS,
 * MOVED and ASK say.
 *
 * It knows nothing of landings: what was asked of a node and is not answered is numbers to it.
 *
 * Thread rule: belongs to one thread.
 */
#ifndef DROVER_REDIS_NODES_H
#define DROVER_REDIS_NODES_H

#include "redis_link.h"
#include "sink.h"

enum {
    REDIS_SLOTS = 16384,
    REDIS_NODES_MAX = 1000, /* what Redis Cluster recommends as its own limit */
    REDIS_VERSION_LEN = 32
};

/* What was asked, in the order of the answers. */
struct redis_asked {
    uint32_t what;
    size_t bytes;
};

struct redis_node {
    struct redis_place place;
    struct redis_link *link;   /* NULL: not connected */
    bool down;                 /* it failed: not asked again through this connection */
    bool load;                 /* it does not have the script, as far as is known */
    struct redis_asked *asked; /* a ring */
    size_t first, n_asked, room;
    size_t asked_bytes;
};

struct redis_nodes {
    struct redis_url url;
    const char *user, *password; /* borrowed from url or settings; NULL: none */
    char *own_user, *own_password;
    struct redis_tls *tls;
    struct redis_node *list[REDIS_NODES_MAX];
    size_t n;
    uint16_t *slots;                 /* index in list of each slot; NULL: not a cluster */
    bool stale;                      /* a slot was not where it was thought to be */
    char version[REDIS_VERSION_LEN]; /* "7.0.15"; "": the server does not say */
};

/* Connects to the first host of the URL that answers and logs in. UNAVAILABLE, with its words. */
int redis_nodes_open(struct redis_nodes *s, const struct sink_settings *settings,
                     uint64_t deadline_ms, struct error *e) MUST_CHECK;
void redis_nodes_done(struct redis_nodes *s);

/* The slot of a key whose hash tag this is. */
uint16_t redis_nodes_slot(struct span tag);
struct redis_node *redis_nodes_of(struct redis_nodes *s, uint16_t slot);

/* Makes the connection if there is none. */
int redis_nodes_connect(struct redis_nodes *s, struct redis_node *node, uint64_t deadline_ms,
                        struct error *e) MUST_CHECK;
void redis_nodes_lost(struct redis_node *node); /* closes it; what was asked is forgotten */

/* Reads "MOVED 3999 127.0.0.1:6381" and "ASK ..." of a node. NULL: it is not of that form, or there
 * is no room for another node. MOVED is noted for the slot. */
struct redis_node *redis_nodes_redirected(struct redis_nodes *s, const struct redis_node *by,
                                          struct span words);
/* Reads the slots anew when they are stale and nothing is being asked. What cannot be asked is left
 * as it is: MOVED says it too. UNAVAILABLE: the connection is lost. */
int redis_nodes_refresh(struct redis_nodes *s, uint64_t deadline_ms, struct error *e) MUST_CHECK;

/* False: no memory. */
bool redis_nodes_asked(struct redis_node *node, uint32_t what, size_t bytes);
struct redis_asked redis_nodes_answered(struct redis_node *node); /* there is one */

#endif
