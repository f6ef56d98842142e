#include "loop.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/reason.h"
#include "decode.h"
#include "extract.h"
#include "guard.h"
#include "hold.h"
#include "page.h"
#include "run.h"
#include "url.h"
#include "validators.h"
#include "worker/output.h"

#ifndef DROVER_VERSION
#define DROVER_VERSION "0"
#endif

enum { EVENTS_MAX = 256, CONNECTIONS_DEFAULT = 256, MEMORY_DEFAULT = 64 * 1024 * 1024 };

enum mail_type { MAIL_ADD, MAIL_CANCEL, MAIL_STOP, MAIL_FREEZE, MAIL_TELL };

struct mail {
    struct mail *next;
    enum mail_type type;
    struct scrape_task *task;
    uint64_t task_id;
    bool frozen;
    char *host; /* TELL: owned; NULL: every host */
    enum scrape_host_state host_state;
};

uint64_t loop_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* This clock goes on while the machine sleeps. */
static uint64_t boottime_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool loop_lease_over(const struct scrape_loop *l)
{
    uint64_t end_ms = atomic_load_explicit(&l->lease_end_ms, memory_order_relaxed);
    return end_ms != UINT64_MAX && boottime_ms() >= end_ms;
}

/* xorshift64*, for jitter only. */
uint32_t loop_random(struct scrape_loop *l, uint32_t below)
{
    l->random ^= l->random >> 12;
    l->random ^= l->random << 25;
    l->random ^= l->random >> 27;
    return below ? (uint32_t)((l->random * UINT64_C(0x2545F4914F6CDD1D)) >> 32) % below : 0;
}

/* ---- hosts ---- */

struct host *loop_host_get(struct scrape_loop *l, struct span key)
{
    struct host *h = hosts_get(&l->hosts, key);
    if (!h)
        return NULL;
    h->timer.kind = LOOP_TIMER_HOST;
    h->users++;
    return h;
}

void loop_host_ready(struct scrape_loop *l, struct host *h)
{
    if (h->ready)
        return;
    h->ready = true;
    h->ready_next = NULL;
    *(l->ready_last ? &l->ready_last->ready_next : &l->ready_first) = h;
    l->ready_last = h;
}

void loop_host_drop(struct scrape_loop *l, struct host *h)
{
    assert(h->users > 0);
    if (--h->users > 0)
        return;
    timer_cancel(&l->timers, &h->timer);
    if (!h->ready) /* else the pump lets it go, when it finds nothing to do */
        hosts_release(&l->hosts, h);
}

/* ---- curl's sockets and timer ---- */

static bool watched_grow(struct scrape_loop *l, size_t fd)
{
    size_t n = MAX(l->n_watched * 2, fd + 64);
    uint32_t *watched = realloc(l->watched, n * sizeof *watched);
    if (!watched)
        return false;
    memset(watched + l->n_watched, 0, (n - l->n_watched) * sizeof *watched);
    l->watched = watched;
    l->n_watched = n;
    return true;
}

/* Beside epoll's mask in l->watched. OURS: opened through on_opened, so that its close is known.
 * PARKED: in epoll though curl no longer asks about it, because mostly the next request on the
 * connection comes soon, and leaving it there saves two system calls for each request. */
#define WATCH_OURS (1u << 31)
#define WATCH_PARKED (1u << 30)
#define WATCH_MASK (EPOLLIN | EPOLLOUT)

static void on_opened(void *user, int fd)
{
    struct scrape_loop *l = user;
    if ((size_t)fd < l->n_watched || watched_grow(l, (size_t)fd))
        l->watched[fd] = WATCH_OURS;
}

static void on_closed(void *user, int fd)
{
    struct scrape_loop *l = user;
    if ((size_t)fd < l->n_watched)
        l->watched[fd] = 0; /* the kernel takes a closed descriptor out of epoll */
}

static void unwatch(struct scrape_loop *l, int fd)
{
    epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    l->watched[fd] &= WATCH_OURS;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *unused)
{
    (void)easy;
    (void)unused;
    struct scrape_loop *l = user;
    if ((size_t)fd >= l->n_watched && !watched_grow(l, (size_t)fd))
        return -1;
    uint32_t was = l->watched[fd];
    if (what == CURL_POLL_REMOVE) {
        if (was & WATCH_OURS)
            l->watched[fd] |= WATCH_PARKED;
        else
            unwatch(l, fd); /* of the resolver */
        return 0;
    }
    struct epoll_event ev = {.data.fd = fd};
    ev.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    l->watched[fd] = (was & WATCH_OURS) | ev.events;
    if ((was & WATCH_OURS) && (was & WATCH_MASK) == ev.events)
        return 0;
    if ((was & WATCH_MASK) && epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, fd, &ev) == 0)
        return 0;
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0)
        return 0;
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, fd, &ev);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *user)
{
    (void)multi;
    struct scrape_loop *l = user;
    if (timeout_ms < 0)
        timer_cancel(&l->timers, &l->curl_timer);
    else
        timer_set(&l->timers, &l->curl_timer, loop_now_ms() + (uint64_t)timeout_ms);
    return 0;
}

/* ---- mailbox ---- */

static void wake(struct scrape_loop *l)
{
    uint64_t one = 1;
    while (write(l->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

static void post(struct scrape_loop *l, struct mail mail)
{
    struct mail *m = malloc(sizeof *m);
    if (!m)
        abort(); /* the callers cannot be told, and a lost task would never end */
    *m = mail;
    m->next = NULL;
    pthread_mutex_lock(&l->lock);
    *(l->mail_last ? &l->mail_last->next : &l->mail_first) = m;
    l->mail_last = m;
    pthread_mutex_unlock(&l->lock);
    wake(l);
}

void scrape_loop_add(struct scrape_loop *l, struct scrape_task *task)
{
    post(l, (struct mail){.type = MAIL_ADD, .task = task});
}

void scrape_loop_cancel(struct scrape_loop *l, uint64_t task_id)
{
    post(l, (struct mail){.type = MAIL_CANCEL, .task_id = task_id});
}

void scrape_loop_stop(struct scrape_loop *l)
{
    post(l, (struct mail){.type = MAIL_STOP});
}

void scrape_loop_freeze(struct scrape_loop *l, bool frozen)
{
    post(l, (struct mail){.type = MAIL_FREEZE, .frozen = frozen});
}

void scrape_loop_tell(struct scrape_loop *l, struct span key, enum scrape_host_state state)
{
    char *host = key.p ? strndup(key.p, key.len) : NULL;
    if (host || !key.p) /* without memory the host's tasks find out by themselves */
        post(l, (struct mail){.type = MAIL_TELL, .host = host, .host_state = state});
}

void scrape_loop_lease(struct scrape_loop *l, uint64_t end_ms)
{
    uint64_t before_ms = atomic_exchange(&l->lease_end_ms, end_ms), now_ms = boottime_ms();
    if (before_ms <= now_ms && now_ms < end_ms)
        wake(l); /* it may have waited for this */
}

static void cancel(struct scrape_loop *l, uint64_t task_id)
{
    struct run *r = l->runs;
    while (r && r->task->id != task_id)
        r = r->next;
    if (r)
        run_abort(r, ERR_STALE, REASON_CANCELLED);
}

static void read_mail(struct scrape_loop *l)
{
    pthread_mutex_lock(&l->lock);
    struct mail *m = l->mail_first;
    l->mail_first = l->mail_last = NULL;
    pthread_mutex_unlock(&l->lock);
    while (m) {
        struct mail *next = m->next;
        switch (m->type) {
        case MAIL_ADD:
            run_add(l, m->task);
            break;
        case MAIL_CANCEL:
            cancel(l, m->task_id);
            break;
        case MAIL_STOP:
            l->stopping = true;
            break;
        case MAIL_FREEZE:
            l->frozen = m->frozen;
            break;
        case MAIL_TELL:
            hold_tell(l, span_str(m->host), m->host_state);
            break;
        }
        free(m->host);
        free(m);
        m = next;
    }
}

/* ---- the loop ---- */

static void on_event(struct scrape_loop *l, const struct epoll_event *ev)
{
    int fd = ev->data.fd, running;
    if (fd == l->wake_fd) {
        uint64_t n;
        if (read(fd, &n, sizeof n) > 0)
            read_mail(l);
        return;
    }
    if (l->watched[fd] & WATCH_PARKED) { /* the server closed it, or said something unasked */
        unwatch(l, fd);
        return;
    }
    int what = (ev->events & EPOLLIN ? CURL_CSELECT_IN : 0) |
               (ev->events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
               (ev->events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    curl_multi_socket_action(l->multi, fd, what, &running);
}

static void run_timers(struct scrape_loop *l)
{
    uint64_t now_ms = loop_now_ms();
    struct timer *t;
    int running;
    while ((t = timer_pop(&l->timers, now_ms))) {
        switch ((enum loop_timer)t->kind) {
        case LOOP_TIMER_CURL:
            curl_multi_socket_action(l->multi, CURL_SOCKET_TIMEOUT, 0, &running);
            break;
        case LOOP_TIMER_HOST:
            loop_host_ready(l, CONTAINER_OF(t, struct host, timer));
            break;
        case LOOP_TIMER_PAGE:
            page_retry_due(CONTAINER_OF(t, struct page, timer));
            break;
        }
    }
}

static void take_ended(struct scrape_loop *l)
{
    CURLMsg *msg;
    int left;
    while ((msg = curl_multi_info_read(l->multi, &left))) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURLcode code = msg->data.result; /* msg is gone once the handle is removed */
        struct fetch *f = NULL;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &f);
        fetch_ended(f, code);
        f->ended(f->user);
    }
}

static int timeout_of(const struct scrape_loop *l)
{
    if (l->ready_first && run_has_room(l))
        return 0;
    uint64_t due_ms = timer_next(&l->timers), now_ms = loop_now_ms();
    uint64_t end_ms = atomic_load_explicit(&l->lease_end_ms, memory_order_relaxed);
    if (end_ms != UINT64_MAX && l->fetcher.n_active > 0) { /* what is under way is cut off then */
        uint64_t boot_ms = boottime_ms();
        due_ms = MIN(due_ms, now_ms + (end_ms > boot_ms ? end_ms - boot_ms : 0));
    }
    if (due_ms == UINT64_MAX)
        return -1;
    return due_ms <= now_ms ? 0 : (int)MIN(due_ms - now_ms, (uint64_t)3600 * 1000);
}

void scrape_loop_run(struct scrape_loop *l)
{
    struct epoll_event events[EVENTS_MAX];
    while (!l->stopping) {
        int n = epoll_wait(l->epoll_fd, events, EVENTS_MAX, timeout_of(l));
        if (l->fetcher.n_active > 0 && loop_lease_over(l))
            run_cut_all(l); /* before curl sees what became possible to send */
        for (int i = 0; i < n; i++)
            on_event(l, &events[i]);
        run_timers(l);
        take_ended(l);
        fetcher_resume(&l->fetcher);
        run_pump(l);
    }
}

/* ---- beginning and end ---- */

static int open_fds(struct scrape_loop *l, struct error *e)
{
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = l->wake_fd};
    if (l->epoll_fd < 0 || l->wake_fd < 0 ||
        epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &ev) < 0)
        return error_set(e, ERR_IO, "no event loop: %s", strerror(errno));
    return ERR_OK;
}

static bool set_up_multi(struct scrape_loop *l)
{
    l->multi = curl_multi_init();
    if (!l->multi)
        return false;
    curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
    curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
    curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, (long)l->connections_max);
    return true;
}

static char *copy_or_null(const char *s)
{
    return s ? strdup(s) : NULL;
}

int scrape_loop_new(const struct scrape_config *config, struct scrape_loop **ret, struct error *e)
{
    struct scrape_config c = *config;
    struct scrape_loop *l = calloc(1, sizeof *l);
    if (!l)
        return error_set(e, ERR_NOMEM, "no memory for a scrape loop");
    l->epoll_fd = l->wake_fd = -1;
    atomic_init(&l->lease_end_ms, UINT64_MAX);
    pthread_mutex_init(&l->lock, NULL);
    c.connections_max = c.connections_max ? c.connections_max : CONNECTIONS_DEFAULT;
    c.memory_max_bytes = c.memory_max_bytes ? c.memory_max_bytes : MEMORY_DEFAULT;
    l->connections_max = c.connections_max;
    l->curl_timer.kind = LOOP_TIMER_CURL;
    l->user_agent = strdup(c.user_agent ? c.user_agent : "drover/" DROVER_VERSION);
    l->proxy = copy_or_null(c.proxy);
    c.proxy = l->proxy;
    l->calls = c.calls;
    if (getrandom(&l->random, sizeof l->random, GRND_NONBLOCK) < 0 || l->random == 0)
        l->random = loop_now_ms() | 1;
    int r = open_fds(l, e);
    if (r == ERR_OK)
        r = guard_new(c.allow_nets, &l->guard, e);
    if (r == ERR_OK) {
        l->decoder = decoder_new();
        l->extract = extract_ctx_new();
        l->urls = url_ctx_new();
        if (!l->user_agent || (config->proxy && !l->proxy) || !l->decoder || !l->extract ||
            !l->urls || hosts_init(&l->hosts) != ERR_OK || !set_up_multi(l))
            r = error_set(e, ERR_NOMEM, "no memory for a scrape loop");
    }
    if (r == ERR_OK)
        r = fetcher_init(&l->fetcher, &c, l->multi, l->guard, l->user_agent, e);
    if (r != ERR_OK) {
        scrape_loop_free(l);
        return r;
    }
    l->fetcher.socket_opened = on_opened;
    l->fetcher.socket_closed = on_closed;
    l->fetcher.socket_user = l;
    *ret = l;
    return ERR_OK;
}

void scrape_loop_free(struct scrape_loop *l)
{
    if (!l)
        return;
    read_mail(l); /* tasks that were never looked at are given back too */
    while (l->runs)
        run_abort(l->runs, ERR_STALE, REASON_STOPPED);
    while (l->spare_pages) {
        struct page *p = l->spare_pages;
        l->spare_pages = p->next;
        free(p);
    }
    fetcher_done(&l->fetcher);
    jars_done(&l->jars, fetcher_forget_jar, &l->fetcher);
    if (l->multi)
        curl_multi_cleanup(l->multi);
    fetcher_free_trust(&l->fetcher);
    hosts_done(&l->hosts);
    validators_free(l->validators);
    url_ctx_free(l->urls);
    extract_ctx_free(l->extract);
    decoder_free(l->decoder);
    buf_done(&l->decoded);
    guard_free(l->guard);
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    pthread_mutex_destroy(&l->lock);
    free(l->watched);
    free(l->user_agent);
    free(l->proxy);
    free(l);
}

int scrape_init(struct error *e)
{
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (code != CURLE_OK)
        return error_set(e, ERR_INTERNAL, "libcurl: %s", curl_easy_strerror(code));
    return ERR_OK;
}

void scrape_done(void)
{
    curl_global_cleanup();
}
