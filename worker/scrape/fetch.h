/*
 * fetch.h: one HTTP request and its answer: easy handles from a pool, the answer's head and body in
 * bounded buffers, the address guard, TLS, and what an error means.
 *
 * It follows no redirect, retries nothing, and knows neither tasks nor robots.txt.
 *
 * Bodies are kept as they came (still compressed). All bodies of a loop together have a budget: above
 * it transfers are paused, except one, so that something always ends.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_FETCH_H
#define DROVER_FETCH_H

#include <curl/curl.h>

#include "common/buf.h"
#include "common/err.h"

struct guard;
struct jar;
struct scrape_config;
struct scrape_spec;
struct trust;

enum {
    FETCH_HEAD_BYTES_MAX = 64 * 1024, /* of an answer's header lines */
    FETCH_IDLE_MAX = 512,             /* handles kept for later */
    FETCH_BODY_KEPT_BYTES = 32 * 1024 /* a body buffer above it is not kept */
};

enum fetch_class {
    FETCH_ANSWER,     /* a whole answer, with a status */
    FETCH_PERMANENT,  /* would fail again */
    FETCH_TRANSIENT,  /* may succeed later */
    FETCH_UNREACHABLE /* transient, and the host as a whole could not be reached */
};

struct fetch_request {
    const char *url; /* canonical */
    const struct scrape_spec *spec;
    struct jar *jar;
    const struct curl_slist *extra_headers; /* only for this request; NULL: none */
    size_t body_max_bytes;
    bool guest;    /* another host than the task's: no credentials */
    bool any_type; /* do not look at Content-Type */
    bool cut;      /* a longer body is cut at the limit instead of refused (robots.txt) */
};

struct fetch {
    CURL *easy;
    struct fetcher *owner;
    void (*ended)(void *user); /* set with user after fetch_start; called by the loop */
    void *user;
    struct fetch *next;
    struct fetch *paused_prev, *paused_next;
    uint64_t setup;           /* what the handle was last set up for */
    struct curl_slist *extra; /* all headers of a request that has some of its own; owned */
    struct curl_slist *usual; /* with extra: what the handle goes back to; the jar's */

    /* the request */
    const struct scrape_spec *spec;
    size_t body_max_bytes;
    bool any_type, cut, trusted_proxy;

    /* the answer */
    struct buf head;      /* header lines of the last response, without the status line */
    struct buf body;      /* not decoded */
    size_t counted_bytes; /* of body, in the owner's total */
    bool paused, decided, drop_body, no_files;
    uint32_t sockets_opened, sockets_blocked;
    size_t set_cookie_bytes;
    const char *stop; /* static reason why a callback ended it */
    char error[CURL_ERROR_SIZE];

    /* valid in the callback */
    enum fetch_class class;
    const char *reason; /* static; NULL with FETCH_ANSWER */
    int status;
    uint32_t latency_ms;
    uint32_t total_ms;
    uint64_t wire_bytes; /* of the body, as it came */
};

struct fetcher {
    CURLM *multi;
    const struct guard *guard;
    struct trust *trust;
    const char *user_agent, *proxy;
    long buffer_bytes;
    bool many_hosts; /* names are kept for a short time only: curl walks all of them at each end */
    struct fetch *idle;
    size_t n_idle, n_active;
    size_t body_bytes, body_bytes_max;
    struct fetch *paused, *paused_last; /* the longest paused first */
    struct fetch *privileged;           /* goes on above the budget */
    /* Told of each socket that curl opens and closes. */
    void (*socket_opened)(void *user, int fd);
    void (*socket_closed)(void *user, int fd);
    void *socket_user;
};

int fetcher_init(struct fetcher *fr, const struct scrape_config *config, CURLM *multi,
                 const struct guard *guard, const char *user_agent, struct error *e) MUST_CHECK;
/* When nothing is under way any more: done before the multi handle is cleaned up, free_trust after. */
void fetcher_done(struct fetcher *fr);
void fetcher_free_trust(struct fetcher *fr);

/* Starts it. NULL: no memory. */
struct fetch *fetch_start(struct fetcher *fr, const struct fetch_request *rq) MUST_CHECK;

/* curl says that it ended: fills in the result. The loop then calls ended, which releases it. */
void fetch_ended(struct fetch *f, CURLcode code);
/* Gives the handle back, ending what is under way. */
void fetch_release(struct fetch *f);

/* Lets paused transfers go on as far as the budget allows. Not from inside a callback of curl. */
void fetcher_resume(struct fetcher *fr);
bool fetcher_has_room(const struct fetcher *fr);

/* For jar_put: takes idle handles off the jar. */
void fetcher_forget_jar(void *fetcher, const struct jar *jar);

/* The value of a header of the answer, trimmed; the last one when it stands there more than once.
 * False: not there. */
bool fetch_header(const struct fetch *f, const char *name, struct span *ret);

/* Walks the header lines: *at begins at 0. False: no more. */
bool fetch_next_header(const struct fetch *f, size_t *at, struct span *ret_name,
                       struct span *ret_value);

#endif
