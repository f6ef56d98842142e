/*
 * loop.h: the inside of a scrape_loop, for the files that share it: loop.c (thread, epoll, mailbox),
 * run.c (tasks and turns), page.c (one URL), robots_fetch.c. scrape.h is the face.
 *
 * Thread rule: all of it belongs to the loop's thread, except the mailbox under its lock.
 */
#ifndef DROVER_LOOP_H
#define DROVER_LOOP_H

#include <pthread.h>
#include <stdatomic.h>

#include "fetch.h"
#include "host.h"
#include "jar.h"
#include "scrape.h"
#include "timer.h"

struct decoder;
struct extract_ctx;
struct guard;
struct mail;
struct page;
struct robots_fetch;
struct run;
struct url_ctx;
struct validators;

enum loop_timer { LOOP_TIMER_CURL, LOOP_TIMER_HOST, LOOP_TIMER_PAGE };

struct scrape_loop {
    char *user_agent, *proxy;
    uint32_t connections_max;
    int epoll_fd, wake_fd;
    CURLM *multi;
    struct timers timers;
    struct timer curl_timer;
    uint32_t *watched; /* epoll's event mask by file descriptor; 0: not watched */
    size_t n_watched;

    struct guard *guard;
    struct fetcher fetcher;
    struct jars jars;
    struct hosts hosts;
    struct decoder *decoder;
    struct buf decoded; /* the page that is being read */
    struct extract_ctx *extract;
    struct url_ctx *urls;
    struct calls *calls;           /* NULL: not in a fleet */
    struct validators *validators; /* NULL until a spec asks for conditional requests */

    struct host *ready_first, *ready_last; /* hosts that may have something to start */
    struct run *runs;
    struct robots_fetch *robots_fetches;
    struct page *spare_pages;
    uint64_t random;
    bool frozen, stopping;
    _Atomic uint64_t lease_end_ms; /* CLOCK_BOOTTIME; written by any thread */

    pthread_mutex_t lock; /* of the mailbox */
    struct mail *mail_first, *mail_last;
};

uint64_t loop_now_ms(void); /* CLOCK_MONOTONIC */
bool loop_lease_over(const struct scrape_loop *l);
uint32_t loop_random(struct scrape_loop *l, uint32_t below);

/* The host of that key, with one user more. NULL: no memory. */
struct host *loop_host_get(struct scrape_loop *l, struct span key) MUST_CHECK;
void loop_host_ready(struct scrape_loop *l, struct host *h); /* look at it in this turn */
void loop_host_drop(struct scrape_loop *l, struct host *h);  /* one user less */

#endif
