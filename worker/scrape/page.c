#include "page.h"

#include <stdio.h>
#include <time.h>

#include "common/hash.h"
#include "common/reason.h"
#include "decode.h"
#include "extract.h"
#include "guard.h"
#include "hold.h"
#include "host.h"
#include "jar.h"
#include "loop.h"
#include "robots.h"
#include "run.h"
#include "spec.h"
#include "url.h"
#include "validators.h"
#include "worker/output.h"

enum { HEADERS_MAX = 128 /* handed to the extraction */ };

static const struct scrape_http_options *http_of(const struct page *p)
{
    return scrape_spec_http(p->run->task->spec);
}

struct span page_requested(const struct page *p)
{
    return span_str(p->run->task->urls[p->index].url);
}

struct span page_url(const struct page *p)
{
    return p->url ? span_str(p->url) : page_requested(p);
}

bool page_is_guest(const struct page *p)
{
    return p->host != p->run->host;
}

void page_reject(struct page *p, const char *reason, const char *detail)
{
    char text[400];
    if (p->url) { /* say where the redirects led */
        snprintf(text, sizeof text, "%s%sat %s", detail ? detail : "",
                 detail && *detail ? "; " : "", p->url);
        detail = text;
    }
    output_reject(p->run->out, page_requested(p), reason, detail && *detail ? detail : NULL);
    output_leave(p->run->out, p->index);
    run_page_settled(p);
}

/* ---- asking ---- */

static void on_ended(void *user);

/* Headers for this request alone: the validators of an earlier job, or the spec's date. */
static struct curl_slist *conditional_headers(const struct page *p)
{
    const struct scrape_http_options *http = http_of(p);
    struct curl_slist *list = NULL;
    char line[VALIDATOR_BYTES_MAX + 64];
    const struct validator *v = NULL;
    if (http->conditional && p->run->loop->validators)
        v = validators_get(p->run->loop->validators, page_url(p), p->run->task->job_id);
    if (v && v->etag[0]) {
        snprintf(line, sizeof line, "If-None-Match: %s", v->etag);
        list = curl_slist_append(list, line);
    }
    if (v && v->last_modified[0]) {
        snprintf(line, sizeof line, "If-Modified-Since: %s", v->last_modified);
        struct curl_slist *more = curl_slist_append(list, line);
        list = more ? more : list;
    } else if (!v && http->modified_since_s > 0) {
        time_t t = (time_t)http->modified_since_s;
        struct tm tm;
        strftime(line, sizeof line, "If-Modified-Since: %a, %d %b %Y %H:%M:%S GMT",
                 gmtime_r(&t, &tm));
        list = curl_slist_append(list, line);
    }
    return list;
}

void page_start(struct page *p)
{
    struct run *r = p->run;
    struct scrape_loop *l = r->loop;
    const struct scrape_http_options *http = http_of(p);
    if (!guard_allows_host(l->guard, url_host(page_url(p)))) {
        page_reject(
            p, REASON_BLOCKED_ADDRESS,
            "the address is not public; allow_net in the worker's configuration can name it");
        run_check(r);
        return;
    }
    struct curl_slist *extra = conditional_headers(p);
    const struct fetch_request rq = {
        .url = page_url(p).p,
        .spec = r->task->spec,
        .jar = r->jar,
        .extra_headers = extra,
        .body_max_bytes = http->body_max_bytes,
        .guest = page_is_guest(p),
    };
    p->fetch = fetch_start(&l->fetcher, &rq);
    curl_slist_free_all(extra);
    if (!p->fetch) {
        r->no_memory = true;
        run_page_failed(p, REASON_NOMEM, NULL, false);
        run_check(r);
        return;
    }
    p->state = PAGE_ACTIVE;
    p->fetch->ended = on_ended;
    p->fetch->user = p;
    p->tries++;
    r->counts[RUN_REQUESTS]++;
    host_started(p->host, loop_now_ms(), http->delay_ms);
    if (page_is_guest(p))
        p->host->guests_active++;
    else
        r->active++;
}

/* ---- what the answer means ---- */

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool is_retry_status(const struct scrape_http_options *http, int status)
{
    for (size_t i = 0; i < http->n_retry_statuses; i++)
        if (http->retry_statuses[i] == status)
            return true;
    return false;
}

static char status_names[600][12];

static void name_statuses(void)
{
    for (int i = 0; i < (int)ARRAY_LEN(status_names); i++)
        snprintf(status_names[i], sizeof status_names[i], "HTTP_%d", i);
}

const char *page_status_reason(int status)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, name_statuses);
    return status >= 0 && status < (int)ARRAY_LEN(status_names) ? status_names[status]
                                                                : REASON_PROTOCOL;
}

/* The page leaves its host's turn: counts, pacing, and who may go next. */
static void leave_host(struct page *p, uint64_t *ret_retry_after_ms)
{
    struct run *r = p->run;
    struct fetch *f = p->fetch;
    const struct scrape_http_options *http = http_of(p);
    bool answered = f->class == FETCH_ANSWER;
    struct span value;
    uint64_t after_ms = 0;
    if (answered && f->status != 200 && fetch_header(f, "retry-after", &value) &&
        (f->status == 429 || f->status == 503))
        (void)host_retry_after(value, (int64_t)time(NULL), &after_ms);
    enum host_outcome outcome = !answered                              ? HOST_ERROR
                                : f->status == 429 || f->status == 503 ? HOST_OVERLOAD
                                : f->status >= 400                     ? HOST_ERROR
                                                                       : HOST_OK;
    host_finished(p->host, loop_now_ms(), outcome, http->autothrottle, f->latency_ms,
                  MAX(p->host->granted, 1u), after_ms);
    hold_note(r->loop, p->host, f, true);
    if (after_ms > 0)
        p->host->backoff_reason = page_status_reason(f->status);
    if (page_is_guest(p))
        p->host->guests_active--;
    else
        r->active--;
    loop_host_ready(r->loop, p->host);
    r->counts[RUN_BYTES] += (int64_t)f->wire_bytes;
    r->counts[RUN_FETCH_MS] += f->total_ms;
    if (answered && f->status >= 200 && f->status < 600)
        r->counts[RUN_STATUS_2XX + f->status / 100 - 2]++;
    *ret_retry_after_ms = after_ms;
}

/* A failure that may pass: again in a moment, or handed back for a later task. */
static void retry(struct page *p, const char *reason, const char *detail, uint64_t retry_after_ms,
                  bool unreachable)
{
    struct run *r = p->run;
    const struct scrape_http_options *http = http_of(p);
    if (unreachable && !page_is_guest(p) && ++r->unreachable_in_row >= RUN_UNREACHABLE_MAX)
        run_give_up(r, reason, detail, 0, true);
    uint32_t doublings = MIN(p->tries - 1, 10u);
    uint64_t wait_ms =
        MIN((uint64_t)http->retry_backoff_ms << doublings, (uint64_t)http->retry_wait_max_ms);
    /* One that took its whole time already is not asked again while others wait. */
    bool slow = strcmp(reason, REASON_TIMEOUT) == 0 || strcmp(reason, REASON_SLOW) == 0;
    bool quick = wait_ms <= RUN_QUICK_WAIT_MAX_MS && !slow;
    wait_ms = wait_ms / 2 + loop_random(r->loop, (uint32_t)(wait_ms / 2) + 1);
    if (retry_after_ms > 0) {
        wait_ms = retry_after_ms;
        quick = retry_after_ms <= RUN_SHORT_WAIT_MS;
    }
    if (r->gave_up || !quick || p->tries > MIN(http->retry_times, (uint32_t)RUN_QUICK_RETRIES)) {
        run_page_failed(p, reason, detail, unreachable);
        return;
    }
    r->counts[RUN_RETRIES]++;
    p->state = PAGE_WAITING;
    timer_set(&r->loop->timers, &p->timer, loop_now_ms() + wait_ms);
}

void page_retry_due(struct page *p)
{
    struct run *r = p->run;
    run_page_again(p);
    run_check(r);
}

/* ---- redirects ---- */

static bool seen_before(const struct page *p, uint64_t hash)
{
    for (uint32_t i = 0; i < MIN(p->hops, (uint32_t)PAGE_HOPS_KEPT); i++)
        if (p->seen[i] == hash)
            return true;
    return false;
}

static void move_to(struct page *p, struct span url, size_t key_len)
{
    struct run *r = p->run;
    struct host *h = loop_host_get(r->loop, (struct span){url.p, key_len});
    char *copy = strndup(url.p, url.len);
    if (!h || !copy) {
        if (h)
            loop_host_drop(r->loop, h);
        free(copy);
        r->no_memory = true;
        run_page_failed(p, REASON_NOMEM, NULL, false);
        return;
    }
    loop_host_drop(r->loop, p->host);
    free(p->url);
    p->url = copy;
    p->host = h;
    p->tries = 0;
    run_page_again(p);
}

static void redirect(struct page *p, bool sets_cookie, struct span location)
{
    struct run *r = p->run;
    struct scrape_loop *l = r->loop;
    struct span target, canonical;
    size_t key_len = 0;
    struct error e = {0};
    char from[400];
    snprintf(from, sizeof from, "%.*s", (int)MIN(location.len, (size_t)300), location.p);
    if (p->hops >= http_of(p)->redirects_max) {
        page_reject(p, REASON_REDIRECT_LIMIT, from);
        return;
    }
    struct buf absolute = {0};
    bool ok = url_base_set(l->urls, page_url(p)) && url_resolve(l->urls, location, false, &target);
    if (ok)
        buf_append(&absolute, target.p, target.len);
    ok = ok && buf_ok(&absolute) &&
         url_canonical(l->urls, buf_span(&absolute), &canonical, &key_len, &e) == ERR_OK;
    buf_done(&absolute);
    if (!ok) {
        page_reject(p, REASON_PROTOCOL, e.detail[0] ? e.detail : "the redirect leads to no URL");
        return;
    }
    if (!extract_in_scope(l->extract, r->task->spec, page_url(p), canonical)) {
        page_reject(p, REASON_OFF_SCOPE, from);
        return;
    }
    uint64_t here = hash_64(page_url(p).p, page_url(p).len, 0);
    uint64_t there = hash_64(canonical.p, canonical.len, 0);
    /* The way back to a page that just set a cookie is not a loop yet: it may answer now. */
    if ((seen_before(p, there) || here == there) && !sets_cookie) {
        page_reject(p, REASON_REDIRECT_LOOP, from);
        return;
    }
    if (p->hops < PAGE_HOPS_KEPT)
        p->seen[p->hops] = here;
    p->hops++;
    r->counts[RUN_REDIRECTS]++;
    move_to(p, canonical, key_len);
}

/* ---- reading ---- */

static enum decode_result decode(struct page *p, const struct fetch *f, struct span *ret)
{
    struct scrape_loop *l = p->run->loop;
    struct span value, body = buf_span(&f->body);
    size_t limit = http_of(p)->body_max_bytes;
    enum decode_coding coding = DECODE_IDENTITY;
    if (fetch_header(f, "content-encoding", &value))
        coding = decode_coding_of(value);
    if (coding == DECODE_IDENTITY && body.len >= 3 && memcmp(body.p, "\x1f\x8b\x08", 3) == 0)
        coding = DECODE_GZIP; /* a file that is gzip itself: sitemap.xml.gz */
    if (coding == DECODE_IDENTITY || body.len == 0) {
        *ret = body;
        return DECODE_OK;
    }
    enum decode_result result = decode_body(l->decoder, coding, body, limit, &l->decoded);
    *ret = buf_span(&l->decoded);
    return result;
}

static size_t collect_headers(const struct fetch *f, struct extract_header *headers)
{
    size_t n = 0, at = 0;
    while (n < HEADERS_MAX && fetch_next_header(f, &at, &headers[n].name, &headers[n].value))
        n++;
    return n;
}

static int64_t clock_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void extract(struct page *p, const struct fetch *f, struct span body)
{
    struct run *r = p->run;
    const struct robots *rules =
        p->host->robots_state == HOST_ROBOTS_KNOWN ? p->host->robots : NULL;
    struct extract_header headers[HEADERS_MAX];
    struct span sitemaps[ROBOTS_SITEMAPS_MAX];
    struct extract_page page = {
        .url = page_url(p),
        .requested_url = page_requested(p),
        .status = f->status,
        .headers = headers,
        .n_headers = collect_headers(f, headers),
        .fetched_at_us = clock_us(CLOCK_REALTIME),
        .body = body,
        .depth = r->task->urls[p->index].depth,
        .robots_sitemaps = sitemaps,
        .n_robots_sitemaps = rules ? robots_sitemaps(rules) : 0,
    };
    for (size_t i = 0; i < page.n_robots_sitemaps; i++)
        sitemaps[i] = span_str(robots_sitemap(rules, i));
    (void)fetch_header(f, "content-type", &page.content_type);
    int64_t began = clock_us(CLOCK_MONOTONIC);
    if (extract_run(r->loop->extract, r->task->spec, &page, r->out) != ERR_OK)
        r->no_memory = true;
    r->counts[RUN_PARSE_US] += clock_us(CLOCK_MONOTONIC) - began;
    r->counts[RUN_BODY_BYTES] += (int64_t)body.len;
    r->counts[RUN_PAGES]++;
}

static void remember_validators(struct page *p, const struct fetch *f)
{
    struct scrape_loop *l = p->run->loop;
    struct span etag = {0}, modified = {0};
    if (!http_of(p)->conditional || f->status != 200)
        return;
    bool any = fetch_header(f, "etag", &etag);
    any = fetch_header(f, "last-modified", &modified) || any;
    if (any && !l->validators)
        l->validators = validators_new();
    if (any && l->validators)
        validators_put(l->validators, page_url(p), p->run->task->job_id, etag, modified);
}

/* Extracts, unless the task has made enough already; takes back what is too much for a message. */
static void extract_within(struct page *p, const struct fetch *f, struct span body)
{
    struct run *r = p->run;
    if (r->full) {
        run_page_untried(p);
        return;
    }
    const struct output_mark before = output_mark(r->out);
    const size_t bytes_before = output_bytes(r->out);
    extract(p, f, body);
    if (output_bytes(r->out) - bytes_before > RUN_PAGE_OUTPUT_MAX) {
        output_rollback(r->out, &before);
        page_reject(p, REASON_OUTPUT_TOO_LARGE,
                    "the rows and links of this page have more than 10 MiB");
        return;
    }
    if (r->out->n_rejects > before.n_rejects)
        output_leave(r->out, p->index);
    r->full = !r->task->whole && output_bytes(r->out) >= RUN_OUTPUT_ENOUGH_BYTES;
    remember_validators(p, f);
    run_page_settled(p);
}

static void read_page(struct page *p, const struct fetch *f)
{
    struct scrape_loop *l = p->run->loop;
    struct span body;
    switch (decode(p, f, &body)) {
    case DECODE_OK:
        extract_within(p, f, body);
        break;
    case DECODE_TOO_LARGE:
        page_reject(p, REASON_TOO_LARGE, "more than max_bytes after decompression");
        break;
    case DECODE_TRUNCATED:
        page_reject(p, REASON_DECODE, "the compressed body ends in the middle");
        break;
    case DECODE_BAD:
        page_reject(p, REASON_DECODE, "the body is not what Content-Encoding says");
        break;
    case DECODE_NOMEM:
        p->run->no_memory = true;
        run_page_failed(p, REASON_NOMEM, NULL, false);
        break;
    }
    if (l->decoded.cap > FETCH_BODY_KEPT_BYTES * 16)
        buf_done(&l->decoded);
}

static void answered(struct page *p, struct fetch *f, uint64_t retry_after_ms)
{
    struct run *r = p->run;
    struct span location;
    if (!page_is_guest(p))
        r->unreachable_in_row = 0;
    if (is_redirect(f->status) && fetch_header(f, "location", &location)) {
        redirect(p, f->set_cookie_bytes > 0, location);
    } else if (f->status == 304) {
        r->counts[RUN_NOT_MODIFIED]++;
        run_page_settled(p);
    } else if (is_retry_status(http_of(p), f->status)) {
        retry(p, page_status_reason(f->status), NULL, retry_after_ms, false);
    } else if (f->status < 200 || f->status > 299) {
        page_reject(p, page_status_reason(f->status), NULL);
    } else {
        read_page(p, f);
    }
}

static void on_ended(void *user)
{
    struct page *p = user;
    struct run *r = p->run;
    struct fetch *f = p->fetch;
    uint64_t retry_after_ms;
    leave_host(p, &retry_after_ms);
    p->fetch = NULL;
    if (r->jar->cookies && f->set_cookie_bytes > 0 && jar_count(r->jar, f->set_cookie_bytes))
        jar_trim(r->jar, f->easy);
    if (f->class == FETCH_ANSWER)
        answered(p, f, retry_after_ms);
    else if (f->class == FETCH_PERMANENT)
        page_reject(p, f->reason, f->error);
    else
        retry(p, f->reason, f->error, 0, f->class == FETCH_UNREACHABLE);
    fetch_release(f);
    run_check(r);
}
