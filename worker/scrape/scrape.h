/*
 * scrape.h: the scrape engine, as the runner and the coordinator see it.
 *
 * A scrape_spec is the compiled `{"kind": "scrape", ...}` stage of a job: immutable after
 * compilation and shared by threads. A scrape_loop is one epoll loop with a curl multi handle and a
 * lexbor document of its own; a worker has one per core. Tasks of one host (one key) must all be
 * given to one loop of a worker at a time, so that the host's limits hold inside the process.
 *
 * Thread rule: a loop belongs to the thread that calls scrape_loop_run. Only scrape_loop_add,
 * scrape_loop_cancel, scrape_loop_stop, scrape_loop_freeze, scrape_loop_tell and scrape_loop_lease may be
 * called from other threads.
 */
#ifndef DROVER_SCRAPE_H
#define DROVER_SCRAPE_H

#include <jansson.h>

#include "common/batch.h"
#include "common/err.h"

struct output;
struct scrape_spec;
struct scrape_loop;

/* ---- spec ---- */

/* Compiles and checks the stage. On failure INVALID_SPEC with a detail that begins with the path
 * inside the stage ("extract.products.fields.price.regex, character 5: ..."). */
int scrape_spec_compile(const json_t *stage, struct scrape_spec **ret, struct error *e) MUST_CHECK;
void scrape_spec_free(struct scrape_spec *s);

/* An empty batch with the columns that the spec's rows have. NULL: no memory. */
struct batch *scrape_spec_batch(const struct scrape_spec *s) MUST_CHECK;

bool scrape_spec_follows(const struct scrape_spec *s);       /* a crawl: links are followed */
uint32_t scrape_spec_key_limit(const struct scrape_spec *s); /* concurrent requests a host */
uint32_t scrape_spec_key_delay_ms(const struct scrape_spec *s);
uint32_t scrape_spec_key_use_ms(const struct scrape_spec *s); /* the longest that a request takes */
uint64_t
scrape_spec_pages_max(const struct scrape_spec *s); /* a crawl fetches in all; 0: no limit */

/* ---- urls ---- */

/* The canonical form (WHATWG parse, no fragment, default port removed, empty path "/") of an
 * http(s) URL into out (cleared first), and the length of its "scheme://host[:port]" prefix, which
 * is the key. INVALID_ARGUMENT with a detail for anything else. Thread-safe. */
int scrape_url_canonical(struct span url, struct buf *out, size_t *ret_key_len,
                         struct error *e) MUST_CHECK;

/* ---- fetching ---- */

struct calls;

struct scrape_config {
    const char *user_agent; /* NULL: "drover/VERSION (+contact)" */
    const char *const
        *allow_nets;          /* CIDRs that the SSRF guard lets through; NULL-terminated or NULL */
    const char *ca_file;      /* NULL: the built-in bundle */
    const char *proxy;        /* NULL: none; a job's own proxy must be allowed by allow_proxy */
    uint32_t connections_max; /* live connections of this loop */
    size_t memory_max_bytes;  /* of page bodies in flight in this loop */
    struct calls *calls; /* a fleet's: failing hosts are told of, and left; borrowed; NULL: alone */
};

struct scrape_url {
    char *url; /* canonical */
    uint32_t depth;
};

struct scrape_task {
    uint64_t id; /* the caller's */
    const struct scrape_spec *spec;
    uint64_t job_id;         /* cookies are kept per job */
    uint32_t attempt;        /* from 1 */
    uint32_t grant;          /* concurrent requests that this task may make to its host, from 1 */
    struct scrape_url *urls; /* all of one key */
    size_t n_urls;
    bool whole; /* all URLs or nothing, so that it makes what it makes without stopping early */
    void *user;
    /* Called once on the loop's thread; takes the output. The task may be freed in it. */
    void (*done)(struct scrape_task *task, struct output *output);
};

int scrape_loop_new(const struct scrape_config *config, struct scrape_loop **ret,
                    struct error *e) MUST_CHECK;
void scrape_loop_free(
    struct scrape_loop *l); /* after run returned; unfinished tasks: done with STALE */

/* Runs until scrape_loop_stop; returns after the callbacks of all finished tasks. */
void scrape_loop_run(struct scrape_loop *l);
void scrape_loop_add(struct scrape_loop *l, struct scrape_task *task); /* borrowed until done */
void scrape_loop_cancel(struct scrape_loop *l, uint64_t task_id); /* done follows, error STALE */
void scrape_loop_stop(struct scrape_loop *l);

/* While frozen the loop starts no new request; transfers under way end as usual. */
void scrape_loop_freeze(struct scrape_loop *l, bool frozen);

/* What the coordinator says of a host. */
enum scrape_host_state {
    SCRAPE_HOST_FREE,
    SCRAPE_HOST_PROBE, /* free, and left at the first failure */
    SCRAPE_HOST_HELD   /* nothing is asked: the URLs of its tasks go back, untried */
};
/* key: "https://example.org"; p NULL: every host. */
void scrape_loop_tell(struct scrape_loop *l, struct span key, enum scrape_host_state state);

/* No request begins from end_ms of CLOCK_BOOTTIME on, since another worker may have the hosts then, and
 * transfers that are under way at that time are cut off; their pages are asked for again once the
 * end has been moved. The loop looks at the clock itself, before all else: its process may have
 * been stopped. UINT64_MAX, the state at the beginning: no end. */
void scrape_loop_lease(struct scrape_loop *l, uint64_t end_ms);

/* Process-wide, before the first loop and after the last. */
int scrape_init(struct error *e) MUST_CHECK;
void scrape_done(void);

#endif
