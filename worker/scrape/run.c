#include "run.h"

#include <stdio.h>

#include "common/reason.h"
#include "jar.h"
#include "loop.h"
#include "page.h"
#include "robots.h"
#include "robots_fetch.h"
#include "spec.h"
#include "url.h"
#include "worker/output.h"

static const char *const count_names[RUN_COUNTS] = {
    [RUN_REQUESTS] = "requests",
    [RUN_BYTES] = "bytes",
    [RUN_BODY_BYTES] = "body_bytes",
    [RUN_PAGES] = "pages",
    [RUN_STATUS_2XX] = "status_2xx",
    [RUN_STATUS_3XX] = "status_3xx",
    [RUN_STATUS_4XX] = "status_4xx",
    [RUN_STATUS_5XX] = "status_5xx",
    [RUN_REDIRECTS] = "redirects",
    [RUN_RETRIES] = "retries",
    [RUN_ROBOTS_REQUESTS] = "robots_requests",
    [RUN_ROBOTS_DENIED] = "robots_denied",
    [RUN_NOT_MODIFIED] = "not_modified",
    [RUN_FETCH_MS] = "fetch_ms",
    [RUN_PARSE_US] = "parse_us",
};

static const struct scrape_http_options *http_of(const struct run *r)
{
    return scrape_spec_http(r->task->spec);
}

static struct span task_url(const struct run *r, size_t i)
{
    return span_str(r->task->urls[i].url);
}

/* ---- pages of a run ---- */

static struct page *page_new(struct run *r, size_t index)
{
    struct scrape_loop *l = r->loop;
    struct page *p = l->spare_pages;
    if (p)
        l->spare_pages = p->next;
    else if (!(p = malloc(sizeof *p)))
        return NULL;
    *p = (struct page){.run = r, .index = index, .host = r->host, .next = r->pages};
    p->timer.kind = LOOP_TIMER_PAGE;
    if (r->pages)
        r->pages->prev = p;
    r->pages = p;
    r->n_pages++;
    r->host->users++;
    return p;
}

/* Takes it out of what is not settled, and off its host. */
static void unlink_page(struct page *p)
{
    struct run *r = p->run;
    *(p->prev ? &p->prev->next : &r->pages) = p->next;
    if (p->next)
        p->next->prev = p->prev;
    p->prev = p->next = NULL;
    r->n_pages--;
    timer_cancel(&r->loop->timers, &p->timer);
    loop_host_drop(r->loop, p->host);
    p->host = NULL;
}

static void page_free(struct scrape_loop *l, struct page *p)
{
    free(p->url);
    free(p->detail);
    p->url = p->detail = NULL;
    p->next = l->spare_pages;
    l->spare_pages = p;
}

void run_page_settled(struct page *p)
{
    struct run *r = p->run;
    unlink_page(p);
    page_free(r->loop, p);
    r->n_settled++;
    r->unreachable_in_row = 0;
}

void run_page_untried(struct page *p)
{
    struct run *r = p->run;
    output_retry(r->out, page_requested(p), r->task->urls[p->index].depth, NULL, NULL);
    output_leave(r->out, p->index);
    run_page_settled(p);
}

void run_page_failed(struct page *p, const char *reason, const char *detail, bool unreachable)
{
    struct run *r = p->run;
    unlink_page(p);
    p->state = PAGE_FAILED;
    p->reason = reason;
    p->detail = detail && *detail ? strdup(detail) : NULL;
    p->next = r->failed;
    r->failed = p;
    r->n_unreachable += unreachable;
}

static void todo_append(struct run *r, struct page *p)
{
    p->state = PAGE_TODO;
    p->queue_next = NULL;
    *(r->todo ? &r->todo_last->queue_next : &r->todo) = p;
    r->todo_last = p;
}

static struct page *todo_pop(struct run *r)
{
    struct page *p = r->todo;
    r->todo = p->queue_next;
    p->queue_next = NULL;
    return p;
}

static void guest_append(struct host *h, struct page *p)
{
    p->state = PAGE_GUEST;
    p->queue_next = NULL;
    *(h->guests ? &h->guests_tail->queue_next : &h->guests) = p;
    h->guests_tail = p;
}

static struct page *guest_pop(struct host *h)
{
    struct page *p = h->guests;
    h->guests = p->queue_next;
    p->queue_next = NULL;
    return p;
}

/* A page whose task has given up: failed, or untried when that is what it is. */
static void give_up_page(struct page *p)
{
    const struct run *r = p->run;
    if (r->held && p->tries == 0 && !p->url)
        run_page_untried(p);
    else
        run_page_failed(p, r->gave_up, r->gave_up_detail, r->host_down);
}

void run_page_again(struct page *p)
{
    struct run *r = p->run;
    if (r->gave_up && !page_is_guest(p)) {
        give_up_page(p);
        return;
    }
    if (page_is_guest(p))
        guest_append(p->host, p);
    else
        todo_append(r, p);
    loop_host_ready(r->loop, p->host);
}

/* ---- beginning and end ---- */

static void ring_insert(struct run *r)
{
    struct host *h = r->host;
    h->granted += MAX(r->task->grant, 1u);
    if (!h->runs) {
        r->ring_prev = r->ring_next = r;
        h->runs = r;
        return;
    }
    r->ring_next = h->runs; /* the last to be served */
    r->ring_prev = h->runs->ring_prev;
    r->ring_prev->ring_next = r;
    r->ring_next->ring_prev = r;
}

static void ring_remove(struct run *r)
{
    struct host *h = r->host;
    h->granted -= MAX(r->task->grant, 1u);
    r->ring_prev->ring_next = r->ring_next;
    r->ring_next->ring_prev = r->ring_prev;
    if (h->runs == r)
        h->runs = r->ring_next == r ? NULL : r->ring_next;
}

/* An output for a task of which nothing else can be made; without memory for that, the process
 * cannot go on. */
static struct output *empty_output(enum err error, const char *reason)
{
    struct output *out = output_new(batch_new());
    if (!out)
        abort();
    out->error = (int)error;
    out->error_reason = reason;
    return out;
}

static struct span key_of(const struct scrape_task *task)
{
    if (task->n_urls == 0)
        return SPAN("");
    return (struct span){task->urls[0].url, url_key_len(span_str(task->urls[0].url))};
}

void run_add(struct scrape_loop *l, struct scrape_task *task)
{
    struct run *r = calloc(1, sizeof *r);
    if (!r || !(r->out = output_new(scrape_spec_batch(task->spec))) ||
        !(r->jar = jar_get(&l->jars, task->job_id, task->spec)) ||
        !(r->host = loop_host_get(l, key_of(task)))) {
        if (r && r->jar)
            jar_put(&l->jars, r->jar, fetcher_forget_jar, &l->fetcher);
        if (r)
            output_free(r->out);
        free(r);
        task->done(task, empty_output(ERR_NOMEM, REASON_NOMEM));
        return;
    }
    r->task = task;
    r->loop = l;
    r->next = l->runs;
    if (l->runs)
        l->runs->prev = r;
    l->runs = r;
    ring_insert(r);
    loop_host_ready(l, r->host);
    run_check(r); /* a task without URLs is done at once */
}

/* Frees everything but the task and the output, which are returned through done. */
static void run_end(struct run *r)
{
    struct scrape_loop *l = r->loop;
    struct scrape_task *task = r->task;
    struct output *out = r->out;
    robots_fetch_abort(r);
    ring_remove(r);
    while (r->failed) {
        struct page *p = r->failed;
        r->failed = p->next;
        page_free(l, p);
    }
    *(r->prev ? &r->prev->next : &l->runs) = r->next;
    if (r->next)
        r->next->prev = r->prev;
    jar_put(&l->jars, r->jar, fetcher_forget_jar, &l->fetcher);
    if (r->host->users > 1)
        loop_host_ready(l, r->host); /* others may have waited for this one */
    loop_host_drop(l, r->host);
    free(r);
    task->done(task, out);
}

static void put_counts(struct run *r)
{
    for (size_t i = 0; i < RUN_COUNTS; i++)
        if (r->counts[i] != 0)
            output_stat(r->out, count_names[i], r->counts[i]);
    if (r->host->crawl_delay_ms > 0 && http_of(r)->robots)
        r->out->key_delay_ms = r->host->crawl_delay_ms;
    r->out->key_backoff_ms = r->backoff_ms;
}

/* Failures that may pass become retries, or the failure of the whole when nothing else happened. What
 * was never asked for goes on in another task without using an attempt. */
static void put_failures(struct run *r)
{
    struct output *out = r->out;
    size_t n_failed = 0;
    for (const struct page *p = r->failed; p; p = p->next)
        n_failed++;
    bool down = r->host_down || (!r->held && n_failed > 0 && n_failed == r->n_unreachable);
    if (r->held && n_failed == 0 && r->n_settled == 0) { /* it goes back as it came */
        out->error = ERR_STALE;
        out->error_reason = r->gave_up;
        snprintf(out->error_detail, sizeof out->error_detail, "%s: %s", r->host->key,
                 r->gave_up_detail);
        return;
    }
    if (down && r->n_settled == 0) {
        const struct page *p = r->failed;
        const char *detail = p && p->detail ? p->detail : r->gave_up_detail;
        out->error = ERR_UNAVAILABLE;
        out->error_reason = p ? p->reason : r->gave_up;
        snprintf(out->error_detail, sizeof out->error_detail, "%s: %s", r->host->key, detail);
        return;
    }
    for (const struct page *p = r->failed; p; p = p->next) {
        output_retry(out, page_requested(p), r->task->urls[p->index].depth, p->reason, p->detail);
        output_leave(out, p->index);
    }
    for (size_t i = r->url_next; i < r->task->n_urls; i++) {
        output_retry(out, task_url(r, i), r->task->urls[i].depth, NULL, NULL);
        output_leave(out, i);
    }
}

static bool more_to_start(const struct run *r)
{
    return r->url_next < r->task->n_urls && !r->gave_up && !r->full;
}

void run_check(struct run *r)
{
    if (r->n_pages > 0 || more_to_start(r))
        return;
    put_counts(r);
    put_failures(r);
    r->out->n_input_rejects = r->out->n_rejects;
    if (r->no_memory || r->out->failed || !batch_ok(r->out->rows)) {
        r->out->error = ERR_NOMEM;
        r->out->error_reason = REASON_NOMEM;
    }
    run_end(r);
}

/* Ends the request of an ACTIVE page. It told the host nothing: neither good nor bad. */
static void cut(struct page *p)
{
    struct run *r = p->run;
    p->host->active--;
    if (page_is_guest(p))
        p->host->guests_active--;
    else
        r->active--;
    fetch_release(TAKE_PTR(p->fetch));
    loop_host_ready(r->loop, p->host);
}

void run_cut_all(struct scrape_loop *l)
{
    for (struct run *r = l->runs, *next_run; r; r = next_run) {
        next_run = r->next;
        robots_fetch_abort(r);
        for (struct page *p = r->pages, *next; p; p = next) {
            next = p->next;
            if (p->state != PAGE_ACTIVE)
                continue;
            cut(p);
            p->tries--;
            run_page_again(p);
        }
        run_check(r);
    }
}

void run_abort(struct run *r, enum err error, const char *reason)
{
    struct scrape_loop *l = r->loop;
    for (struct page *p = r->pages; p; p = p->next) {
        if (p->state == PAGE_ACTIVE) {
            cut(p);
        } else if (p->state == PAGE_GUEST) {
            struct page **at = &p->host->guests;
            struct page *last = NULL;
            while (*at != p) {
                last = *at;
                at = &(*at)->queue_next;
            }
            *at = p->queue_next;
            if (p->host->guests_tail == p)
                p->host->guests_tail = last;
        }
    }
    while (r->pages) {
        struct page *p = r->pages;
        unlink_page(p);
        page_free(l, p);
    }
    output_free(r->out);
    r->out = empty_output(error, reason);
    run_end(r);
}

void run_give_up(struct run *r, const char *reason, const char *detail, uint64_t backoff_ms,
                 bool host_down)
{
    uint64_t most = MAX(http_of(r)->retry_wait_max_ms, (uint32_t)RUN_SHORT_WAIT_MS);
    uint64_t backoff = MIN(backoff_ms, most);
    r->backoff_ms = MAX(r->backoff_ms, (uint32_t)backoff);
    if (r->gave_up)
        return;
    r->gave_up = reason;
    r->host_down = host_down;
    snprintf(r->gave_up_detail, sizeof r->gave_up_detail, "%s", detail ? detail : "");
    while (r->todo)
        give_up_page(todo_pop(r));
    for (struct page *p = r->pages, *next; p; p = next) {
        next = p->next;
        if (p->state == PAGE_WAITING && !page_is_guest(p))
            give_up_page(p);
    }
}

/* ---- turns ---- */

bool run_has_room(const struct scrape_loop *l)
{
    return !l->frozen && !l->stopping && l->fetcher.n_active < l->connections_max &&
           fetcher_has_room(&l->fetcher) && !loop_lease_over(l);
}

static bool wants_turn(const struct run *r)
{
    return r->active < MAX(r->task->grant, 1u) && (r->todo || more_to_start(r));
}

/* The next task of the host with something to start; the one after it is served next time. */
static struct run *next_run(struct host *h)
{
    struct run *r = h->runs;
    if (!r)
        return NULL;
    do {
        if (wants_turn(r)) {
            h->runs = r->ring_next;
            return r;
        }
        r = r->ring_next;
    } while (r != h->runs);
    return NULL;
}

/* Why a host is given up, beside the reason. */
enum {
    GIVE_UP_ROBOTS = 1, /* only what goes by robots.txt */
    GIVE_UP_DOWN = 2,   /* the host as a whole cannot be had */
    GIVE_UP_HELD = 4    /* a breaker's doing */
};

/* What the task gets when its host must be left alone for longer than a short wait. */
static void give_up_all(struct host *h, const char *reason, const char *detail, uint64_t backoff_ms,
                        unsigned how)
{
    while (h->guests) {
        struct page *p = guest_pop(h);
        struct run *r = p->run;
        run_page_failed(p, reason, detail, false);
        run_check(r);
    }
    /* A run that ends leaves the ring; one that stays has nothing left to start. */
    for (bool again = true; again;) {
        again = false;
        struct run *first = h->runs, *r = first;
        while (r) {
            if (!r->gave_up && (!(how & GIVE_UP_ROBOTS) || http_of(r)->robots)) {
                r->held = how & GIVE_UP_HELD;
                run_give_up(r, reason, detail, backoff_ms, how & GIVE_UP_DOWN);
                run_check(r);
                again = true;
                break;
            }
            r = r->ring_next == first ? NULL : r->ring_next;
        }
    }
}

void run_hold_all(struct host *h, const char *reason, const char *detail)
{
    give_up_all(h, reason, detail, 0, GIVE_UP_HELD);
}

/* The page's path against the host's rules. False: it was refused. */
static bool robots_pass(struct page *p)
{
    struct host *h = p->host;
    if (!http_of(p->run)->robots || robots_allowed(h->robots, url_path_and_query(page_url(p))))
        return true;
    p->run->counts[RUN_ROBOTS_DENIED]++;
    struct run *r = p->run;
    page_reject(p, REASON_ROBOTS, "robots.txt disallows it");
    run_check(r);
    return false;
}

static struct page *take_page(struct run *r)
{
    if (r->todo)
        return todo_pop(r);
    struct page *p = page_new(r, r->url_next);
    if (p)
        r->url_next++;
    return p;
}

enum turn { TURN_STARTED, TURN_AGAIN, TURN_WAIT };

/* One request of this host, if one may start. */
static enum turn host_turn(struct scrape_loop *l, struct host *h)
{
    uint64_t now_ms = loop_now_ms(), start_ms = host_next_start_ms(h);
    if (h->told == SCRAPE_HOST_HELD)
        run_hold_all(h, h->fail_reason ? h->fail_reason : REASON_CLOSED, RUN_HELD_DETAIL);
    if (h->backoff_until_ms > now_ms + RUN_SHORT_WAIT_MS)
        give_up_all(h, h->backoff_reason, "the host asked to wait (Retry-After)",
                    h->backoff_until_ms - now_ms, 0);
    bool guest = h->guests && h->guests_active == 0;
    struct run *r = guest ? h->guests->run : next_run(h);
    if (!r || h->active >= host_limit(h, UINT32_MAX))
        return TURN_WAIT;
    if (start_ms > now_ms) {
        timer_set(&l->timers, &h->timer, start_ms);
        return TURN_WAIT;
    }
    if (http_of(r)->robots) {
        if (!robots_fetch_known(r, h, now_ms)) {
            if (h->robots_state != HOST_ROBOTS_ASKED)
                robots_fetch_start(r, h);
            return TURN_WAIT;
        }
        if (h->robots_error) {
            give_up_all(h, h->robots_error,
                        "robots.txt could not be had, so nothing is allowed yet",
                        h->robots_until_ms - now_ms, GIVE_UP_ROBOTS | GIVE_UP_DOWN);
            return TURN_AGAIN;
        }
    }
    struct page *p = guest ? guest_pop(h) : take_page(r);
    if (!p) {
        r->no_memory = true;
        run_give_up(r, REASON_NOMEM, "", 0, false);
        run_check(r);
        return TURN_AGAIN;
    }
    if (!robots_pass(p))
        return TURN_AGAIN;
    page_start(p);
    return TURN_STARTED;
}

void run_pump(struct scrape_loop *l)
{
    l->fetcher.many_hosts = l->hosts.n - l->hosts.n_idle > RUN_MANY_HOSTS;
    while (l->ready_first && run_has_room(l)) {
        struct host *h = l->ready_first;
        l->ready_first = h->ready_next;
        if (!l->ready_first)
            l->ready_last = NULL;
        h->ready_next = NULL;
        h->ready = false;
        h->users++; /* it must not go away under us */
        unsigned started = 0;
        enum turn turn = TURN_AGAIN;
        while (turn != TURN_WAIT && started < RUN_BURST && run_has_room(l)) {
            turn = host_turn(l, h);
            started += turn == TURN_STARTED;
        }
        if (turn != TURN_WAIT)
            loop_host_ready(l, h);
        loop_host_drop(l, h);
    }
}
