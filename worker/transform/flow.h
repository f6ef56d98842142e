/*
 * flow.h: packets to bidirectional flows. A flow is what two ends (address and port) say to each
 * other by one protocol; the sender of its first packet is the source, and "forward" is from there.
 *
 * A flow ends (enum flow_end) when nothing comes for the idle timeout; when a packet comes later than
 * the active timeout after its start (the packet begins the next one); when a TCP flow is over (it
 * was reset, or both sides sent FIN) and then nothing comes for FLOW_OVER_S, or a SYN begins another
 * one; when the table is full and it was idle for longest; and with the capture.
 *
 * Time is what the packets say; one that is older than the packet before counts as of that time.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_FLOW_H
#define DROVER_TRANSFORM_FLOW_H

#include "packet.h"

enum {
    FLOW_TABLE_MAX = 131072, /* flows at a time: 84 MB */
    FLOW_IDLE_S = 120,
    FLOW_ACTIVE_S = 1800,
    FLOW_TIMEOUT_S_MAX = 86400,
    FLOW_OVER_S = 5, /* for what comes behind the last FIN */
    FLOW_PAUSE_S = 5 /* a longer one parts periods of activity */
};

enum flow_end { FLOW_IDLE, FLOW_ACTIVE, FLOW_OVER, FLOW_FULL, FLOW_CAPTURE };
const char *flow_end_name(enum flow_end end);

/* Moments of a series of numbers (Welford). */
struct flow_series {
    uint64_t n;
    double min, max, mean, m2;
};
double flow_deviation(const struct flow_series *s); /* of a sample; 0 for fewer than two */

struct flow_side {
    uint64_t packets, bytes, header_bytes, payload_bytes, data_packets;
    uint64_t psh, urg;
    uint32_t header_min_bytes;
    int64_t last_ns;
    int32_t window; /* of the first packet; -1: none came, or it is no TCP */
    struct flow_series lengths, gaps_s;
};

struct flow {
    struct packet_end from, to;
    uint8_t version, protocol;
    int64_t first_ns, last_ns;
    struct flow_side forward, backward;
    struct flow_series lengths, gaps_s, periods_s, pauses_s;
    uint64_t fin, syn, rst, psh, ack, urg, ece, cwr, fragments;
    int64_t period_ns; /* start of the present period of activity */
    enum flow_end end; /* valid when it is given out */
    /* Of the table. */
    bool fin_forward, fin_backward, over;
    uint32_t hash, chain;  /* next in its bucket */
    uint32_t older, newer; /* in the order of the last packets */
};

struct flows;

/* Takes a flow that has ended; it is valid during the call. */
typedef int flow_fn(void *user, const struct flow *f, struct error *e);

int flows_new(int64_t idle_s, int64_t active_s, uint32_t table_max, flow_fn *give, void *user,
              struct flows **ret, struct error *e) MUST_CHECK;
void flows_free(struct flows *t); /* takes NULL */

/* False in *ret_known: a later fragment whose first one was not seen, which belongs to no flow. */
int flows_add(struct flows *t, const struct packet *p, bool *ret_known, struct error *e) MUST_CHECK;
int flows_end(struct flows *t, struct error *e) MUST_CHECK; /* of the capture: gives out the rest */

#endif
