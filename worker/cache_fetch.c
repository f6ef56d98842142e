/* cache_fetch.c: what is asked of the coordinator next, and what its answers come to. */
#include <stdio.h>

#include "cache_internal.h"

enum { FIRST_BYTES = CACHE_WINDOW_MIN };

/* Whether the oldest need of all needs it. One that is older and has all of its own ends some time, and
 * gives room. */
static bool is_first(const struct cache *c, const struct cache_entry *one)
{
    const struct cache_need *need = c->oldest;
    for (size_t i = 0; need && i < need->n; i++)
        if (need->entries[i] == one)
            return true;
    return false;
}

static bool may_ask(struct cache *c, struct cache_entry *one)
{
    if (one->refs == 0 || c->now_ms < one->pause_until_ms)
        return false;
    if (one->resumes && (one->asks > 0 || one->writes > 0))
        return false;
    if (!one->total_known) /* one small piece tells how large it is */
        return one->asks == 0;
    if (one->asked >= one->bytes)
        return false;
    cache_make_room(c, 0);
    return c->bytes <= c->config.bytes_max || is_first(c, one);
}

static uint32_t in_flight(const struct cache *c)
{
    uint32_t bytes = 0;
    for (size_t i = 0; i < c->n_flights; i++)
        bytes += c->flights[i].max;
    return bytes;
}

bool cache_ask(struct cache *c, uint64_t now_ms, struct wire_blob_ask *ret)
{
    c->now_ms = now_ms;
    const uint32_t used = in_flight(c);
    if (c->n_flights == CACHE_ASKS_MAX || (used > 0 && used >= c->window) ||
        (c->thread && blob_thread_bytes(c->thread) > CACHE_DISK_BYTES))
        return false;
    for (struct cache_entry *one = c->wanted.first; one; one = one->next) {
        if (!may_ask(c, one))
            continue;
        const uint32_t max =
            one->total_known ? MIN(c->window, (uint32_t)BLOB_CHUNK_BYTES) : (uint32_t)FIRST_BYTES;
        *ret = (struct wire_blob_ask){.what = WIRE_BLOB_FILE,
                                      .name = blob_name_span(&one->name),
                                      .offset = one->asked,
                                      .max = max};
        c->flights[c->n_flights++] = (struct cache_flight){one->name, one->asked, now_ms, max};
        one->asked += max;
        one->asks++;
        return true;
    }
    return false;
}

/* How quickly answers come says how much may be under way. */
static void measure(struct cache *c, uint64_t took_ms, size_t bytes)
{
    const uint32_t max = CACHE_ASKS_MAX * BLOB_CHUNK_BYTES;
    if (took_ms > CACHE_SLOW_MS)
        c->window = MAX(c->window / 2, (uint32_t)CACHE_WINDOW_MIN);
    else if (took_ms < CACHE_QUICK_MS && bytes > 0)
        c->window = MIN(c->window * 2, max);
}

static bool land_flight(struct cache *c, const struct wire_blob_answer *m, struct blob_name *ret)
{
    if (m->what != WIRE_BLOB_FILE || !blob_name_read(m->name, ret))
        return false;
    for (size_t i = 0; i < c->n_flights; i++) {
        const struct cache_flight f = c->flights[i];
        if (f.offset != m->offset || !blob_name_eq(&f.name, ret))
            continue;
        memmove(&c->flights[i], &c->flights[i + 1], (--c->n_flights - i) * sizeof(f));
        measure(c, c->now_ms - f.at_ms, m->data.len);
        return true;
    }
    return false;
}

/* A piece that goes on where the others end is written; another one is asked for again. */
static void take(struct cache *c, struct cache_entry *one, const struct wire_blob_answer *m)
{
    const bool end = m->offset + m->data.len == m->total;
    if ((one->total_known && m->total != one->bytes) || m->total > BLOB_BYTES_MAX ||
        m->data.len > BLOB_CHUNK_BYTES || (m->data.len == 0 && !end)) {
        cache_want(c, one);
        cache_failed_once(c, one, "the coordinator's answer makes no sense");
        return;
    }
    if (!one->total_known)
        cache_set_total(c, one, m->total);
    if (m->offset != one->got)
        return;
    struct cache_disk *d = cache_disk_new(one, BLOB_PUT, m->data.len);
    if (!d) {
        cache_failed_once(c, one, "out of memory");
        return;
    }
    if (m->data.len)
        memcpy(d->bytes, m->data.p, m->data.len);
    d->request.offset = m->offset;
    d->request.total = one->bytes;
    d->request.data = (struct span){d->bytes, m->data.len};
    one->got += m->data.len;
    if (one->got > one->best)
        one->tries = 0;
    one->best = MAX(one->best, one->got);
    cache_disk_submit(c, one, d);
}

void cache_answer(struct cache *c, uint64_t now_ms, const struct wire_blob_answer *m)
{
    struct blob_name name;
    char detail[200];
    c->now_ms = now_ms;
    if (!land_flight(c, m, &name))
        return;
    struct cache_entry *one = cache_find(c, &name);
    one->asks--;
    if (one->state != ENTRY_WANTED) {
        cache_settle(c, one);
        return;
    }
    const struct span why = m->detail.len ? m->detail : span_str(err_text((enum err)m->code));
    snprintf(detail, sizeof(detail), "%.*s", (int)MIN(why.len, sizeof(detail) - 1), why.p);
    if (m->code == ERR_NOT_FOUND)
        cache_fail(one, ERR_NOT_FOUND, "it is gone from the coordinator");
    else if (m->code != ERR_OK)
        cache_failed_once(c, one, detail);
    else
        take(c, one, m);
    if (one->state == ENTRY_WANTED && one->asks == 0)
        one->asked = one->got; /* what was asked for and did not come */
    cache_settle(c, one);
}

void cache_session(struct cache *c)
{
    c->n_flights = 0;
    for (struct cache_entry *one = c->wanted.first, *next; one; one = next) {
        next = one->next;
        one->asks = 0;
        one->asked = one->got;
        cache_settle(c, one);
    }
    for (size_t i = 0; i < CACHE_BUCKETS; i++)
        for (struct cache_entry *one = c->buckets[i], *next; one; one = next) {
            next = one->chain;
            one->asks = 0;
            if (!one->list)
                cache_settle(c, one);
        }
}

uint64_t cache_deadline(const struct cache *c)
{
    uint64_t due = UINT64_MAX;
    for (const struct cache_entry *one = c->wanted.first; one; one = one->next)
        if (one->pause_until_ms > c->now_ms && one->refs > 0)
            due = MIN(due, one->pause_until_ms);
    return due;
}
