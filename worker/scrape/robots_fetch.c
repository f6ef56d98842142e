#include "robots_fetch.h"

#include <stdio.h>
#include <time.h>

#include "common/hash.h"
#include "common/reason.h"
#include "decode.h"
#include "guard.h"
#include "hold.h"
#include "host.h"
#include "jar.h"
#include "loop.h"
#include "robots.h"
#include "run.h"
#include "spec.h"
#include "url.h"

enum {
    HOPS_MAX = 5,  /* RFC 9309, 2.3.1.2 */
    TRIES_MAX = 2, /* of one URL, when no answer comes */
    DOWN_MS = 1000 /* a host that could not be reached is asked again after this */
};

struct robots_fetch {
    struct robots_fetch *prev, *next; /* of the loop */
    struct run *run;
    struct host *host; /* whose rules they will be; one of its users */
    char *url;
    struct fetch *fetch;
    uint32_t hops, tries;
    uint64_t started_ms;
};

static struct span token_of(const struct run *r)
{
    const struct scrape_http_options *http = scrape_spec_http(r->task->spec);
    return robots_token(span_str(http->user_agent ? http->user_agent : r->loop->user_agent));
}

static uint64_t token_hash(const struct run *r)
{
    struct span token = token_of(r);
    return hash_64(token.p, token.len, 2);
}

bool robots_fetch_known(const struct run *r, const struct host *h, uint64_t now_ms)
{
    return h->robots_state == HOST_ROBOTS_KNOWN && now_ms < h->robots_until_ms &&
           h->robots_token == token_hash(r);
}

static void rf_free(struct robots_fetch *rf)
{
    struct scrape_loop *l = rf->run->loop;
    *(rf->prev ? &rf->prev->next : &l->robots_fetches) = rf->next;
    if (rf->next)
        rf->next->prev = rf->prev;
    if (rf->fetch)
        fetch_release(rf->fetch);
    loop_host_ready(l, rf->host);
    loop_host_drop(l, rf->host);
    free(rf->url);
    free(rf);
}

/* Sets the rules and ends. r_take NULL: no memory. */
static void settle(struct robots_fetch *rf, struct robots *r_take, uint32_t fresh_ms,
                   const char *error)
{
    struct host *h = rf->host;
    struct run *r = rf->run;
    uint64_t now_ms = loop_now_ms();
    h->robots_state = HOST_ROBOTS_UNKNOWN;
    if (r_take) {
        h->robots_token = token_hash(r);
        host_set_robots(h, r_take, now_ms + fresh_ms, error);
        h->next_ms = MAX(h->next_ms, rf->started_ms + h->crawl_delay_ms);
    }
    rf_free(rf);
    if (!r_take) {
        r->no_memory = true;
        run_give_up(r, REASON_NOMEM, NULL, 0, false);
        run_check(r);
    }
}

static void ask(struct robots_fetch *rf);

static bool follow(struct robots_fetch *rf)
{
    struct scrape_loop *l = rf->run->loop;
    struct span location, target, canonical;
    size_t key_len;
    struct buf copy = {0};
    bool ok = rf->hops < HOPS_MAX && fetch_header(rf->fetch, "location", &location) &&
              url_base_set(l->urls, span_str(rf->url)) &&
              url_resolve(l->urls, location, false, &target);
    if (ok)
        buf_append(&copy, target.p, target.len);
    ok = ok && buf_ok(&copy) &&
         url_canonical(l->urls, buf_span(&copy), &canonical, &key_len, NULL) == ERR_OK;
    char *url = ok ? strndup(canonical.p, canonical.len) : NULL;
    buf_done(&copy);
    if (!url || !guard_allows_host(l->guard, url_host(span_str(url)))) {
        free(url);
        return false;
    }
    free(rf->url);
    rf->url = url;
    rf->hops++;
    rf->tries = 0;
    return true;
}

static void read_rules(struct robots_fetch *rf, const struct fetch *f)
{
    struct scrape_loop *l = rf->run->loop;
    struct span value, text = buf_span(&f->body);
    enum decode_coding coding = DECODE_IDENTITY;
    if (fetch_header(f, "content-encoding", &value))
        coding = decode_coding_of(value);
    if (coding != DECODE_IDENTITY && text.len > 0) {
        /* What came out before a limit or an error is read, like a file that is cut. */
        if (decode_body(l->decoder, coding, text, ROBOTS_BYTES_MAX, &l->decoded) == DECODE_NOMEM) {
            settle(rf, NULL, 0, NULL);
            return;
        }
        text = buf_span(&l->decoded);
    }
    settle(rf, robots_parse(text, token_of(rf->run)), HOST_ROBOTS_FRESH_MS, NULL);
}

static void failed(struct robots_fetch *rf, const struct fetch *f)
{
    static const char *const page_reasons[] = {REASON_TLS, REASON_BLOCKED_ADDRESS};
    if (f->class == FETCH_PERMANENT) {
        /* The pages fail for the same reason: let each say so. */
        for (size_t i = 0; i < ARRAY_LEN(page_reasons); i++) {
            if (strcmp(f->reason, page_reasons[i]) == 0) {
                settle(rf, robots_all(true), HOST_ROBOTS_ERROR_MS, NULL);
                return;
            }
        }
        settle(rf, robots_all(false), HOST_ROBOTS_ERROR_MS, REASON_ROBOTS_UNAVAILABLE);
    } else if (rf->tries < TRIES_MAX) {
        fetch_release(TAKE_PTR(rf->fetch));
        ask(rf);
    } else {
        settle(rf, robots_all(false), DOWN_MS, f->reason);
    }
}

static void on_ended(void *user)
{
    struct robots_fetch *rf = user;
    struct fetch *f = rf->fetch;
    struct span value;
    uint64_t after_ms = 0;
    host_finished(rf->host, loop_now_ms(), HOST_OK, false, f->latency_ms, 1, 0);
    hold_note(rf->run->loop, rf->host, f, false);
    rf->run->counts[RUN_BYTES] += (int64_t)f->wire_bytes;
    if (f->class != FETCH_ANSWER) {
        failed(rf, f);
    } else if (f->status >= 500 || f->status == 429) {
        if (fetch_header(f, "retry-after", &value))
            (void)host_retry_after(value, (int64_t)time(NULL), &after_ms);
        settle(rf, robots_all(false),
               (uint32_t)MIN(MAX(after_ms, (uint64_t)1000), (uint64_t)HOST_ROBOTS_ERROR_MS),
               REASON_ROBOTS_UNAVAILABLE);
    } else if (f->status >= 300 && f->status < 400 && follow(rf)) {
        fetch_release(TAKE_PTR(rf->fetch));
        ask(rf);
    } else if (f->status >= 300) {
        settle(rf, robots_all(true), HOST_ROBOTS_FRESH_MS, NULL);
    } else {
        read_rules(rf, f);
    }
}

static void ask(struct robots_fetch *rf)
{
    struct run *r = rf->run;
    struct scrape_loop *l = r->loop;
    const struct fetch_request rq = {
        .url = rf->url,
        .spec = r->task->spec,
        .jar = r->jar,
        .body_max_bytes = ROBOTS_BYTES_MAX,
        .guest = rf->host != r->host || rf->hops > 0,
        .any_type = true,
        .cut = true,
    };
    rf->fetch = fetch_start(&l->fetcher, &rq);
    if (!rf->fetch) {
        settle(rf, NULL, 0, NULL);
        return;
    }
    rf->fetch->ended = on_ended;
    rf->fetch->user = rf;
    rf->tries++;
    rf->started_ms = loop_now_ms();
    r->counts[RUN_REQUESTS]++;
    r->counts[RUN_ROBOTS_REQUESTS]++;
    host_started(rf->host, rf->started_ms, scrape_spec_http(r->task->spec)->delay_ms);
}

void robots_fetch_start(struct run *r, struct host *h)
{
    struct scrape_loop *l = r->loop;
    struct robots_fetch *rf = calloc(1, sizeof *rf);
    struct buf url = {0};
    buf_append(&url, h->key, h->key_len);
    buf_str(&url, "/robots.txt");
    char *text = buf_take_str(&url);
    if (!rf || !text) {
        free(rf);
        free(text);
        r->no_memory = true;
        run_give_up(r, REASON_NOMEM, NULL, 0, false);
        run_check(r);
        return;
    }
    *rf = (struct robots_fetch){.run = r, .host = h, .url = text, .next = l->robots_fetches};
    if (l->robots_fetches)
        l->robots_fetches->prev = rf;
    l->robots_fetches = rf;
    h->users++;
    h->robots_state = HOST_ROBOTS_ASKED;
    if (!guard_allows_host(l->guard, url_host(span_str(rf->url))))
        settle(rf, robots_all(true), HOST_ROBOTS_ERROR_MS, NULL); /* the pages are refused */
    else
        ask(rf);
}

void robots_fetch_abort(struct run *r)
{
    struct robots_fetch *next;
    for (struct robots_fetch *rf = r->loop->robots_fetches; rf; rf = next) {
        next = rf->next;
        if (rf->run != r)
            continue;
        if (rf->fetch)
            rf->host->active--;
        rf->host->robots_state = HOST_ROBOTS_UNKNOWN;
        rf_free(rf);
    }
}
