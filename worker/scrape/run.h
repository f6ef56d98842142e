/*
 * run.h: a task under way: which of its URLs starts when, what became of each, and its output. And
 * the turns that hosts take: politeness decides here, before anything is started.
 *
 * Every URL ends in exactly one of: rows, reject, retry, or the failure of the task as a whole.
 *
 * Thread rule: the loop's thread.
 */
#ifndef DROVER_RUN_H
#define DROVER_RUN_H

#include "common/err.h"
#include "host.h"

struct jar;
struct output;
struct page;
struct scrape_loop;
struct scrape_task;

#define RUN_HELD_DETAIL "the host fails for the whole fleet"

enum {
    RUN_MANY_HOSTS = 256,
    RUN_BURST = 8,               /* requests that one host may start before the next has its turn */
    RUN_UNREACHABLE_MAX = 3,     /* in a row: the host is down, the rest of the task need not try */
    RUN_SHORT_WAIT_MS = 5000,    /* longer waits are the coordinator's: the task ends instead */
    RUN_QUICK_RETRIES = 2,       /* of one URL inside the task */
    RUN_QUICK_WAIT_MAX_MS = 2000 /* before one of them, unless Retry-After says more */
};

/* A result is one message of at most 16 MiB. A task that has made RUN_OUTPUT_ENOUGH_BYTES gives the rest
 * of its URLs back, untried; what one page may add to that is bounded, too. */
enum { RUN_OUTPUT_ENOUGH_BYTES = 1024 * 1024, RUN_PAGE_OUTPUT_MAX = 10 * 1024 * 1024 };

/* Added up in the task, put out once: names in run.c. */
enum run_count {
    RUN_REQUESTS,
    RUN_BYTES,      /* of bodies on the wire */
    RUN_BODY_BYTES, /* after decoding */
    RUN_PAGES,      /* read and extracted */
    RUN_STATUS_2XX,
    RUN_STATUS_3XX,
    RUN_STATUS_4XX,
    RUN_STATUS_5XX,
    RUN_REDIRECTS,
    RUN_RETRIES,
    RUN_ROBOTS_REQUESTS,
    RUN_ROBOTS_DENIED,
    RUN_NOT_MODIFIED,
    RUN_FETCH_MS,
    RUN_PARSE_US,
    RUN_COUNTS
};

struct run {
    struct scrape_task *task;
    struct scrape_loop *loop;
    struct output *out;
    struct jar *jar;
    struct host *host;
    struct run *prev, *next;           /* of the loop */
    struct run *ring_prev, *ring_next; /* of the host */
    size_t url_next;                   /* of the task's URLs: the first that was not looked at */
    uint32_t active;                   /* requests to the task's own host */
    struct page *pages;                /* all that are not settled */
    size_t n_pages;
    struct page *todo, *todo_last; /* of them, those that wait for a turn at the task's own host */
    struct page *failed;           /* ended by a failure that may pass */
    size_t n_settled;              /* URLs with an answer or a reject */
    size_t n_unreachable;          /* of failed */
    uint32_t unreachable_in_row;
    bool full;           /* it has made enough: the rest is given back */
    bool host_down;      /* the rest was given up because the host cannot be had */
    bool held;           /* the rest was given back because a breaker holds the host, or will */
    const char *gave_up; /* static reason why the rest is not tried; NULL: it is */
    char gave_up_detail[200];
    uint32_t backoff_ms; /* for output.key_backoff_ms */
    bool no_memory;
    int64_t counts[RUN_COUNTS];
};

/* Takes a task on. */
void run_add(struct scrape_loop *l, struct scrape_task *task);

/* Ends it now, whatever it does: done with that error. */
void run_abort(struct run *r, enum err error, const char *reason);

/* The rest of the task's URLs is not tried. */
void run_give_up(struct run *r, const char *reason, const char *detail, uint64_t backoff_ms,
                 bool host_down);

/* The tasks of the host give back what they have not tried; what was tried failed for that reason. */
void run_hold_all(struct host *h, const char *reason, const char *detail);

/* A page's part in the task is over; it no longer exists after. */
void run_page_settled(struct page *p);
void run_page_failed(struct page *p, const char *reason, const char *detail, bool unreachable);
void run_page_untried(struct page *p); /* it goes into another task, at no cost */

/* A page wants (another) turn at its present host. */
void run_page_again(struct page *p);

/* Calls done when everything is settled. The run may be gone after. */
void run_check(struct run *r);

/* Starts what may start, host by host. */
void run_pump(struct scrape_loop *l);

/* Ends every request that is under way; the pages are asked for again when requests may begin. */
void run_cut_all(struct scrape_loop *l);
bool run_has_room(const struct scrape_loop *l);

#endif
