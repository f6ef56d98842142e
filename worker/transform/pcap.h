/*
 * pcap.h: reads the packets of a capture: classic pcap (both orders of bytes, microseconds or
 * nanoseconds) and pcapng (its interfaces, their link types and clocks). The memory is bounded: a
 * packet may have PCAP_PACKET_BYTES_MAX bytes, and blocks that are no packets are skipped as they
 * come. What is in a packet is packet.h's business.
 *
 * Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_PCAP_H
#define DROVER_TRANSFORM_PCAP_H

#include "csv.h"

enum {
    PCAP_PACKET_BYTES_MAX = 262144, /* what tcpdump and Wireshark take at most (MAXIMUM_SNAPLEN) */
    PCAP_INTERFACES_MAX = 1024      /* of one section of pcapng */
};

struct pcap_packet {
    uint64_t number; /* in the file, from 1 */
    int64_t ns;      /* since 1970 */
    uint32_t link;   /* LINKTYPE_... (tcpdump.org/linktypes.html) */
    const uint8_t *p;
    uint32_t len;      /* bytes that were captured */
    uint32_t wire_len; /* and that the packet had */
};

struct pcap;

int pcap_new(csv_read_fn *read, void *user, struct pcap **ret, struct error *e) MUST_CHECK;
void pcap_free(struct pcap *c); /* takes NULL */

/* The next packet, valid until the next call; *ret_more false: there is none. MALFORMED names the
 * byte of the file (of what came out of it, when it is compressed). */
int pcap_next(struct pcap *c, struct pcap_packet *ret, bool *ret_more, struct error *e) MUST_CHECK;
/* Once there are no more: the capture ended in the middle of a packet. */
bool pcap_cut(const struct pcap *c);

#endif
