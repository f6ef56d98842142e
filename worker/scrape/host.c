#include "host.h"

#include <stdio.h>
#include <time.h>

#include "common/err.h"
#include "common/hash.h"
#include "robots.h"

enum { SLOTS_MIN = 64, RETRY_AFTER_MAX_S = 7 * 24 * 3600 };

/* ---- table ---- */

int hosts_init(struct hosts *all)
{
    *all = (struct hosts){.slots = calloc(SLOTS_MIN, sizeof(struct host *))};
    if (!all->slots)
        return ERR_NOMEM;
    all->n_slots = SLOTS_MIN;
    return ERR_OK;
}

static void host_free(struct host *h)
{
    robots_free(h->robots);
    free(h->key);
    free(h);
}

void hosts_done(struct hosts *all)
{
    for (size_t i = 0; i < all->n_slots; i++) {
        while (all->slots[i]) {
            struct host *h = all->slots[i];
            all->slots[i] = h->hash_next;
            host_free(h);
        }
    }
    free(all->slots);
    *all = (struct hosts){0};
}

static struct host **slot_of(const struct hosts *all, const char *key, size_t len)
{
    return &all->slots[hash_64(key, len, 0) & (all->n_slots - 1)];
}

/* Twice the slots. Without memory the chains just grow longer. */
static void grow(struct hosts *all)
{
    struct hosts bigger = {.n_slots = all->n_slots * 2};
    bigger.slots = calloc(bigger.n_slots, sizeof *bigger.slots);
    if (!bigger.slots)
        return;
    for (size_t i = 0; i < all->n_slots; i++) {
        while (all->slots[i]) {
            struct host *h = all->slots[i];
            all->slots[i] = h->hash_next;
            struct host **slot = slot_of(&bigger, h->key, h->key_len);
            h->hash_next = *slot;
            *slot = h;
        }
    }
    free(all->slots);
    all->slots = bigger.slots;
    all->n_slots = bigger.n_slots;
}

static size_t idle_cost(const struct host *h)
{
    return h->robots ? robots_bytes(h->robots) : 0;
}

static void idle_unlink(struct hosts *all, struct host *h)
{
    *(h->idle_prev ? &h->idle_prev->idle_next : &all->idle_first) = h->idle_next;
    *(h->idle_next ? &h->idle_next->idle_prev : &all->idle_last) = h->idle_prev;
    h->idle_prev = h->idle_next = NULL;
    h->idle = false;
    all->n_idle--;
    all->idle_bytes -= idle_cost(h);
}

struct host *hosts_get(struct hosts *all, struct span key)
{
    struct host *h = *slot_of(all, key.p, key.len);
    while (h && !span_eq((struct span){h->key, h->key_len}, key))
        h = h->hash_next;
    if (h) {
        if (h->idle)
            idle_unlink(all, h);
        return h;
    }
    h = calloc(1, sizeof *h);
    if (!h || !(h->key = strndup(key.p, key.len))) {
        free(h);
        return NULL;
    }
    h->key_len = key.len;
    if (all->n >= all->n_slots)
        grow(all);
    struct host **slot = slot_of(all, key.p, key.len);
    h->hash_next = *slot;
    *slot = h;
    all->n++;
    return h;
}

static void forget(struct hosts *all, struct host *h)
{
    idle_unlink(all, h);
    struct host **at = slot_of(all, h->key, h->key_len);
    while (*at != h)
        at = &(*at)->hash_next;
    *at = h->hash_next;
    all->n--;
    host_free(h);
}

void hosts_release(struct hosts *all, struct host *h)
{
    assert(!h->idle && h->active == 0 && !h->runs && !h->guests && !h->timer.set && !h->ready);
    h->idle = true;
    h->idle_prev = all->idle_last;
    *(all->idle_last ? &all->idle_last->idle_next : &all->idle_first) = h;
    all->idle_last = h;
    all->n_idle++;
    all->idle_bytes += idle_cost(h);
    while (all->n_idle > HOST_IDLE_MAX ||
           (all->idle_bytes > HOST_IDLE_BYTES_MAX && all->n_idle > 0))
        forget(all, all->idle_first);
}

void host_set_robots(struct host *h, struct robots *r_take, uint64_t until_ms, const char *error)
{
    robots_free(h->robots);
    h->robots = r_take;
    h->robots_state = HOST_ROBOTS_KNOWN;
    h->robots_until_ms = until_ms;
    h->robots_error = error;
    h->crawl_delay_ms = robots_delay_ms(r_take);
}

/* ---- pacing ---- */

uint32_t host_delay_ms(const struct host *h, uint32_t spec_delay_ms)
{
    uint32_t asked = MAX(spec_delay_ms, h->crawl_delay_ms);
    return h->throttle_ms >= HOST_THROTTLE_MIN_MS ? MAX(asked, h->throttle_ms) : asked;
}

uint64_t host_next_start_ms(const struct host *h)
{
    return MAX(h->next_ms, h->backoff_until_ms);
}

uint32_t host_limit(const struct host *h, uint32_t granted)
{
    return h->crawl_delay_ms > 0 ? 1 : granted;
}

void host_started(struct host *h, uint64_t now_ms, uint32_t spec_delay_ms)
{
    h->active++;
    h->next_ms = now_ms + host_delay_ms(h, spec_delay_ms);
}

static void throttle(struct host *h, enum host_outcome outcome, uint32_t concurrency)
{
    uint32_t target = h->latency_ms / MAX(concurrency, 1u);
    uint32_t next = (h->throttle_ms + target) / 2;
    if (outcome == HOST_OVERLOAD)
        next = MAX(h->throttle_ms * 2, (uint32_t)HOST_OVERLOAD_MS);
    else if (outcome == HOST_ERROR)
        next = MAX(next, h->throttle_ms);
    h->throttle_ms = MIN(next, (uint32_t)HOST_THROTTLE_MAX_MS);
}

void host_finished(struct host *h, uint64_t now_ms, enum host_outcome outcome, bool autothrottle,
                   uint32_t latency_ms, uint32_t concurrency, uint64_t retry_after_ms)
{
    assert(h->active > 0);
    h->active--;
    h->latency_ms = MIN(latency_ms, (uint32_t)HOST_THROTTLE_MAX_MS);
    if (autothrottle) {
        throttle(h, outcome, concurrency);
        if (outcome == HOST_OVERLOAD) /* the next start was planned with the shorter delay */
            h->next_ms = MAX(h->next_ms, now_ms + h->throttle_ms);
    }
    if (retry_after_ms > 0)
        h->backoff_until_ms = MAX(h->backoff_until_ms, now_ms + retry_after_ms);
}

/* ---- Retry-After ---- */

static int month_of(const char *name)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int i = 0; i < 12; i++)
        if (memcmp(names + 3 * i, name, 3) == 0)
            return i;
    return -1;
}

/* The three forms of RFC 9110, 5.6.7. */
static bool parse_date(const char *s, int64_t *ret_s)
{
    struct tm tm = {0};
    char month[4] = "";
    int year = 0;
    const char *comma = strchr(s, ',');
    if (comma && sscanf(comma + 1, " %2d %3s %4d %2d:%2d:%2d GMT", &tm.tm_mday, month, &year,
                        &tm.tm_hour, &tm.tm_min, &tm.tm_sec) == 6) {
        tm.tm_year = year - 1900;
    } else if (comma && sscanf(comma + 1, " %2d-%3s-%2d %2d:%2d:%2d GMT", &tm.tm_mday, month, &year,
                               &tm.tm_hour, &tm.tm_min, &tm.tm_sec) == 6) {
        tm.tm_year = year < 70 ? year + 100 : year;
    } else if (sscanf(s, "%*3s %3s %2d %2d:%2d:%2d %4d", month, &tm.tm_mday, &tm.tm_hour,
                      &tm.tm_min, &tm.tm_sec, &year) == 6) {
        tm.tm_year = year - 1900;
    } else {
        return false;
    }
    tm.tm_mon = strlen(month) == 3 ? month_of(month) : -1;
    if (tm.tm_mon < 0 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 ||
        tm.tm_sec > 60 || tm.tm_hour < 0 || tm.tm_min < 0 || tm.tm_sec < 0 || tm.tm_year < 70)
        return false;
    *ret_s = (int64_t)timegm(&tm);
    return true;
}

bool host_retry_after(struct span value, int64_t now_s, uint64_t *ret_ms)
{
    char text[64];
    while (value.len > 0 && (value.p[0] == ' ' || value.p[0] == '\t'))
        value = (struct span){value.p + 1, value.len - 1};
    while (value.len > 0 && (value.p[value.len - 1] == ' ' || value.p[value.len - 1] == '\t'))
        value.len--;
    if (value.len == 0 || value.len >= sizeof text)
        return false;
    memcpy(text, value.p, value.len);
    text[value.len] = 0;
    int64_t s = 0;
    if (strspn(text, "0123456789") == value.len) {
        for (size_t i = 0; i < value.len; i++)
            s = MIN(s * 10 + (text[i] - '0'), (int64_t)RETRY_AFTER_MAX_S);
    } else {
        if (!parse_date(text, &s))
            return false;
        s = MAX(s - now_s, (int64_t)0);
    }
    *ret_ms = (uint64_t)MIN(s, (int64_t)RETRY_AFTER_MAX_S) * 1000;
    return true;
}
