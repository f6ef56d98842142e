#include "calls.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "common/hash.h"

struct entry {
    uint64_t hash;
    uint64_t failed_ms; /* the last failure */
    struct calls_report counts;
};

struct calls {
    int wake_fd;
    pthread_mutex_t lock; /* of what follows */
    struct entry *entries;
    size_t n, cap;
    bool urgent;
};

struct calls *calls_new(int wake_fd)
{
    struct calls *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->wake_fd = wake_fd;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void calls_free(struct calls *c)
{
    if (!c)
        return;
    pthread_mutex_destroy(&c->lock);
    free(c->entries);
    free(c);
}

static struct entry *find(const struct calls *c, struct span key, uint64_t hash)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->entries[i].hash == hash && span_eq(span_str(c->entries[i].counts.key), key))
            return &c->entries[i];
    return NULL;
}

/* The entry whose last failure is the longest ago. */
static struct entry *oldest(const struct calls *c)
{
    struct entry *oldest = &c->entries[0];
    for (size_t i = 1; i < c->n; i++)
        if (c->entries[i].failed_ms < oldest->failed_ms)
            oldest = &c->entries[i];
    return oldest;
}

/* Room for one more entry. NULL: no memory, which costs a report. */
static struct entry *room(struct calls *c)
{
    if (c->n == CALLS_HOSTS_MAX)
        return oldest(c);
    if (c->n == c->cap) {
        const size_t cap = c->cap ? 2 * c->cap : 16;
        struct entry *more = realloc(c->entries, cap * sizeof(*more));
        if (!more)
            return NULL;
        c->entries = more;
        c->cap = cap;
    }
    return &c->entries[c->n++];
}

void calls_ok(struct calls *c, struct span key, bool slow)
{
    pthread_mutex_lock(&c->lock);
    struct entry *it = find(c, key, hash_64(key.p, key.len, 0));
    if (it) {
        it->counts.ok++;
        it->counts.row = 0;
        it->counts.slow += slow;
    }
    pthread_mutex_unlock(&c->lock);
}

void calls_failed(struct calls *c, struct span key, const char *error, uint64_t now_ms)
{
    if (key.len > CALLS_KEY_MAX)
        return;
    const uint64_t hash = hash_64(key.p, key.len, 0), one = 1;
    pthread_mutex_lock(&c->lock);
    struct entry *it = find(c, key, hash);
    bool first = !it;
    if (!it && (it = room(c))) {
        *it = (struct entry){.hash = hash};
        memcpy(it->counts.key, key.p, key.len);
    }
    if (it) {
        it->failed_ms = now_ms;
        it->counts.fail++;
        it->counts.row++;
        snprintf(it->counts.error, sizeof(it->counts.error), "%s", error);
    }
    first = first && it && !c->urgent;
    c->urgent |= first;
    pthread_mutex_unlock(&c->lock);
    if (first)
        while (write(c->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
}

void calls_clear(struct calls *c)
{
    pthread_mutex_lock(&c->lock);
    c->n = 0;
    c->urgent = false;
    pthread_mutex_unlock(&c->lock);
}

bool calls_watching(struct calls *c)
{
    pthread_mutex_lock(&c->lock);
    const bool any = c->n > 0;
    pthread_mutex_unlock(&c->lock);
    return any;
}

size_t calls_take(struct calls *c, bool all, uint64_t now_ms, struct calls_report *ret, size_t max)
{
    size_t n = 0, kept = 0;
    pthread_mutex_lock(&c->lock);
    const size_t of = all || c->urgent ? c->n : 0;
    for (size_t i = 0; i < of; i++) {
        struct entry *it = &c->entries[i];
        struct calls_report *r = &it->counts;
        const bool news = r->ok || r->fail || r->slow;
        if (news && n < max) {
            ret[n++] = *r;
            r->ok = r->fail = r->slow = r->row = 0;
            r->error[0] = 0;
        } else if (!news && now_ms >= it->failed_ms + CALLS_WATCH_MS) {
            continue; /* it is well again */
        }
        if (kept != i)
            c->entries[kept] = *it;
        kept++;
    }
    if (of > 0)
        c->n = kept;
    c->urgent = false;
    pthread_mutex_unlock(&c->lock);
    return n;
}
