#include "redis_nodes.h"

#include <stdio.h>

#include "common/clock.h"

enum { ASKED_ROOM = 64, LOGIN_MAX = 5 };

/* ---- nodes ---- */

static struct redis_node *find(struct redis_nodes *s, struct span host, uint16_t port)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct redis_place *p = &s->list[i]->place;
        if (p->port == port && span_eq(span_str(p->host), host))
            return s->list[i];
    }
    return NULL;
}

static struct redis_node *find_or_add(struct redis_nodes *s, struct span host, uint16_t port)
{
    struct redis_node *node = find(s, host, port);
    if (node || s->n == REDIS_NODES_MAX)
        return node;
    node = calloc(1, sizeof(*node));
    if (node)
        node->place = (struct redis_place){strndup(host.p, host.len), port};
    if (!node || !node->place.host) {
        free(node);
        return NULL;
    }
    node->load = true;
    s->list[s->n++] = node;
    return node;
}

bool redis_nodes_asked(struct redis_node *node, uint32_t what, size_t bytes)
{
    if (node->n_asked == node->room) {
        const size_t room = node->room ? node->room * 2 : ASKED_ROOM;
        struct redis_asked *more = malloc(room * sizeof(*more));
        if (!more)
            return false;
        for (size_t i = 0; i < node->n_asked; i++)
            more[i] = node->asked[(node->first + i) % node->room];
        free(node->asked);
        node->asked = more;
        node->first = 0;
        node->room = room;
    }
    node->asked[(node->first + node->n_asked++) % node->room] = (struct redis_asked){what, bytes};
    node->asked_bytes += bytes;
    return true;
}

struct redis_asked redis_nodes_answered(struct redis_node *node)
{
    assert(node->n_asked > 0);
    const struct redis_asked one = node->asked[node->first];
    node->first = (node->first + 1) % node->room;
    node->n_asked--;
    node->asked_bytes -= one.bytes;
    return one;
}

void redis_nodes_lost(struct redis_node *node)
{
    redis_link_close(node->link);
    node->link = NULL;
    node->load = true;
    node->first = node->n_asked = node->asked_bytes = 0;
}

/* ---- logging in ---- */

/* A server that does not know a command or does not let this user have it: nothing that is needed.
 * */
static bool only_missing(const redisReply *r)
{
    return strncmp(r->str, "NOPERM", 6) == 0 || strncmp(r->str, "ERR unknown", 11) == 0;
}

static void read_info(struct redis_nodes *s, const char *info, bool *ret_cluster, bool *ret_replica)
{
    const char *version = strstr(info, "redis_version:");
    if (version)
        sscanf(version, "redis_version:%31[0-9.]", s->version);
    *ret_cluster = *ret_cluster || strstr(info, "redis_mode:cluster");
    *ret_replica = *ret_replica || strstr(info, "role:slave");
}

/* One answer of the log-in; needed: an error of any kind is the end. */
static int login_answer(struct redis_nodes *s, struct redis_node *node, bool needed,
                        uint64_t deadline_ms, bool *ret_cluster, bool *ret_replica, struct error *e)
{
    redisReply *r = NULL;
    int rc = redis_link_reply(node->link, deadline_ms, &r, e);
    if (rc)
        return rc;
    if (r->type == REDIS_REPLY_ERROR && (needed || !only_missing(r)))
        rc = error_set(e, ERR_UNAVAILABLE, "%s:%u: %s", node->place.host,
                       (unsigned)node->place.port, r->str);
    else if (r->type == REDIS_REPLY_STRING)
        read_info(s, r->str, ret_cluster, ret_replica);
    freeReplyObject(r);
    return rc;
}

static int login(struct redis_nodes *s, struct redis_node *node, uint64_t deadline_ms,
                 bool *ret_cluster, bool *ret_replica, struct error *e)
{
    struct buf *out = redis_link_out(node->link);
    size_t n_needed = 0, n = 0;
    int rc = ERR_OK;
    const char *password = s->password ? s->password : "";
    if (s->user)
        redis_link_words(out, 3, (const char *const[]){"AUTH", s->user, password});
    else if (s->password)
        redis_link_words(out, 2, (const char *const[]){"AUTH", password});
    n_needed += s->user || s->password;
    if (s->url.database) {
        char number[12];
        snprintf(number, sizeof(number), "%u", s->url.database);
        redis_link_words(out, 2, (const char *const[]){"SELECT", number});
        n_needed++;
    }
    redis_link_words(out, 3, (const char *const[]){"CLIENT", "SETNAME", "drover"});
    redis_link_words(out, 2, (const char *const[]){"INFO", "server"});
    redis_link_words(out, 2, (const char *const[]){"INFO", "replication"});
    n = n_needed + 3;
    assert(n <= LOGIN_MAX);
    for (size_t i = 0; i < n && rc == ERR_OK; i++)
        rc = login_answer(s, node, i < n_needed, deadline_ms, ret_cluster, ret_replica, e);
    return rc;
}

static int connect_node(struct redis_nodes *s, struct redis_node *node, uint64_t deadline_ms,
                        bool *ret_cluster, bool *ret_replica, struct error *e)
{
    int rc = redis_link_open(&node->place, s->tls, deadline_ms, &node->link, e);
    if (rc == ERR_OK)
        rc = login(s, node, deadline_ms, ret_cluster, ret_replica, e);
    if (rc)
        redis_nodes_lost(node);
    return rc;
}

int redis_nodes_connect(struct redis_nodes *s, struct redis_node *node, uint64_t deadline_ms,
                        struct error *e)
{
    bool cluster = false, replica = false;
    return node->link ? ERR_OK : connect_node(s, node, deadline_ms, &cluster, &replica, e);
}

/* ---- slots ---- */

/* CRC16 of XMODEM, as the specification of Redis Cluster says. */
static uint16_t crc16(struct span s)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < s.len; i++) {
        crc ^= (uint32_t)(unsigned char)s.p[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
        crc &= 0xffff;
    }
    return (uint16_t)crc;
}

uint16_t redis_nodes_slot(struct span tag)
{
    return crc16(tag) % REDIS_SLOTS;
}

struct redis_node *redis_nodes_of(struct redis_nodes *s, uint16_t slot)
{
    return s->list[s->slots ? s->slots[slot] : 0];
}

static bool make_slots(struct redis_nodes *s)
{
    if (!s->slots)
        s->slots = calloc(REDIS_SLOTS, sizeof(*s->slots));
    return s->slots;
}

static void put_slots(struct redis_nodes *s, size_t first, size_t last,
                      const struct redis_node *node)
{
    uint16_t index = 0;
    while (index < s->n && s->list[index] != node)
        index++;
    for (size_t slot = first; slot <= last && slot < REDIS_SLOTS; slot++)
        s->slots[slot] = index;
}

/* One of [first, last, [host, port, ...], replicas...]. */
static void read_range(struct redis_nodes *s, const redisReply *r, const struct redis_node *by)
{
    if (r->type != REDIS_REPLY_ARRAY || r->elements < 3 ||
        r->element[0]->type != REDIS_REPLY_INTEGER || r->element[1]->type != REDIS_REPLY_INTEGER)
        return;
    const redisReply *master = r->element[2];
    if (master->type != REDIS_REPLY_ARRAY || master->elements < 2 ||
        master->element[1]->type != REDIS_REPLY_INTEGER)
        return;
    const long long first = r->element[0]->integer, last = r->element[1]->integer,
                    port = master->element[1]->integer;
    struct span host = span_str(by->place.host); /* no host: the one that was asked */
    if (master->element[0]->type == REDIS_REPLY_STRING && master->element[0]->len > 0 &&
        master->element[0]->str[0] != '?')
        host = (struct span){master->element[0]->str, master->element[0]->len};
    if (first < 0 || last < first || last >= REDIS_SLOTS || port < 1 || port > UINT16_MAX)
        return;
    const struct redis_node *node = find_or_add(s, host, (uint16_t)port);
    if (node)
        put_slots(s, (size_t)first, (size_t)last, node);
}

static int ask_slots(struct redis_nodes *s, struct redis_node *node, uint64_t deadline_ms,
                     struct error *e)
{
    redisReply *r = NULL;
    redis_link_words(redis_link_out(node->link), 2, (const char *const[]){"CLUSTER", "SLOTS"});
    const int rc = redis_link_reply(node->link, deadline_ms, &r, e);
    if (rc)
        return rc;
    if (r->type == REDIS_REPLY_ARRAY && make_slots(s))
        for (size_t i = 0; i < r->elements; i++)
            read_range(s, r->element[i], node);
    freeReplyObject(r);
    s->stale = false;
    return ERR_OK;
}

int redis_nodes_refresh(struct redis_nodes *s, uint64_t deadline_ms, struct error *e)
{
    if (!s->stale)
        return ERR_OK;
    for (size_t i = 0; i < s->n; i++) {
        struct redis_node *node = s->list[i];
        if (!node->link || node->n_asked > 0)
            continue;
        const int rc = ask_slots(s, node, deadline_ms, e);
        if (rc == ERR_OK)
            return rc;
        redis_nodes_lost(node);
        node->down = true;
        return rc;
    }
    return ERR_OK;
}

struct redis_node *redis_nodes_redirected(struct redis_nodes *s, const struct redis_node *by,
                                          struct span words)
{
    const bool moved = words.len > 6 && memcmp(words.p, "MOVED ", 6) == 0;
    const size_t at = moved ? 6 : 4;
    struct span host;
    uint16_t port;
    char *end = NULL;
    if (words.len <= at)
        return NULL;
    const long slot = strtol(words.p + at, &end, 10); /* hiredis ends texts with NUL */
    if (end == words.p + at || *end != ' ' || slot < 0 || slot >= REDIS_SLOTS)
        return NULL;
    end++;
    if (!redis_url_host((struct span){end, words.len - (size_t)(end - words.p)}, &host, &port))
        return NULL;
    if (host.len == 0)
        host = span_str(by->place.host);
    struct redis_node *node = find_or_add(s, host, port);
    if (node && moved && make_slots(s)) {
        put_slots(s, (size_t)slot, (size_t)slot, node);
        s->stale = true;
    }
    return node;
}

/* ---- opening ---- */

static int own(const char *from, char **to, const char **ret, struct error *e)
{
    if (!from || !from[0])
        return ERR_OK;
    *to = strdup(from);
    if (!*to)
        return error_set(e, ERR_UNAVAILABLE, "no memory for a connection to Redis");
    *ret = *to;
    return ERR_OK;
}

/* The hosts in turn, until one answers that is no replica, or the last. Each has its share of the
 * time, so that one that hangs does not keep the next from being tried. */
static int open_one(struct redis_nodes *s, uint64_t deadline_ms, bool *ret_cluster, struct error *e)
{
    int rc = ERR_UNAVAILABLE;
    for (size_t i = 0; i < s->url.n_places; i++) {
        const struct redis_place *p = &s->url.places[i];
        bool replica = false;
        struct redis_node *node = find_or_add(s, span_str(p->host), p->port);
        if (!node)
            return error_set(e, ERR_UNAVAILABLE, "no memory for a connection to Redis");
        if (node->link) /* named twice */
            continue;
        const uint64_t now = clock_ms(), left = deadline_ms > now ? deadline_ms - now : 0;
        rc = connect_node(s, node, now + left / (s->url.n_places - i), ret_cluster, &replica, e);
        if (rc == ERR_OK && replica && !*ret_cluster && i + 1 < s->url.n_places) {
            redis_nodes_lost(node);
            rc =
                error_set(e, ERR_UNAVAILABLE, "%s:%u: it is a replica", p->host, (unsigned)p->port);
        }
        if (rc)
            continue;
        s->list[s->n - 1] = s->list[0]; /* the one that serves is the first */
        s->list[0] = node;
        return ERR_OK;
    }
    return rc;
}

int redis_nodes_open(struct redis_nodes *s, const struct sink_settings *settings,
                     uint64_t deadline_ms, struct error *e)
{
    bool cluster = false;
    int rc = redis_url_read(settings->url, &s->url, e);
    s->user = s->url.user;
    s->password = s->url.password;
    if (rc == ERR_OK)
        rc = own(settings->user, &s->own_user, &s->user, e);
    if (rc == ERR_OK)
        rc = own(settings->password, &s->own_password, &s->password, e);
    if (rc == ERR_OK && s->url.tls)
        rc = redis_tls_new(settings->ca_pem, &s->tls, e);
    if (rc == ERR_OK)
        rc = open_one(s, deadline_ms, &cluster, e);
    s->stale = cluster;
    if (rc == ERR_OK)
        rc = redis_nodes_refresh(s, deadline_ms, e);
    return rc;
}

void redis_nodes_done(struct redis_nodes *s)
{
    for (size_t i = 0; i < s->n; i++) {
        redis_link_close(s->list[i]->link);
        free(s->list[i]->place.host);
        free(s->list[i]->asked);
        free(s->list[i]);
    }
    if (s->own_password)
        explicit_bzero(s->own_password, strlen(s->own_password));
    free(s->own_user);
    free(s->own_password);
    free(s->slots);
    redis_tls_free(s->tls);
    redis_url_done(&s->url);
    *s = (struct redis_nodes){0};
}
