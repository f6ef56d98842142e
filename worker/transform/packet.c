#include "packet.h"

enum {
    LINK_NULL = 0,
    LINK_ETHERNET = 1,
    LINK_RAW_OLD = 12,
    LINK_RAW_BSD = 14,
    LINK_RAW = 101,
    LINK_LOOP = 108,
    LINK_COOKED = 113,
    LINK_IPV4 = 228,
    LINK_IPV6 = 229,
    LINK_COOKED2 = 276,
    TYPE_IPV4 = 0x0800,
    TYPE_IPV6 = 0x86DD,
    TYPE_VLAN = 0x8100,
    TYPE_VLAN_OUTER = 0x88A8,
    TYPE_VLAN_OLD = 0x9100,
    VLAN_TAGS_MAX = 4,
    EXTENSIONS_MAX = 16
};

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)be16(p) << 16 | be16(p + 2);
}

/* What is left of a packet: bytes that were captured, and that there were. */
struct rest {
    const uint8_t *p;
    uint32_t len, wire_len;
};

static bool pass(struct rest *r, uint32_t n)
{
    if (r->len < n)
        return false;
    r->p += n;
    r->len -= n;
    r->wire_len -= n;
    return true;
}

/* Past a header of n bytes that has the type of what follows at place `at`, and past VLAN tags. */
static bool to_ip(struct rest *r, uint32_t n, uint32_t at)
{
    if (r->len < n)
        return false;
    uint16_t type = be16(r->p + at);
    bool ok = pass(r, n);
    for (int i = 0; i < VLAN_TAGS_MAX && ok; i++) {
        if (type != TYPE_VLAN && type != TYPE_VLAN_OUTER && type != TYPE_VLAN_OLD)
            break;
        ok = r->len >= 4;
        type = ok ? be16(r->p + 2) : 0;
        ok = ok && pass(r, 4);
    }
    return ok && (type == TYPE_IPV4 || type == TYPE_IPV6);
}

static bool read_link(uint32_t link, struct rest *r)
{
    switch (link) {
    case LINK_ETHERNET:
        return to_ip(r, 14, 12);
    case LINK_COOKED:
        return to_ip(r, 16, 14);
    case LINK_COOKED2:
        return to_ip(r, 20, 0);
    case LINK_NULL:
    case LINK_LOOP:
        return pass(r, 4); /* a family, whose numbers depend on the system; IP has its version */
    case LINK_RAW:
    case LINK_RAW_OLD:
    case LINK_RAW_BSD:
    case LINK_IPV4:
    case LINK_IPV6:
        return true;
    default:
        return false;
    }
}

/* ---- IP: leaves r at what is in it, cut to its length ---- */

static bool read_ipv4(struct rest *r, struct packet *k)
{
    if (r->len < 20)
        return false;
    const uint8_t *p = r->p;
    const uint32_t head = (p[0] & 15u) * 4;
    uint32_t total = be16(p + 2);
    if (total == 0) /* the network card will cut it, and fill that in */
        total = r->wire_len;
    if (head < 20 || total < head || total > r->wire_len)
        return false;
    memcpy(k->from.address, p + 12, 4);
    memcpy(k->to.address, p + 16, 4);
    k->version = 4;
    k->protocol = p[9];
    const uint16_t fragment = be16(p + 6);
    k->later_fragment = (fragment & 0x1FFF) > 0;
    k->fragment = k->later_fragment || (fragment & 0x2000);
    k->datagram = be16(p + 4);
    k->bytes = total;
    k->header_bytes = head;
    r->wire_len = total;
    r->len = MIN(r->len, total);
    return pass(r, head);
}

static bool is_extension(uint8_t next)
{
    return next == 0 || next == 43 || next == 44 || next == 51 || next == 60;
}

/* RFC 8200, 4. */
static bool read_extensions(struct rest *r, struct packet *k)
{
    for (int i = 0; i < EXTENSIONS_MAX && is_extension(k->protocol); i++) {
        if (r->len < 8)
            return false;
        const uint8_t *p = r->p, type = k->protocol;
        uint32_t n = type == 44 ? 8 : type == 51 ? (p[1] + 2u) * 4 : (p[1] + 1u) * 8;
        if (type == 44) {
            k->later_fragment = (be16(p + 2) & 0xFFF8) > 0;
            k->fragment = k->later_fragment || (be16(p + 2) & 1);
            k->datagram = be32(p + 4);
        }
        k->protocol = p[0];
        k->header_bytes += n;
        if (n > r->wire_len || !pass(r, n))
            return false;
        if (k->later_fragment)
            return true;
    }
    return true;
}

static bool read_ipv6(struct rest *r, struct packet *k)
{
    if (r->len < 40)
        return false;
    const uint8_t *p = r->p;
    const uint32_t payload = be16(p + 4);
    uint32_t total = payload == 0 ? r->wire_len : 40 + payload;
    if (total > r->wire_len)
        return false;
    memcpy(k->from.address, p + 8, 16);
    memcpy(k->to.address, p + 24, 16);
    k->version = 6;
    k->protocol = p[6];
    k->bytes = total;
    k->header_bytes = 40;
    r->wire_len = total;
    r->len = MIN(r->len, total);
    return pass(r, 40) && read_extensions(r, k);
}

/* ---- what is in it ---- */

static bool read_ports(const struct rest *r, struct packet *k)
{
    uint32_t head = 0;
    if (k->later_fragment)
        return true;
    switch (k->protocol) {
    case PACKET_TCP:
        if (r->len < 20)
            return false;
        head = (r->p[12] >> 4) * 4u;
        k->flags = r->p[13];
        k->window = be16(r->p + 14);
        if (head < 20)
            return false;
        break;
    case PACKET_UDP:
        head = 8;
        break;
    case PACKET_ICMP:
    case PACKET_ICMP6:
        head = 8;
        if (r->wire_len < head)
            return false;
        k->header_bytes += head;
        return true;
    default:
        return true;
    }
    if (r->len < 4 || r->wire_len < head)
        return false;
    k->from.port = be16(r->p);
    k->to.port = be16(r->p + 2);
    k->header_bytes += head;
    return true;
}

bool packet_read(const struct pcap_packet *p, struct packet *ret)
{
    struct rest r = {p->p, p->len, p->wire_len};
    *ret = (struct packet){.ns = p->ns};
    if (!read_link(p->link, &r) || r.len < 1)
        return false;
    const unsigned version = r.p[0] >> 4;
    if (version == 4)
        return read_ipv4(&r, ret) && read_ports(&r, ret);
    return version == 6 && read_ipv6(&r, ret) && read_ports(&r, ret);
}
