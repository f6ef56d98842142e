#include "hold.h"

#include <stdio.h>

#include "calls.h"
#include "common/reason.h"
#include "loop.h"
#include "page.h"
#include "run.h"

enum outcome { SAYS_NOTHING, SUCCESS, FAILURE };

static bool is_ours(const char *reason)
{
    return strcmp(reason, REASON_NOMEM) == 0 || strcmp(reason, REASON_OPEN_FILES) == 0;
}

static enum outcome judge(const struct fetch *f)
{
    switch (f->class) {
    case FETCH_ANSWER:
        return f->status >= 500 || f->status == 429 ? FAILURE : SUCCESS;
    case FETCH_PERMANENT: /* too large, of another type: it did answer */
        return f->status > 0 && f->status < 500 ? SUCCESS : SAYS_NOTHING;
    case FETCH_TRANSIENT:
    case FETCH_UNREACHABLE:
        return is_ours(f->reason) ? SAYS_NOTHING : FAILURE;
    }
    return SAYS_NOTHING;
}

static void failed(struct scrape_loop *l, struct host *h, const struct fetch *f, bool page)
{
    char error[CALLS_ERROR_LEN];
    const uint64_t now_ms = loop_now_ms();
    if (f->class == FETCH_ANSWER)
        snprintf(error, sizeof(error), "HTTP %d", f->status);
    else
        snprintf(error, sizeof(error), "%s: %s", f->reason, f->error);
    calls_failed(l->calls, (struct span){h->key, h->key_len}, error, now_ms);
    h->watched_until_ms = now_ms + CALLS_WATCH_MS;
    h->fail_reason = f->class == FETCH_ANSWER ? page_status_reason(f->status) : f->reason;
    h->failed_in_row++;
    if (!page || (h->failed_in_row < CALLS_IN_A_ROW && h->told != SCRAPE_HOST_PROBE))
        return;
    h->failed_in_row = 0; /* the next task sees for itself */
    run_hold_all(h, h->fail_reason, error);
}

void hold_note(struct scrape_loop *l, struct host *h, const struct fetch *f, bool page)
{
    if (!l->calls)
        return;
    switch (judge(f)) {
    case SUCCESS:
        h->failed_in_row = 0;
        if (h->watched_until_ms > loop_now_ms())
            calls_ok(l->calls, (struct span){h->key, h->key_len}, f->total_ms > CALLS_SLOW_MS);
        break;
    case FAILURE:
        failed(l, h, f, page);
        break;
    case SAYS_NOTHING:
        break;
    }
}

void hold_tell(struct scrape_loop *l, struct span key, enum scrape_host_state state)
{
    if (!key.p) {
        for (size_t i = 0; i < l->hosts.n_slots; i++)
            for (struct host *h = l->hosts.slots[i]; h; h = h->hash_next)
                h->told = state;
        return;
    }
    struct host *h = loop_host_get(l, key);
    if (!h)
        return; /* no memory: the host's tasks find out by themselves */
    h->told = state;
    h->failed_in_row = 0;
    if (state == SCRAPE_HOST_HELD)
        run_hold_all(h, h->fail_reason ? h->fail_reason : REASON_CLOSED, RUN_HELD_DETAIL);
    loop_host_drop(l, h);
}
