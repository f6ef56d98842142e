#include "guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* Every address as 16 bytes; IPv4 as ::ffff:a.b.c.d. */
struct net {
    uint8_t address[16];
    unsigned bits;
};

struct guard {
    size_t n;
    struct net nets[];
};

static const uint8_t v4_mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void put_v4(uint8_t to[16], const uint8_t v4[4])
{
    memcpy(to, v4_mapped, 12);
    memcpy(to + 12, v4, 4);
}

static bool in_net(const uint8_t a[16], const uint8_t net[16], unsigned bits)
{
    unsigned bytes = bits / 8, rest = bits % 8;
    if (memcmp(a, net, bytes) != 0)
        return false;
    return rest == 0 || ((a[bytes] ^ net[bytes]) >> (8 - rest)) == 0;
}

/* ---- what is refused ---- */

/* The entries of IANA's IPv4 Special-Purpose Address Registry (RFC 6890) that are not globally
 * reachable, with multicast. 169.254.169.254, the metadata service of clouds, is link-local; Alibaba's
 * 100.100.100.200 is in the shared space. */
static const struct {
    uint8_t net[4];
    uint8_t bits;
} refused_v4[] = {
    {{0, 0, 0, 0}, 8},        /* "this network" */
    {{10, 0, 0, 0}, 8},       /* private, RFC 1918 */
    {{100, 64, 0, 0}, 10},    /* shared (carrier-grade NAT), RFC 6598 */
    {{127, 0, 0, 0}, 8},      /* loopback */
    {{168, 63, 129, 16}, 32}, /* Azure's platform services */
    {{169, 254, 0, 0}, 16},   /* link-local, RFC 3927 */
    {{172, 16, 0, 0}, 12},    /* private */
    {{192, 0, 0, 0}, 24},     /* IETF protocol assignments (Oracle's metadata: 192.0.0.192) */
    {{192, 0, 2, 0}, 24},     /* documentation */
    {{192, 88, 99, 0}, 24},   /* 6to4 relays, deprecated */
    {{192, 168, 0, 0}, 16},   /* private */
    {{198, 18, 0, 0}, 15},    /* benchmarking */
    {{198, 51, 100, 0}, 24},  /* documentation */
    {{203, 0, 113, 0}, 24},   /* documentation */
    {{224, 0, 0, 0}, 4},      /* multicast */
    {{240, 0, 0, 0}, 4},      /* reserved, and broadcast */
};

/* Inside 2000::/3, the global unicast space; everything outside of that is refused. */
static const struct {
    uint8_t net[16];
    uint8_t bits;
} refused_v6[] = {
    {{0x20, 0x01}, 23},             /* 2001::/23, protocol assignments, with Teredo's 2001::/32 */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* 2001:db8::/32, documentation */
    {{0x3f, 0xff}, 20},             /* 3fff::/20, documentation, RFC 9637 */
};

static bool global_v4(const uint8_t v4[4])
{
    uint8_t a[16], net[16];
    put_v4(a, v4);
    for (size_t i = 0; i < ARRAY_LEN(refused_v4); i++) {
        put_v4(net, refused_v4[i].net);
        if (in_net(a, net, 96u + refused_v4[i].bits))
            return false;
    }
    return true;
}

/* The IPv4 address that an IPv6 address leads to, if its form carries one. */
static bool embedded_v4(const uint8_t a[16], uint8_t ret[4])
{
    static const uint8_t nat64[16] = {0, 0x64, 0xff, 0x9b}; /* 64:ff9b::/96, RFC 6052 */
    static const uint8_t sixto4[16] = {0x20, 0x02};         /* 2002::/16, RFC 3056 */
    static const uint8_t translated[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}; /* RFC 2765 */
    static const uint8_t zero[16];
    if (in_net(a, v4_mapped, 96) || in_net(a, nat64, 96) || in_net(a, translated, 96) ||
        in_net(a, zero, 96)) { /* ::a.b.c.d, deprecated; holds :: and ::1 too */
        memcpy(ret, a + 12, 4);
        return true;
    }
    if (in_net(a, sixto4, 16)) {
        memcpy(ret, a + 2, 4);
        return true;
    }
    return false;
}

static bool global_v6(const uint8_t a[16])
{
    static const uint8_t unicast[16] = {0x20};
    if (!in_net(a, unicast, 3)) /* also fe80::, fc00::, ff00::, 64:ff9b:1::/48, 100::/64, 5f00:: */
        return false;
    for (size_t i = 0; i < ARRAY_LEN(refused_v6); i++)
        if (in_net(a, refused_v6[i].net, refused_v6[i].bits))
            return false;
    /* ISATAP, RFC 5214: ...:[02]00:5efe:a.b.c.d leads into the network of a.b.c.d. */
    if ((a[8] & 0xfd) == 0 && a[9] == 0 && a[10] == 0x5e && a[11] == 0xfe)
        return global_v4(a + 12);
    return true;
}

static bool allow_listed(const struct guard *g, const uint8_t a[16])
{
    for (size_t i = 0; i < g->n; i++)
        if (in_net(a, g->nets[i].address, g->nets[i].bits))
            return true;
    return false;
}

static bool allows(const struct guard *g, const uint8_t a[16])
{
    if (allow_listed(g, a))
        return true;
    uint8_t v4[4], mapped[16];
    if (!embedded_v4(a, v4))
        return global_v6(a);
    put_v4(mapped, v4);
    return global_v4(v4) || allow_listed(g, mapped);
}

bool guard_allows(const struct guard *g, const struct sockaddr *address)
{
    uint8_t a[16];
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        uint8_t v4[4];
        memcpy(v4, &in.sin_addr, sizeof v4);
        put_v4(a, v4);
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof in6);
        memcpy(a, &in6.sin6_addr, sizeof a);
    } else {
        return false;
    }
    return allows(g, a);
}

/* A literal address without brackets. */
static bool parse_address(const char *s, uint8_t ret[16], bool *ret_v4)
{
    uint8_t v4[4];
    if (inet_pton(AF_INET, s, v4) == 1) {
        put_v4(ret, v4);
        *ret_v4 = true;
        return true;
    }
    *ret_v4 = false;
    return inet_pton(AF_INET6, s, ret) == 1;
}

bool guard_allows_host(const struct guard *g, struct span host)
{
    char text[64];
    uint8_t a[16];
    bool v4;
    if (host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']')
        host = (struct span){host.p + 1, host.len - 2};
    if (host.len == 0)
        return false;
    if (host.len >= sizeof text)
        return true; /* too long for a literal */
    memcpy(text, host.p, host.len);
    text[host.len] = 0;
    return !parse_address(text, a, &v4) || allows(g, a);
}

/* ---- the allow-list ---- */

static int parse_net(const char *s, struct net *ret, struct error *e)
{
    char text[64];
    const char *slash = strchr(s, '/');
    size_t len = slash ? (size_t)(slash - s) : strlen(s);
    bool v4;
    if (len == 0 || len >= sizeof text)
        return error_set(e, ERR_CONFIG, "allow_net: \"%.80s\" is not an address or network", s);
    memcpy(text, s, len);
    text[len] = 0;
    if (!parse_address(text, ret->address, &v4))
        return error_set(e, ERR_CONFIG, "allow_net: \"%.80s\" is not an address or network", s);
    unsigned max = v4 ? 32 : 128, bits = max;
    if (slash) {
        char *end;
        unsigned long n = strtoul(slash + 1, &end, 10);
        if (slash[1] < '0' || slash[1] > '9' || *end || n > max)
            return error_set(e, ERR_CONFIG, "allow_net: \"%.80s\": the prefix must be 0 to %u", s,
                             max);
        bits = (unsigned)n;
    }
    ret->bits = v4 ? bits + 96 : bits;
    return ERR_OK;
}

int guard_new(const char *const *allow_nets, struct guard **ret, struct error *e)
{
    size_t n = 0;
    while (allow_nets && allow_nets[n])
        n++;
    if (n > GUARD_NETS_MAX)
        return error_set(e, ERR_CONFIG, "allow_net: more than %d networks", GUARD_NETS_MAX);
    struct guard *g = calloc(1, sizeof *g + n * sizeof *g->nets);
    if (!g)
        return error_set(e, ERR_NOMEM, "no memory for allow_nets");
    for (; g->n < n; g->n++) {
        int r = parse_net(allow_nets[g->n], &g->nets[g->n], e);
        if (r != ERR_OK) {
            guard_free(g);
            return r;
        }
    }
    *ret = g;
    return ERR_OK;
}

void guard_free(struct guard *g)
{
    free(g);
}
