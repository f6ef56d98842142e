/*
 * packet.h: what a flow has to know of a packet: addresses, ports, lengths, flags. Ethernet with
 * VLAN tags, Linux cooked, loopback and raw IP; IPv4 and IPv6 with their extension headers; ports of
 * TCP and UDP. It looks at no payload, and keeps nothing.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_TRANSFORM_PACKET_H
#define DROVER_TRANSFORM_PACKET_H

#include "pcap.h"

enum {
    PACKET_FIN = 0x01,
    PACKET_SYN = 0x02,
    PACKET_RST = 0x04,
    PACKET_PSH = 0x08,
    PACKET_ACK = 0x10,
    PACKET_URG = 0x20,
    PACKET_ECE = 0x40,
    PACKET_CWR = 0x80
};

enum { PACKET_ICMP = 1, PACKET_TCP = 6, PACKET_UDP = 17, PACKET_ICMP6 = 58 };

/* One side. IPv4 addresses take the first four bytes; the others are zeros. */
struct packet_end {
    uint8_t address[16];
    uint16_t port; /* 0: the protocol has none */
};

struct packet {
    int64_t ns;
    struct packet_end from, to;
    uint8_t version, protocol; /* of IP; in it */
    uint8_t flags;             /* TCP */
    uint16_t window;           /* TCP */
    bool fragment;             /* of a datagram that was cut */
    bool later_fragment;       /* not the first: ports are not known */
    uint32_t datagram;         /* its identification, when it is one */
    uint32_t bytes;            /* from the IP header on */
    uint32_t header_bytes;     /* of IP, its extensions, and TCP, UDP or ICMP */
};

/* False: no IP, or its headers were cut or make no sense. */
bool packet_read(const struct pcap_packet *p, struct packet *ret) MUST_CHECK;

static inline uint32_t packet_payload_bytes(const struct packet *p)
{
    return p->bytes - p->header_bytes;
}

#endif
