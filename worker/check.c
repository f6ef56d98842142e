#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <unistd.h>

#include "ca_bundle.h"
#include "common/clock.h"
#include "common/transport.h"
#include "common/wire.h"
#include "worker/engines.h"
#include "worker/settings.h"

enum {
    CONNECT_MS = 5000,
    DNS_MS = 3000,
    DNS_SERVERS_MAX = 3,       /* as in resolv.conf(5) */
    OLDEST_YEAR_S = 1767225600 /* 2026-01-01: a clock before it is wrong */
};

struct check {
    const struct config *config;
    struct settings options;
    bool wrong;
};

static void PRINTF_LIKE(1, 2) ok(const char *fmt, ...)
{
    va_list args;
    printf(" ok    ");
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
}

/* mend: what to do about it. */
static void PRINTF_LIKE(3, 4) fail(struct check *c, const char *mend, const char *fmt, ...)
{
    va_list args;
    c->wrong = true;
    printf(" FAIL  ");
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf(" -> %s\n", mend);
}

static void check_binary(void)
{
    char kinds[200] = "";
    for (size_t i = 0; i < engines_count; i++)
        snprintf(kinds + strlen(kinds), sizeof(kinds) - strlen(kinds), " %s",
                 engines_table[i].name);
    /* A program with an interpreter has it mapped somewhere (getauxval(3)). */
    ok("binary %s, %s, protocol %d, kinds%s", DROVER_VERSION,
       getauxval(AT_BASE) == 0 ? "static" : "dynamic", WIRE_VERSION, kinds);
}

/* ---- the coordinator ---- */

/* Splits "tcp://HOST:PORT". */
static bool split_url(const char *url, char *host, size_t host_size, char *port, size_t port_size)
{
    const char *begin = url + strlen("tcp://"), *colon = strrchr(url, ':');
    if (strncmp(url, "tcp://", strlen("tcp://")) != 0 || colon < begin)
        return false;
    size_t len = (size_t)(colon - begin);
    if (len >= 2 && begin[0] == '[' && begin[len - 1] == ']') {
        begin++;
        len -= 2;
    }
    if (len == 0 || len >= host_size || strlen(colon + 1) == 0 || strlen(colon + 1) >= port_size)
        return false;
    memcpy(host, begin, len);
    host[len] = 0;
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return true;
}

static int connect_within(const struct addrinfo *to, int timeout_ms)
{
    const int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = fd < 0 ? errno : 0;
    if (fd >= 0 && connect(fd, to->ai_addr, to->ai_addrlen) < 0) {
        struct pollfd item = {.fd = fd, .events = POLLOUT};
        socklen_t len = sizeof(error);
        if (errno != EINPROGRESS)
            error = errno;
        else if (poll(&item, 1, timeout_ms) <= 0)
            error = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
            error = errno;
    }
    if (fd >= 0)
        close(fd);
    return error;
}

/* The ZeroMQ handshake, with the key when there is one. */
static void check_handshake(struct check *c, const char *where)
{
    struct transport_context *context = NULL;
    struct transport *t = NULL;
    struct error e = {0};
    const struct settings *o = &c->options;
    const struct transport_connect connect = {.url = o->coordinator,
                                              .key = o->has_key ? &o->key : NULL,
                                              .server_key = o->has_key ? o->server_key : NULL};
    int rc = transport_context_new(NULL, 1, &context, &e);
    if (rc == ERR_OK)
        rc = transport_connect(context, &connect, &t, &e);
    const uint64_t until_ms = clock_ms() + CONNECT_MS;
    while (t && (rc = transport_problem(t, &e)) == ERR_UNREACHABLE && clock_ms() < until_ms) {
        struct transport_item item = {.transport = t, .fd = -1};
        transport_wait(&item, 1, 50);
    }
    if (rc == ERR_OK)
        ok("%s; %s", where, o->has_key ? "key accepted" : "no key needed");
    else if (rc == ERR_AUTH)
        fail(c, "on the coordinator: drover key authorize worker NAME PUBLIC-KEY",
             "%s; the key %s is not allowed", where, o->key.public_z85);
    else
        fail(c,
             o->has_key ? "is server_key_file the coordinator's, and the port its back (7701)?"
                        : "give key_file and server_key_file, and the port of its back (7701)",
             "%s; %s", where, e.detail);
    transport_free(t);
    transport_context_free(context);
}

static void check_coordinator(struct check *c)
{
    char host[256], port[16], where[600], numeric[64] = "?";
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const char *url = c->options.coordinator;
    if (!split_url(url, host, sizeof(host), port, sizeof(port))) {
        fail(c, "--coordinator tcp://HOST:7701", "coordinator \"%s\" is no address", url);
        return;
    }
    const int gai = getaddrinfo(host, port, &hints, &found);
    if (gai != 0) {
        fail(c, "correct the name, or /etc/resolv.conf", "%s does not resolve: %s", host,
             gai_strerror(gai));
        return;
    }
    getnameinfo(found->ai_addr, found->ai_addrlen, numeric, sizeof(numeric), NULL, 0,
                NI_NUMERICHOST);
    const uint64_t begin_us = clock_us();
    const int error = connect_within(found, CONNECT_MS);
    const uint64_t took_us = clock_us() - begin_us;
    freeaddrinfo(found);
    if (error != 0) {
        fail(c,
             error == ECONNREFUSED ? "start drover-coordinator there, or correct the port"
                                   : "open the port in the firewalls between",
             "%s -> %s port %s: %s", host, numeric, port, strerror(error));
        return;
    }
    snprintf(where, sizeof(where), "%s -> %s port %s in %.1f ms", host, numeric, port,
             (double)took_us / 1000);
    check_handshake(c, where);
}

/* ---- this machine ---- */

static void check_clock(struct check *c)
{
    char text[CLOCK_TEXT_LEN];
    const int64_t now_ms = clock_wall_ms();
    struct timex t = {0};
    clock_rfc3339(now_ms, text);
    const bool synchronised = adjtimex(&t) != TIME_ERROR;
    if (now_ms / 1000 < OLDEST_YEAR_S)
        fail(c, "set the clock, e.g. by systemd-timesyncd: certificates are checked against it",
             "clock %s", text);
    else
        ok("clock %s%s", text, synchronised ? ", synchronised" : ", not known to be synchronised");
}

static void check_files(struct check *c)
{
    const uint64_t need = settings_files_needed(&c->options), have = settings_raise_files();
    if (have < need)
        fail(c, "set LimitNOFILE=65536 (ulimit -n), or a smaller connections_max",
             "open files %llu, need %llu", (unsigned long long)have, (unsigned long long)need);
    else
        ok("open files %llu, need %llu", (unsigned long long)have, (unsigned long long)need);
}

/* A number in a small text file such as those of /sys; false when there is none ("max"). */
static bool read_number(const char *path, uint64_t *ret)
{
    char text[64];
    FILE *f = fopen(path, "re");
    const bool read = f && fgets(text, sizeof(text), f);
    if (f)
        fclose(f);
    char *end = text;
    if (read)
        *ret = strtoull(text, &end, 10);
    return read && end != text;
}

/* What the machine can still give, or the control group allows in all. */
static uint64_t memory_bytes(void)
{
    char line[256];
    uint64_t kib = 0, limit;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "MemAvailable: %lu kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    const uint64_t available = kib * 1024;
    if (read_number("/sys/fs/cgroup/memory.max", &limit))
        return available ? MIN(available, limit) : limit;
    return available;
}

static void check_memory(struct check *c)
{
    const uint64_t have = memory_bytes(), need = c->options.memory_max_bytes;
    const double mib = 1024.0 * 1024.0;
    if (have == 0)
        ok("memory: not known, the budget is %.0f MiB", (double)need / mib);
    else if (have < need)
        fail(c, "set a smaller memory_max or fewer loops, or raise MemoryMax",
             "memory %.0f MiB, the budget is %.0f MiB", (double)have / mib, (double)need / mib);
    else
        ok("memory %.0f MiB, the budget is %.0f MiB", (double)have / mib, (double)need / mib);
}

static size_t count_certificates(const char *text, size_t len)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    size_t n = 0;
    const char *p = text, *end = text + len;
    while ((p = memmem(p, (size_t)(end - p), begin, sizeof(begin) - 1))) {
        n++;
        p += sizeof(begin) - 1;
    }
    return n;
}

static void check_ca(struct check *c)
{
    const char *path = c->options.scrape.ca_file;
    if (!path) {
        ok("CA bundle built in, %zu certificates",
           count_certificates((const char *)drover_ca_bundle, drover_ca_bundle_len));
        return;
    }
    struct buf text;
    buf_init(&text, CONFIG_FILE_MAX);
    FILE *f = fopen(path, "re");
    size_t n = 1;
    while (f && n > 0) {
        uint8_t *room = buf_reserve(&text, 4096);
        n = room ? fread(room, 1, 4096, f) : 0;
        text.len += n;
    }
    const size_t certificates = count_certificates((const char *)text.data, text.len);
    if (!f)
        fail(c, "correct ca_file", "CA bundle %s: %s", path, strerror(errno));
    else if (certificates == 0)
        fail(c, "give a PEM file", "CA bundle %s holds no certificate", path);
    else
        ok("CA bundle %s, %zu certificates", path, certificates);
    if (f)
        fclose(f);
    buf_done(&text);
}

/* ---- DNS ---- */

/* Asks for the name servers of the root (RFC 1035), which every resolver knows. Any answer counts. */
static int ask_dns(const char *server, uint64_t *ret_us)
{
    static const uint8_t query[] = {0x64, 0x72, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1};
    struct addrinfo *to = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST};
    uint8_t answer[512];
    if (getaddrinfo(server, "53", &hints, &to) != 0)
        return EINVAL;
    const int fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const uint64_t begin_us = clock_us();
    int error = 0;
    struct pollfd item = {.fd = fd, .events = POLLIN};
    if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen) < 0 ||
        send(fd, query, sizeof(query), 0) < 0)
        error = errno;
    else if (poll(&item, 1, DNS_MS) <= 0)
        error = ETIMEDOUT;
    else if (recv(fd, answer, sizeof(answer), 0) < 12)
        error = errno ? errno : EPROTO;
    *ret_us = clock_us() - begin_us;
    if (fd >= 0)
        close(fd);
    freeaddrinfo(to);
    return error;
}

static void check_dns(struct check *c)
{
    char line[512], server[128], last[128] = "";
    int error = 0;
    uint64_t took_us;
    FILE *f = fopen("/etc/resolv.conf", "re");
    for (int n = 0; f && n < DNS_SERVERS_MAX && fgets(line, sizeof(line), f);) {
        if (sscanf(line, " nameserver %127s", server) != 1)
            continue;
        n++;
        error = ask_dns(server, &took_us);
        if (error == 0) {
            ok("DNS %s answers in %.1f ms", server, (double)took_us / 1000);
            fclose(f);
            return;
        }
        memcpy(last, server, sizeof(last));
    }
    if (f)
        fclose(f);
    if (!last[0])
        fail(c, "name a server in /etc/resolv.conf, unless jobs use addresses alone",
             "DNS: no name server is configured");
    else
        fail(c, "correct /etc/resolv.conf, or open port 53", "DNS %s: %s", last, strerror(error));
}

bool check_run(const struct config *config)
{
    struct check c = {.config = config};
    struct error e = {0};
    check_binary();
    int rc = settings_service(config, &c.options, &e);
    if (rc == ERR_OK) {
        check_coordinator(&c);
    } else {
        fail(&c, "correct the options (see --help)", "%s", e.detail);
        rc = settings_common(config, &c.options, &e);
    }
    check_clock(&c);
    if (rc == ERR_OK) {
        check_files(&c);
        check_memory(&c);
        check_ca(&c);
    }
    check_dns(&c);
    settings_done(&c.options);
    fflush(stdout);
    return !c.wrong;
}
