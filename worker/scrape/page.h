/*
 * page.h: one URL of a task on its way: asking, redirects, quick retries, reading the answer. Says
 * what became of it to run.c.
 *
 * Thread rule: the loop's thread.
 */
#ifndef DROVER_PAGE_H
#define DROVER_PAGE_H

#include "common/base.h"
#include "timer.h"

struct fetch;
struct host;
struct run;

enum { PAGE_HOPS_KEPT = 20 };

enum page_state {
    PAGE_TODO,    /* in its run's list */
    PAGE_GUEST,   /* in the list of the host that it was redirected to */
    PAGE_ACTIVE,  /* a request is under way */
    PAGE_WAITING, /* for the time of its retry */
    PAGE_FAILED   /* in its run's list of failures */
};

struct page {
    struct run *run;
    enum page_state state;
    size_t index;             /* in the task's URLs */
    char *url;                /* where redirects led, owned; NULL: the task's URL */
    struct host *host;        /* of the present URL; one of its users */
    struct fetch *fetch;      /* when ACTIVE */
    struct page *prev, *next; /* of the run, or of its failures */
    struct page *queue_next;  /* todo or guests */
    struct timer timer;       /* when WAITING */
    uint32_t tries;           /* requests for the present URL so far */
    uint32_t hops;
    uint64_t seen[PAGE_HOPS_KEPT]; /* hashes of the URLs before, to know a loop */
    const char *reason;            /* when FAILED: static */
    char *detail;                  /* when FAILED: owned, may be NULL */
};

struct span page_url(const struct page *p);       /* the present one */
struct span page_requested(const struct page *p); /* the task's */
bool page_is_guest(const struct page *p);         /* not at the task's own host */

const char *
page_status_reason(int status); /* "HTTP_404": static, one for each status there can be */

/* Asks. The host's turn, limits and robots.txt were seen to. */
void page_start(struct page *p);

void page_retry_due(struct page *p); /* its timer */

/* Refuses the page for good. */
void page_reject(struct page *p, const char *reason, const char *detail);

#endif
