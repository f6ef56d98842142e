#include "flow.h"

#include <math.h>

#include "common/hash.h"

#define NONE UINT32_MAX
#define NS_PER_S INT64_C(1000000000)

enum {
    FLOWS_MIN = 1024,
    DATAGRAMS = 1024 /* the last ones that were cut; places by hash */
};

/* In the order of their last packets, oldest first. */
struct list {
    uint32_t oldest, newest;
};

/* The ports of a datagram whose first fragment came. */
struct datagram {
    bool known;
    struct packet_end from, to;
    uint8_t version, protocol;
    uint32_t number;
};

struct flows {
    int64_t idle_ns, active_ns, now_ns;
    uint32_t table_max;
    flow_fn *give;
    void *user;
    struct flow *all;
    uint32_t n_used, cap; /* places of `all` that were ever taken; that there are */
    uint32_t unused;      /* first of a chain */
    uint32_t n;           /* flows under way */
    uint32_t *buckets;
    uint32_t n_buckets; /* a power of two */
    struct list open, over;
    struct datagram datagrams[DATAGRAMS];
};

const char *flow_end_name(enum flow_end end)
{
    static const char *const names[] = {
        [FLOW_IDLE] = "idle", [FLOW_ACTIVE] = "active",   [FLOW_OVER] = "over",
        [FLOW_FULL] = "full", [FLOW_CAPTURE] = "capture",
    };
    return names[end];
}

/* ---- series ---- */

static void series_add(struct flow_series *s, double x)
{
    s->min = s->n == 0 ? x : fmin(s->min, x);
    s->max = s->n == 0 ? x : fmax(s->max, x);
    s->n++;
    const double off = x - s->mean;
    s->mean += off / (double)s->n;
    s->m2 += off * (x - s->mean);
}

double flow_deviation(const struct flow_series *s)
{
    return s->n < 2 ? 0 : sqrt(s->m2 / (double)(s->n - 1));
}

static double seconds(int64_t ns)
{
    return (double)ns / (double)NS_PER_S;
}

/* ---- the table ---- */

int flows_new(int64_t idle_s, int64_t active_s, uint32_t table_max, flow_fn *give, void *user,
              struct flows **ret, struct error *e)
{
    struct flows *t = calloc(1, sizeof *t);
    if (t) {
        *t = (struct flows){.idle_ns = idle_s * NS_PER_S,
                            .active_ns = active_s * NS_PER_S,
                            .table_max = table_max,
                            .give = give,
                            .user = user,
                            .unused = NONE,
                            .open = {NONE, NONE},
                            .over = {NONE, NONE}};
        t->n_buckets = 1;
        while (t->n_buckets < table_max * 2)
            t->n_buckets *= 2;
        t->buckets = malloc(t->n_buckets * sizeof *t->buckets);
    }
    if (!t || !t->buckets) {
        flows_free(t);
        return error_set(e, ERR_NOMEM, "the flows of a capture");
    }
    memset(t->buckets, 0xFF, t->n_buckets * sizeof *t->buckets);
    *ret = t;
    return ERR_OK;
}

void flows_free(struct flows *t)
{
    if (!t)
        return;
    free(t->all);
    free(t->buckets);
    free(t);
}

static int compare_ends(const struct packet_end *a, const struct packet_end *b)
{
    const int order = memcmp(a->address, b->address, sizeof a->address);
    return order ? order : (a->port > b->port) - (a->port < b->port);
}

static bool same_end(const struct packet_end *a, const struct packet_end *b)
{
    return compare_ends(a, b) == 0;
}

/* Both directions have the same. */
static uint32_t hash_of(const struct packet *p)
{
    const bool turned = compare_ends(&p->from, &p->to) > 0;
    const struct packet_end *low = turned ? &p->to : &p->from, *high = turned ? &p->from : &p->to;
    uint64_t h = hash_64(low->address, sizeof low->address, low->port);
    h = hash_64(high->address, sizeof high->address, hash_mix(h ^ high->port));
    return (uint32_t)hash_mix(h ^ p->protocol);
}

static struct list *list_of(struct flows *t, const struct flow *f)
{
    return f->over ? &t->over : &t->open;
}

static void list_remove(struct flows *t, uint32_t i)
{
    struct flow *f = &t->all[i];
    struct list *l = list_of(t, f);
    *(f->older == NONE ? &l->oldest : &t->all[f->older].newer) = f->newer;
    *(f->newer == NONE ? &l->newest : &t->all[f->newer].older) = f->older;
}

static void list_append(struct flows *t, uint32_t i)
{
    struct flow *f = &t->all[i];
    struct list *l = list_of(t, f);
    f->older = l->newest;
    f->newer = NONE;
    *(l->newest == NONE ? &l->oldest : &t->all[l->newest].newer) = i;
    l->newest = i;
}

static uint32_t find(const struct flows *t, const struct packet *p, uint32_t hash)
{
    uint32_t i = t->buckets[hash & (t->n_buckets - 1)];
    for (; i != NONE; i = t->all[i].chain) {
        const struct flow *f = &t->all[i];
        if (f->hash != hash || f->protocol != p->protocol || f->version != p->version)
            continue;
        if ((same_end(&f->from, &p->from) && same_end(&f->to, &p->to)) ||
            (same_end(&f->from, &p->to) && same_end(&f->to, &p->from)))
            break;
    }
    return i;
}

static int finish(struct flows *t, uint32_t i, enum flow_end why, struct error *e)
{
    struct flow *f = &t->all[i];
    uint32_t *at = &t->buckets[f->hash & (t->n_buckets - 1)];
    while (*at != i)
        at = &t->all[*at].chain;
    *at = f->chain;
    list_remove(t, i);
    f->end = why;
    series_add(&f->periods_s, seconds(f->last_ns - f->period_ns));
    int rc = t->give(t->user, f, e);
    f->chain = t->unused;
    t->unused = i;
    t->n--;
    return rc;
}

/* Those that have waited for too long, by the time of the last packet. */
static int expire(struct flows *t, struct list *l, int64_t wait_ns, enum flow_end why,
                  struct error *e)
{
    int rc = ERR_OK;
    while (rc == ERR_OK && l->oldest != NONE && t->now_ns - t->all[l->oldest].last_ns > wait_ns)
        rc = finish(t, l->oldest, why, e);
    return rc;
}

/* A place for another flow, NONE for no memory. */
static uint32_t place(struct flows *t)
{
    uint32_t i = t->unused;
    if (i != NONE) {
        t->unused = t->all[i].chain;
        return i;
    }
    if (t->n_used == t->cap) {
        const uint32_t cap = MIN(MAX(t->cap * 2, (uint32_t)FLOWS_MIN), t->table_max);
        struct flow *all = realloc(t->all, cap * sizeof *all);
        if (!all)
            return NONE;
        t->all = all;
        t->cap = cap;
    }
    return t->n_used++;
}

static int begin(struct flows *t, const struct packet *p, uint32_t hash, uint32_t *ret,
                 struct error *e)
{
    int rc = ERR_OK;
    if (t->n == t->table_max)
        rc = finish(t, t->over.oldest != NONE ? t->over.oldest : t->open.oldest, FLOW_FULL, e);
    if (rc)
        return rc;
    const uint32_t i = place(t);
    if (i == NONE)
        return error_set(e, ERR_NOMEM, "the flows of a capture");
    uint32_t *bucket = &t->buckets[hash & (t->n_buckets - 1)];
    t->all[i] = (struct flow){.from = p->from,
                              .to = p->to,
                              .version = p->version,
                              .protocol = p->protocol,
                              .first_ns = t->now_ns,
                              .last_ns = t->now_ns,
                              .period_ns = t->now_ns,
                              .forward.window = -1,
                              .backward.window = -1,
                              .hash = hash,
                              .chain = *bucket};
    *bucket = i;
    t->n++;
    list_append(t, i);
    *ret = i;
    return ERR_OK;
}

/* ---- packets ---- */

static void count_flags(struct flow *f, uint8_t flags)
{
    f->fin += (flags & PACKET_FIN) != 0;
    f->syn += (flags & PACKET_SYN) != 0;
    f->rst += (flags & PACKET_RST) != 0;
    f->psh += (flags & PACKET_PSH) != 0;
    f->ack += (flags & PACKET_ACK) != 0;
    f->urg += (flags & PACKET_URG) != 0;
    f->ece += (flags & PACKET_ECE) != 0;
    f->cwr += (flags & PACKET_CWR) != 0;
}

static void count_side(struct flow_side *s, const struct packet *p, int64_t now_ns)
{
    if (s->packets > 0)
        series_add(&s->gaps_s, seconds(now_ns - s->last_ns));
    else if (p->protocol == PACKET_TCP && !p->later_fragment)
        s->window = p->window;
    s->header_min_bytes =
        s->packets > 0 ? MIN(s->header_min_bytes, p->header_bytes) : p->header_bytes;
    s->packets++;
    s->bytes += p->bytes;
    s->header_bytes += p->header_bytes;
    s->payload_bytes += packet_payload_bytes(p);
    s->data_packets += packet_payload_bytes(p) > 0;
    s->psh += (p->flags & PACKET_PSH) != 0;
    s->urg += (p->flags & PACKET_URG) != 0;
    s->last_ns = now_ns;
    series_add(&s->lengths, p->bytes);
}

static void count(struct flow *f, const struct packet *p, int64_t now_ns)
{
    const bool forward = same_end(&f->from, &p->from) && same_end(&f->to, &p->to);
    const int64_t gap_ns = now_ns - f->last_ns;
    if (f->forward.packets + f->backward.packets > 0)
        series_add(&f->gaps_s, seconds(gap_ns));
    if (gap_ns > FLOW_PAUSE_S * NS_PER_S) {
        series_add(&f->pauses_s, seconds(gap_ns));
        series_add(&f->periods_s, seconds(f->last_ns - f->period_ns));
        f->period_ns = now_ns;
    }
    f->last_ns = now_ns;
    f->fragments += p->fragment;
    count_flags(f, p->flags);
    count_side(forward ? &f->forward : &f->backward, p, now_ns);
    series_add(&f->lengths, p->bytes);
    *(forward ? &f->fin_forward : &f->fin_backward) |= (p->flags & PACKET_FIN) != 0;
}

/* Gives a later fragment the ports of its first one. */
static bool know_ports(struct flows *t, struct packet *p)
{
    uint64_t h = hash_64(p->from.address, sizeof p->from.address, p->datagram);
    h = hash_64(p->to.address, sizeof p->to.address, h);
    struct datagram *d = &t->datagrams[hash_mix(h ^ p->protocol) % DATAGRAMS];
    if (!p->later_fragment) {
        *d = (struct datagram){true, p->from, p->to, p->version, p->protocol, p->datagram};
        return true;
    }
    if (!d->known || d->number != p->datagram || d->protocol != p->protocol ||
        d->version != p->version ||
        memcmp(d->from.address, p->from.address, sizeof p->from.address) != 0 ||
        memcmp(d->to.address, p->to.address, sizeof p->to.address) != 0)
        return false;
    p->from.port = d->from.port;
    p->to.port = d->to.port;
    return true;
}

/* Does the packet begin a flow of its own, although there is one of its ends? */
static bool is_new(const struct flows *t, const struct flow *f, const struct packet *p,
                   enum flow_end *ret_why)
{
    if (t->now_ns - f->first_ns > t->active_ns) {
        *ret_why = FLOW_ACTIVE;
        return true;
    }
    *ret_why = FLOW_OVER;
    return f->over && (p->flags & PACKET_SYN) && !(p->flags & PACKET_ACK);
}

int flows_add(struct flows *t, const struct packet *packet, bool *ret_known, struct error *e)
{
    struct packet p = *packet;
    *ret_known = !p.fragment || know_ports(t, &p);
    if (!*ret_known)
        return ERR_OK;
    t->now_ns = MAX(t->now_ns, p.ns);
    int rc = expire(t, &t->open, t->idle_ns, FLOW_IDLE, e);
    if (rc == ERR_OK)
        rc = expire(t, &t->over, MIN(t->idle_ns, FLOW_OVER_S * NS_PER_S), FLOW_OVER, e);
    if (rc)
        return rc;
    const uint32_t hash = hash_of(&p);
    uint32_t i = find(t, &p, hash);
    enum flow_end why;
    if (i != NONE && is_new(t, &t->all[i], &p, &why)) {
        rc = finish(t, i, why, e);
        i = NONE;
    }
    if (rc == ERR_OK && i == NONE)
        rc = begin(t, &p, hash, &i, e);
    if (rc)
        return rc;
    struct flow *f = &t->all[i];
    list_remove(t, i);
    count(f, &p, t->now_ns);
    f->over |= (p.flags & PACKET_RST) || (f->fin_forward && f->fin_backward);
    list_append(t, i);
    return ERR_OK;
}

int flows_end(struct flows *t, struct error *e)
{
    int rc = ERR_OK;
    while (rc == ERR_OK && t->over.oldest != NONE)
        rc = finish(t, t->over.oldest, FLOW_OVER, e);
    while (rc == ERR_OK && t->open.oldest != NONE)
        rc = finish(t, t->open.oldest, FLOW_CAPTURE, e);
    return rc;
}
