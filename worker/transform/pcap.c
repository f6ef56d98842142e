#include "pcap.h"

enum {
    BUFFER_BYTES = 2 * PCAP_PACKET_BYTES_MAX,
    FILE_HEAD_BYTES = 24, /* of classic pcap */
    PACKET_HEAD_BYTES = 16,
    BLOCK_HEAD_BYTES = 8, /* of pcapng: type and length */
    BLOCK_BYTES_MIN = 12,
    BLOCK_SECTION = 0x0A0D0D0A,
    BLOCK_INTERFACE = 1,
    BLOCK_PACKET_SIMPLE = 3,
    BLOCK_PACKET = 6,
    OPTION_END = 0,
    OPTION_TSRESOL = 9,
    OPTION_TSOFFSET = 14,
    NS_PER_S = 1000000000
};

#define MAGIC_US UINT32_C(0xA1B2C3D4)
#define MAGIC_NS UINT32_C(0xA1B23C4D)
#define MAGIC_ORDER UINT32_C(0x1A2B3C4D) /* of a section of pcapng */

struct interface {
    uint32_t link;
    uint32_t snaplen; /* 0: no limit */
    uint64_t per_s;   /* ticks of its clock */
    int64_t offset_s;
};

struct pcap {
    csv_read_fn *read;
    void *user;
    uint8_t *memory;
    size_t at, len;  /* in memory */
    uint64_t offset; /* of memory[at] in the file */
    uint64_t number;
    bool end, started, cut;
    bool swapped; /* the order of bytes is not ours */
    bool ng;
    struct interface *interfaces; /* classic: the one */
    size_t n_interfaces;
};

int pcap_new(csv_read_fn *read, void *user, struct pcap **ret, struct error *e)
{
    struct pcap *c = calloc(1, sizeof *c);
    if (c) {
        c->read = read;
        c->user = user;
        c->memory = malloc(BUFFER_BYTES);
        c->interfaces = calloc(PCAP_INTERFACES_MAX, sizeof *c->interfaces);
    }
    if (!c || !c->memory || !c->interfaces) {
        pcap_free(c);
        return error_set(e, ERR_NOMEM, "reading a capture");
    }
    *ret = c;
    return ERR_OK;
}

void pcap_free(struct pcap *c)
{
    if (!c)
        return;
    free(c->memory);
    free(c->interfaces);
    free(c);
}

bool pcap_cut(const struct pcap *c)
{
    return c->cut;
}

/* ---- bytes ---- */

static int malformed(const struct pcap *c, const char *what, struct error *e)
{
    return error_set(e, ERR_MALFORMED, "a capture with %s at byte %llu", what,
                     (unsigned long long)c->offset);
}

/* n bytes (BUFFER_BYTES at most) at memory + at, unless the file ends before; then c->end. */
static int need(struct pcap *c, size_t n, struct error *e)
{
    int rc = ERR_OK;
    if (c->len - c->at >= n)
        return ERR_OK;
    memmove(c->memory, c->memory + c->at, c->len - c->at);
    c->len -= c->at;
    c->at = 0;
    while (rc == ERR_OK && c->len < n && !c->end) {
        size_t got = 0;
        rc = c->read(c->user, c->memory + c->len, BUFFER_BYTES - c->len, &got, e);
        c->end = rc == ERR_OK && got == 0;
        c->len += got;
    }
    return rc;
}

static bool has(const struct pcap *c, size_t n)
{
    return c->len - c->at >= n;
}

static void pass(struct pcap *c, size_t n)
{
    c->at += n;
    c->offset += n;
}

/* Bytes that nobody looks at; however many. */
static int skip(struct pcap *c, uint64_t n, struct error *e)
{
    while (n > 0) {
        const size_t part = (size_t)MIN(n, (uint64_t)BUFFER_BYTES);
        int rc = need(c, part, e);
        if (rc)
            return rc;
        const size_t there = MIN(part, c->len - c->at);
        pass(c, there);
        n -= there;
        if (there < part) {
            c->cut = true;
            return ERR_OK;
        }
    }
    return ERR_OK;
}

static uint16_t u16(const struct pcap *c, const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return c->swapped ? __builtin_bswap16(v) : v;
}

static uint32_t u32(const struct pcap *c, const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return c->swapped ? __builtin_bswap32(v) : v;
}

static uint64_t u64(const struct pcap *c, const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return c->swapped ? __builtin_bswap64(v) : v;
}

/* ---- the beginning ---- */

static int start(struct pcap *c, struct error *e)
{
    int rc = need(c, FILE_HEAD_BYTES, e);
    if (rc)
        return rc;
    const uint8_t *p = c->memory + c->at;
    c->started = true;
    uint32_t magic = has(c, sizeof magic) ? u32(c, p) : 0;
    if (magic == BLOCK_SECTION) {
        c->ng = true;
        return ERR_OK;
    }
    c->swapped = magic == __builtin_bswap32(MAGIC_US) || magic == __builtin_bswap32(MAGIC_NS);
    if (c->swapped)
        magic = __builtin_bswap32(magic);
    if ((magic != MAGIC_US && magic != MAGIC_NS) || !has(c, FILE_HEAD_BYTES))
        return error_set(e, ERR_MALFORMED, "no capture: it begins neither as pcap nor as pcapng");
    c->interfaces[0] = (struct interface){.link = u32(c, p + 20) & 0xFFFF,
                                          .per_s = magic == MAGIC_NS ? NS_PER_S : 1000000};
    c->n_interfaces = 1;
    pass(c, FILE_HEAD_BYTES);
    return ERR_OK;
}

/* ---- classic pcap ---- */

static int next_classic(struct pcap *c, struct pcap_packet *ret, bool *ret_more, struct error *e)
{
    int rc = need(c, PACKET_HEAD_BYTES, e);
    if (rc)
        return rc;
    if (!has(c, PACKET_HEAD_BYTES)) {
        c->cut = has(c, 1);
        return ERR_OK;
    }
    const uint8_t *p = c->memory + c->at;
    const uint32_t seconds = u32(c, p), fraction = u32(c, p + 4), len = u32(c, p + 8);
    const uint32_t wire_len = u32(c, p + 12);
    if (len > PCAP_PACKET_BYTES_MAX)
        return malformed(c, "a packet of more than 262144 bytes", e);
    rc = need(c, PACKET_HEAD_BYTES + len, e);
    if (rc)
        return rc;
    c->cut = !has(c, PACKET_HEAD_BYTES + len);
    if (c->cut)
        return ERR_OK;
    *ret =
        (struct pcap_packet){.number = ++c->number,
                             .ns = (int64_t)seconds * NS_PER_S +
                                   (int64_t)fraction * (int64_t)(NS_PER_S / c->interfaces[0].per_s),
                             .link = c->interfaces[0].link,
                             .p = c->memory + c->at + PACKET_HEAD_BYTES,
                             .len = len,
                             .wire_len = MAX(len, wire_len)};
    *ret_more = true;
    pass(c, PACKET_HEAD_BYTES + len);
    return ERR_OK;
}

/* ---- pcapng: blocks of a type, a length, a body, and the length again ---- */

/* A section begins; its own block says in which order its bytes are. */
static int begin_section(struct pcap *c, struct error *e)
{
    int rc = need(c, BLOCK_BYTES_MIN, e);
    if (rc || !has(c, BLOCK_BYTES_MIN))
        return rc;
    c->swapped = false;
    const uint32_t order = u32(c, c->memory + c->at + BLOCK_HEAD_BYTES);
    c->swapped = order == __builtin_bswap32(MAGIC_ORDER);
    c->n_interfaces = 0;
    return order == MAGIC_ORDER || c->swapped ? ERR_OK : malformed(c, "a damaged section", e);
}

/* if_tsresol: 10^-v, or 2^-v with the high bit. False: a clock that fits into no 64 bits. */
static bool resolution(uint8_t v, uint64_t *ret)
{
    const unsigned power = v & 0x7F;
    if (v & 0x80) {
        *ret = power < 63 ? UINT64_C(1) << power : 0;
        return power < 63;
    }
    *ret = 1;
    for (unsigned i = 0; i < power && power <= 18; i++)
        *ret *= 10;
    return power <= 18;
}

static int add_interface(struct pcap *c, const uint8_t *body, size_t n, struct error *e)
{
    if (n < 8 || c->n_interfaces == PCAP_INTERFACES_MAX)
        return malformed(c, n < 8 ? "a damaged interface" : "more than 1024 interfaces", e);
    struct interface *i = &c->interfaces[c->n_interfaces++];
    *i = (struct interface){.link = u16(c, body), .snaplen = u32(c, body + 4), .per_s = 1000000};
    for (size_t at = 8; n - at >= 4;) {
        const uint16_t code = u16(c, body + at), len = u16(c, body + at + 2);
        at += 4;
        if (code == OPTION_END || len > n - at)
            break;
        if (code == OPTION_TSRESOL && len == 1 && !resolution(body[at], &i->per_s))
            return malformed(c, "an interface whose clock is too fine", e);
        if (code == OPTION_TSOFFSET && len == 8)
            i->offset_s = (int64_t)u64(c, body + at);
        at += MIN((size_t)(len + 3) & ~(size_t)3, n - at);
    }
    return ERR_OK;
}

static int64_t time_of(const struct interface *i, uint64_t ticks)
{
    const unsigned __int128 rest = (unsigned __int128)(ticks % i->per_s) * NS_PER_S / i->per_s;
    const __int128 ns = ((__int128)(ticks / i->per_s) + i->offset_s) * NS_PER_S + (__int128)rest;
    return ns > INT64_MAX / 2 ? INT64_MAX / 2 : ns < 0 ? 0 : (int64_t)ns;
}

/* body: of a packet block, n bytes. */
static int packet_of(struct pcap *c, bool simple, const uint8_t *body, size_t n,
                     struct pcap_packet *ret, struct error *e)
{
    const size_t head = simple ? 4 : 20;
    if (n < head)
        return malformed(c, "a damaged packet", e);
    const uint32_t interface = simple ? 0 : u32(c, body);
    if (interface >= c->n_interfaces)
        return malformed(c, "a packet of an interface that is not there", e);
    const struct interface *i = &c->interfaces[interface];
    const uint32_t wire_len = u32(c, body + head - 4);
    uint32_t len = simple ? wire_len : u32(c, body + 12);
    if (simple && i->snaplen > 0)
        len = MIN(len, i->snaplen);
    if (len > n - head)
        return malformed(c, "a packet that is longer than its block", e);
    const uint64_t ticks =
        simple ? 0 : (uint64_t)u32(c, body + 4) << 32 | (uint64_t)u32(c, body + 8);
    *ret = (struct pcap_packet){.number = ++c->number,
                                .ns = simple ? 0 : time_of(i, ticks),
                                .link = i->link,
                                .p = body + head,
                                .len = len,
                                .wire_len = MAX(len, wire_len)};
    return ERR_OK;
}

/* One block, of which *ret_more says whether it was a packet. *ret_end: there was none. */
static int next_block(struct pcap *c, struct pcap_packet *ret, bool *ret_more, bool *ret_end,
                      struct error *e)
{
    int rc = need(c, BLOCK_HEAD_BYTES, e);
    *ret_end = rc == ERR_OK && !has(c, BLOCK_HEAD_BYTES);
    if (rc || *ret_end) {
        c->cut = has(c, 1);
        return rc;
    }
    const uint32_t type = u32(c, c->memory + c->at);
    if (type == BLOCK_SECTION) /* the same in both orders */
        rc = begin_section(c, e);
    if (rc)
        return rc;
    const uint32_t bytes = u32(c, c->memory + c->at + 4);
    if (bytes < BLOCK_BYTES_MIN || bytes % 4 != 0)
        return malformed(c, "a block of an impossible length", e);
    const bool packet = type == BLOCK_PACKET || type == BLOCK_PACKET_SIMPLE;
    if (!packet && type != BLOCK_INTERFACE) {
        rc = skip(c, bytes, e);
        *ret_end = c->cut;
        return rc;
    }
    if (bytes > PCAP_PACKET_BYTES_MAX + 4096)
        return malformed(c, "a packet of more than 262144 bytes", e);
    rc = need(c, bytes, e);
    c->cut = *ret_end = rc == ERR_OK && !has(c, bytes);
    if (rc || c->cut)
        return rc;
    const uint8_t *body = c->memory + c->at + BLOCK_HEAD_BYTES;
    const size_t n = bytes - BLOCK_BYTES_MIN;
    rc = packet ? packet_of(c, type == BLOCK_PACKET_SIMPLE, body, n, ret, e)
                : add_interface(c, body, n, e);
    *ret_more = packet;
    if (rc == ERR_OK)
        pass(c, bytes);
    return rc;
}

int pcap_next(struct pcap *c, struct pcap_packet *ret, bool *ret_more, struct error *e)
{
    int rc = c->started ? ERR_OK : start(c, e);
    bool end = c->cut;
    *ret_more = false;
    if (rc == ERR_OK && !c->ng)
        return end ? ERR_OK : next_classic(c, ret, ret_more, e);
    while (rc == ERR_OK && !end && !*ret_more)
        rc = next_block(c, ret, ret_more, &end, e);
    return rc;
}
