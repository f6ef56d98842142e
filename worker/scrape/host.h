/*
 * host.h: how one host ("scheme://host[:port]") is treated: when the next request may start, how the
 * delay follows latency and overload, what Retry-After asks for; and the table of hosts of one loop.
 *
 * It reads no clock, starts no request and holds no queue of its own: run.c asks and tells.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_HOST_H
#define DROVER_HOST_H

#include "common/base.h"
#include "scrape.h"
#include "timer.h"

struct page;
struct robots;
struct run;

enum {
    HOST_THROTTLE_MAX_MS = 60 * 1000, /* autothrottle slows down to one request a minute at most */
    HOST_THROTTLE_MIN_MS = 5,         /* below it, the concurrency limit alone paces */
    HOST_OVERLOAD_MS = 500,           /* first delay after a 429 or 503 */
    HOST_IDLE_MAX = 4096,             /* hosts remembered without a task (robots, latency) */
    HOST_IDLE_BYTES_MAX = 4 * 1024 * 1024,   /* of robots rules of such hosts */
    HOST_ROBOTS_FRESH_MS = 24 * 3600 * 1000, /* RFC 9309, 2.4: at most 24 h in a cache */
    HOST_ROBOTS_ERROR_MS = 60 * 1000 /* a robots.txt that could not be had is asked for again */
};

enum host_robots_state { HOST_ROBOTS_UNKNOWN, HOST_ROBOTS_ASKED, HOST_ROBOTS_KNOWN };

/* What came of a request, as far as pacing is concerned. */
enum host_outcome {
    HOST_OK,       /* an answer */
    HOST_OVERLOAD, /* 429 or 503 */
    HOST_ERROR     /* another error answer, or none */
};

struct host {
    char *key;
    size_t key_len;
    struct host *hash_next;
    struct host *idle_prev, *idle_next; /* of those without use, the longest unused first */
    bool idle;

    /* pacing */
    uint32_t active;            /* requests under way */
    uint32_t crawl_delay_ms;    /* robots.txt */
    uint32_t throttle_ms;       /* autothrottle's present delay */
    uint32_t latency_ms;        /* of the last answer */
    uint64_t next_ms;           /* no start before */
    uint64_t backoff_until_ms;  /* no start before, because the host said so */
    const char *backoff_reason; /* with it: static, "HTTP_429" */

    /* hold.c's: breakers */
    enum scrape_host_state told;
    uint32_t failed_in_row;
    uint64_t watched_until_ms; /* requests are counted for reports until then */
    const char *fail_reason;   /* of the last failure: static; NULL: none */

    /* robots.txt */
    struct robots *robots; /* valid when KNOWN */
    enum host_robots_state robots_state;
    uint64_t robots_until_ms; /* when it is to be asked for again */
    const char *robots_error; /* static reason why everything is forbidden for now; NULL: none */
    uint64_t robots_token;    /* hash of the product token that it was parsed for */

    /* run.c's: who waits for a turn */
    uint32_t granted; /* requests at once, by all tasks of this host together */
    struct run *runs; /* ring of tasks of this host; points at the next one to serve */
    struct page *guests, *guests_tail; /* pages of other hosts' tasks that were redirected here */
    uint32_t guests_active;
    uint32_t users; /* tasks, pages and a robots.txt on its way that hold this host */
    struct timer timer;
    struct host *ready_next;
    bool ready; /* in the loop's list of hosts to look at */
};

struct hosts {
    struct host **slots;
    size_t n_slots, n;
    struct host *idle_first, *idle_last;
    size_t n_idle, idle_bytes;
};

int hosts_init(struct hosts *all) MUST_CHECK; /* enum err */
void hosts_done(struct hosts *all);

/* The host of that key, made when it is new and taken from the idle ones. NULL: no memory. */
struct host *hosts_get(struct hosts *all, struct span key) MUST_CHECK;

/* Nobody uses the host any more: it is kept as long as the limits on idle hosts allow. */
void hosts_release(struct hosts *all, struct host *h);

/* Replaces the rules; takes r. */
void host_set_robots(struct host *h, struct robots *r_take, uint64_t until_ms, const char *error);

/* The delay between two starts, all reasons together. */
uint32_t host_delay_ms(const struct host *h, uint32_t spec_delay_ms);

/* When the next request may start; now_ms or before: now. */
uint64_t host_next_start_ms(const struct host *h);

/* Requests that may be under way at once, of what tasks were granted: 1 under a Crawl-delay. */
uint32_t host_limit(const struct host *h, uint32_t granted);

void host_started(struct host *h, uint64_t now_ms, uint32_t spec_delay_ms);

/* latency_ms: until the first byte of the answer. concurrency: what was granted, which the delay is
 * shared between. retry_after_ms: 0 when the answer had none. Follows Scrapy's AutoThrottle: half the
 * way to latency/concurrency at each answer, never down on an error; doubled by an overload. */
void host_finished(struct host *h, uint64_t now_ms, enum host_outcome outcome, bool autothrottle,
                   uint32_t latency_ms, uint32_t concurrency, uint64_t retry_after_ms);

/* Retry-After (RFC 9110, 10.2.3): seconds or an HTTP date. False: neither. A date that is past is 0.
 * now_s: the wall clock. */
bool host_retry_after(struct span value, int64_t now_s, uint64_t *ret_ms);

#endif
