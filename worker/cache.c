#include "cache.h"

#include <stdio.h>

#include "common/log.h"
#include "worker/blob_folder.h"

enum { ENTRY_BUCKETS = 1024, FIRST_BYTES = CACHE_WINDOW_MIN };

enum entry_state { ENTRY_FOUND, ENTRY_VERIFYING, ENTRY_WANTED, ENTRY_HERE, ENTRY_FAILED };

/* COMING is WANTED with its total known. */
struct entry {
    struct blob_name name;
    enum entry_state state;
    uint32_t refs;   /* of needs */
    uint32_t asks;   /* questions without an answer */
    uint32_t writes; /* requests on the disk */
    bool total_known;
    uint64_t bytes;      /* HERE; WANTED: when the total is known */
    uint64_t asked, got; /* WANTED: asked for, and answered, up to there */
    uint64_t best;       /* the farthest that `got` has been */
    uint32_t tries;      /* failures since then */
    uint64_t pause_until_ms;
    struct error error; /* FAILED */
    struct entry *chain;
    struct entry *prev, *next; /* in the list of its kind: unused, or wanted */
    struct entry_list *list;   /* NULL: in none */
};

struct entry_list {
    struct entry *first, *last;
};

struct cache_need {
    struct cache *owner;
    struct blobset set;
    struct cache_need *prev, *next; /* oldest first */
    size_t n;
    struct entry *entries[];
};

struct flight {
    struct blob_name name;
    uint64_t offset, at_ms;
    uint32_t max;
};

struct cache {
    struct cache_config config;
    struct blob_folder folder;
    struct blob_thread *thread; /* NULL: no folder yet */
    struct blob_files *files;   /* the thread's; here files are opened by it */
    struct entry *buckets[ENTRY_BUCKETS];
    struct entry_list unused; /* FOUND and HERE without needs, least recently used first */
    struct entry_list wanted; /* in the order of asking */
    struct cache_need *oldest, *newest;
    uint64_t bytes; /* of all entries whose total is known */
    struct flight flights[CACHE_ASKS_MAX];
    size_t n_flights;
    uint32_t window; /* bytes asked for at a time */
    uint64_t fetched_bytes;
    uint64_t now_ms; /* of the last call that told it */
};

/* One piece on its way to the disk, or another request. */
struct disk {
    struct blob_request request; /* first: what comes back is cast */
    char bytes[];
};

/* ---- entries ---- */

static struct entry **bucket(struct cache *c, const struct blob_name *name)
{
    return &c->buckets[blob_name_hash(name) % ENTRY_BUCKETS];
}

static struct entry *find(struct cache *c, const struct blob_name *name)
{
    struct entry *one = *bucket(c, name);
    while (one && !blob_name_eq(&one->name, name))
        one = one->chain;
    return one;
}

static void list_leave(struct entry *one)
{
    struct entry_list *l = one->list;
    if (!l)
        return;
    *(one->prev ? &one->prev->next : &l->first) = one->next;
    *(one->next ? &one->next->prev : &l->last) = one->prev;
    one->list = NULL;
}

static void list_join(struct entry_list *l, struct entry *one)
{
    list_leave(one);
    one->prev = l->last;
    one->next = NULL;
    *(l->last ? &l->last->next : &l->first) = one;
    l->last = one;
    one->list = l;
}

static struct entry *entry_new(struct cache *c, const struct blob_name *name)
{
    struct entry *one = calloc(1, sizeof(*one));
    if (!one)
        return NULL;
    one->name = *name;
    one->chain = *bucket(c, name);
    *bucket(c, name) = one;
    return one;
}

static void entry_free(struct cache *c, struct entry *one)
{
    struct entry **at = bucket(c, &one->name);
    while (*at != one)
        at = &(*at)->chain;
    *at = one->chain;
    list_leave(one);
    c->bytes -= one->total_known ? one->bytes : 0;
    free(one);
}

static void set_total(struct cache *c, struct entry *one, uint64_t bytes)
{
    c->bytes += bytes - (one->total_known ? one->bytes : 0);
    one->bytes = bytes;
    one->total_known = true;
}

/* Nothing of it is on the disk; it is to be fetched from the beginning. */
static void want(struct cache *c, struct entry *one)
{
    c->bytes -= one->total_known ? one->bytes : 0;
    one->total_known = false;
    one->bytes = one->asked = one->got = 0;
    one->state = ENTRY_WANTED;
    list_join(&c->wanted, one);
}

/* ---- the disk ---- */

static void disk_done(struct blob_request *r, void *user);

static struct disk *disk_new(const struct entry *one, enum blob_do what, size_t n)
{
    struct disk *d = calloc(1, sizeof(*d) + n);
    if (!d)
        return NULL;
    d->request.what = what;
    d->request.name = one->name;
    d->request.done = disk_done;
    return d;
}

static void disk_submit(struct cache *c, struct entry *one, struct disk *d)
{
    one->writes++;
    blob_thread_submit(c->thread, &d->request);
}

/* Nobody needs it, and nothing of it is under way. */
static bool is_idle(const struct entry *one)
{
    return one->refs == 0 && one->asks == 0 && one->writes == 0;
}

static void drop(struct cache *c, struct entry *one)
{
    struct disk *d = disk_new(one, BLOB_REMOVE, 0);
    if (d)
        blob_thread_submit(c->thread, &d->request);
    entry_free(c, one);
}

/* Where it belongs when it lost its last need, or its last request came back. */
static void settle(struct cache *c, struct entry *one)
{
    if (!is_idle(one))
        return;
    if (one->state == ENTRY_HERE || one->state == ENTRY_FOUND)
        list_join(&c->unused, one);
    else if (one->got > 0)
        drop(c, one);
    else
        entry_free(c, one);
}

/* Room for n more bytes, as far as there is something unused. */
static void make_room(struct cache *c, uint64_t n)
{
    while (c->unused.first && c->bytes + n > c->config.bytes_max)
        drop(c, c->unused.first);
}

static void fail(struct entry *one, enum err code, const char *detail)
{
    char text[BLOB_TEXT_LEN + 1];
    one->state = ENTRY_FAILED;
    error_set(&one->error, code, "blob %s: %s", blob_name_text(&one->name, text), detail);
    list_leave(one);
    LOG_WARN("a blob cannot be had", log_err(&one->error));
}

/* After a pause it is tried again, until it has failed too often. */
static void failed_once(struct cache *c, struct entry *one, const char *detail)
{
    if (one->state != ENTRY_WANTED)
        return;
    one->asked = one->got;
    if (++one->tries >= CACHE_TRIES)
        fail(one, ERR_UNAVAILABLE, detail);
    else
        one->pause_until_ms = c->now_ms + ((uint64_t)CACHE_PAUSE_MS << (one->tries - 1));
}

static void put_done(struct cache *c, struct entry *one, const struct blob_request *r)
{
    if (one->state != ENTRY_WANTED)
        return;
    if (r->put.whole) {
        one->state = ENTRY_HERE;
        list_leave(one);
        set_total(c, one, r->put.bytes);
        c->fetched_bytes += r->put.bytes;
        return;
    }
    if (r->put.gone) {
        one->asked = one->got = 0;
        if (r->rc == ERR_STORE_FULL)
            make_room(c, c->config.bytes_max); /* others use the disk, too: nothing unused stays */
        failed_once(c, one, r->rc ? r->error.detail : "it came damaged");
    } else if (r->put.bytes > one->asked) { /* an earlier process had begun with it */
        one->asked = one->got = r->put.bytes;
    }
}

static void verified(struct cache *c, struct entry *one, const struct blob_request *r)
{
    if (r->rc == ERR_OK) {
        one->state = ENTRY_HERE;
        set_total(c, one, r->total);
    } else {
        LOG_WARN("a cached blob is not used", log_err(&r->error));
        want(c, one);
    }
}

static void disk_done(struct blob_request *r, void *user)
{
    struct cache *c = user;
    struct entry *one = r->what == BLOB_REMOVE ? NULL : find(c, &r->name);
    if (one) {
        one->writes--;
        if (r->what == BLOB_PUT)
            put_done(c, one, r);
        else
            verified(c, one, r);
        settle(c, one);
    }
    free(r);
}

/* ---- needs ---- */

/* A file that an earlier process left is hashed before it is used. */
static void verify(struct cache *c, struct entry *one)
{
    struct disk *d = disk_new(one, BLOB_VERIFY, 0);
    list_leave(one);
    if (!d) {
        want(c, one);
        return;
    }
    one->state = ENTRY_VERIFYING;
    disk_submit(c, one, d);
}

static struct entry *entry_need(struct cache *c, const struct blob_name *name)
{
    struct entry *one = find(c, name);
    if (!one && (one = entry_new(c, name)))
        want(c, one);
    if (!one)
        return NULL;
    if (one->state == ENTRY_FAILED && one->refs == 0)
        want(c, one);
    if (one->state == ENTRY_FOUND)
        verify(c, one);
    if (one->list == &c->unused)
        list_leave(one);
    one->refs++;
    return one;
}

static int found(void *user, const struct blob_file *file)
{
    struct cache *c = user;
    if (file->part)
        return ERR_OK; /* gone on with when it is wanted */
    struct entry *one = entry_new(c, &file->name);
    if (!one)
        return ERR_NOMEM;
    one->state = ENTRY_FOUND;
    set_total(c, one, file->bytes);
    list_join(&c->unused, one);
    return ERR_OK;
}

static int open_folder(struct cache *c, struct error *e)
{
    struct blob_files *files;
    if (c->thread)
        return ERR_OK;
    int rc = blob_folder_open(&c->folder, c->config.dir, &files, e);
    if (rc)
        return rc;
    rc = blob_files_walk(files, found, c, e);
    if (rc) {
        blob_files_close(files);
        return rc;
    }
    rc = blob_thread_new(files, &c->thread, e);
    c->files = rc ? NULL : files;
    return rc;
}

int cache_need(struct cache *c, const struct blob_name *names, size_t n, struct cache_need **ret,
               struct error *e)
{
    int rc = open_folder(c, e);
    struct cache_need *need = rc ? NULL : calloc(1, sizeof(*need) + n * sizeof(need->entries[0]));
    if (!need)
        return rc ? rc : error_set(e, ERR_NOMEM, "no memory for the blobs of a task");
    need->owner = c;
    need->prev = c->newest;
    *(c->newest ? &c->newest->next : &c->oldest) = need;
    c->newest = need;
    for (size_t i = 0; i < n; i++) {
        struct entry *one = entry_need(c, &names[i]);
        if (!one) {
            cache_need_free(need);
            return error_set(e, ERR_NOMEM, "no memory for the blobs of a task");
        }
        need->entries[need->n++] = one;
    }
    make_room(c, 0);
    *ret = need;
    return ERR_OK;
}

void cache_need_free(struct cache_need *need)
{
    if (!need)
        return;
    struct cache *c = need->owner;
    blobset_done(&need->set);
    *(need->prev ? &need->prev->next : &c->oldest) = need->next;
    *(need->next ? &need->next->prev : &c->newest) = need->prev;
    for (size_t i = 0; i < need->n; i++) {
        need->entries[i]->refs--;
        settle(c, need->entries[i]);
    }
    make_room(c, 0);
    free(need);
}

enum cache_state cache_need_state(const struct cache_need *need, struct error *ret_error)
{
    enum cache_state state = CACHE_READY;
    for (size_t i = 0; i < need->n; i++) {
        const struct entry *one = need->entries[i];
        if (one->state == ENTRY_FAILED) {
            *ret_error = one->error;
            return CACHE_FAILED;
        }
        if (one->state != ENTRY_HERE)
            state = CACHE_WAITING;
    }
    return state;
}

bool cache_need_open(struct cache_need *need)
{
    struct cache *c = need->owner;
    for (size_t i = 0; i < need->n; i++) {
        struct entry *one = need->entries[i];
        struct error e = {0};
        if (blobset_add(&need->set, c->files, &one->name, &e) == ERR_OK)
            continue;
        LOG_WARN("a cached blob has vanished: it is fetched again", log_err(&e));
        want(c, one);
        return false;
    }
    return true;
}

const struct blobset *cache_need_set(const struct cache_need *need)
{
    return need ? &need->set : NULL;
}

/* ---- the coordinator ---- */

/* Whether the oldest need of all needs it. One that is older and has all of its own ends some time, and
 * gives room. */
static bool is_first(const struct cache *c, const struct entry *one)
{
    const struct cache_need *need = c->oldest;
    for (size_t i = 0; need && i < need->n; i++)
        if (need->entries[i] == one)
            return true;
    return false;
}

static bool may_ask(struct cache *c, struct entry *one)
{
    if (one->refs == 0 || c->now_ms < one->pause_until_ms)
        return false;
    if (!one->total_known) /* one small piece tells how large it is */
        return one->asks == 0;
    if (one->asked >= one->bytes)
        return false;
    make_room(c, 0);
    return c->bytes <= c->config.bytes_max || is_first(c, one);
}

static uint32_t in_flight(const struct cache *c)
{
    uint32_t bytes = 0;
    for (size_t i = 0; i < c->n_flights; i++)
        bytes += c->flights[i].max;
    return bytes;
}

bool cache_ask(struct cache *c, uint64_t now_ms, struct wire_blob_ask *ret)
{
    c->now_ms = now_ms;
    const uint32_t used = in_flight(c);
    if (c->n_flights == CACHE_ASKS_MAX || (used > 0 && used >= c->window) ||
        (c->thread && blob_thread_bytes(c->thread) > CACHE_DISK_BYTES))
        return false;
    for (struct entry *one = c->wanted.first; one; one = one->next) {
        if (!may_ask(c, one))
            continue;
        const uint32_t max =
            one->total_known ? MIN(c->window, (uint32_t)BLOB_CHUNK_BYTES) : (uint32_t)FIRST_BYTES;
        *ret = (struct wire_blob_ask){.what = WIRE_BLOB_FILE,
                                      .name = blob_name_span(&one->name),
                                      .offset = one->asked,
                                      .max = max};
        c->flights[c->n_flights++] = (struct flight){one->name, one->asked, now_ms, max};
        one->asked += max;
        one->asks++;
        return true;
    }
    return false;
}

/* How quickly answers come says how much may be under way. */
static void measure(struct cache *c, uint64_t took_ms, size_t bytes)
{
    const uint32_t max = CACHE_ASKS_MAX * BLOB_CHUNK_BYTES;
    if (took_ms > CACHE_SLOW_MS)
        c->window = MAX(c->window / 2, (uint32_t)CACHE_WINDOW_MIN);
    else if (took_ms < CACHE_QUICK_MS && bytes > 0)
        c->window = MIN(c->window * 2, max);
}

static bool land_flight(struct cache *c, const struct wire_blob_answer *m, struct blob_name *ret)
{
    if (m->what != WIRE_BLOB_FILE || !blob_name_read(m->name, ret))
        return false;
    for (size_t i = 0; i < c->n_flights; i++) {
        const struct flight f = c->flights[i];
        if (f.offset != m->offset || !blob_name_eq(&f.name, ret))
            continue;
        memmove(&c->flights[i], &c->flights[i + 1], (--c->n_flights - i) * sizeof(f));
        measure(c, c->now_ms - f.at_ms, m->data.len);
        return true;
    }
    return false;
}

/* A piece that goes on where the others end is written; another one is asked for again. */
static void take(struct cache *c, struct entry *one, const struct wire_blob_answer *m)
{
    const bool end = m->offset + m->data.len == m->total;
    if ((one->total_known && m->total != one->bytes) || m->total > BLOB_BYTES_MAX ||
        m->data.len > BLOB_CHUNK_BYTES || (m->data.len == 0 && !end)) {
        want(c, one);
        failed_once(c, one, "the coordinator's answer makes no sense");
        return;
    }
    if (!one->total_known)
        set_total(c, one, m->total);
    if (m->offset != one->got)
        return;
    struct disk *d = disk_new(one, BLOB_PUT, m->data.len);
    if (!d) {
        failed_once(c, one, "out of memory");
        return;
    }
    if (m->data.len)
        memcpy(d->bytes, m->data.p, m->data.len);
    d->request.offset = m->offset;
    d->request.total = one->bytes;
    d->request.data = (struct span){d->bytes, m->data.len};
    one->got += m->data.len;
    if (one->got > one->best)
        one->tries = 0;
    one->best = MAX(one->best, one->got);
    disk_submit(c, one, d);
}

void cache_answer(struct cache *c, uint64_t now_ms, const struct wire_blob_answer *m)
{
    struct blob_name name;
    char detail[200];
    c->now_ms = now_ms;
    if (!land_flight(c, m, &name))
        return;
    struct entry *one = find(c, &name);
    one->asks--;
    if (one->state != ENTRY_WANTED) {
        settle(c, one);
        return;
    }
    const struct span why = m->detail.len ? m->detail : span_str(err_text((enum err)m->code));
    snprintf(detail, sizeof(detail), "%.*s", (int)MIN(why.len, sizeof(detail) - 1), why.p);
    if (m->code == ERR_NOT_FOUND)
        fail(one, ERR_NOT_FOUND, "it is gone from the coordinator");
    else if (m->code != ERR_OK)
        failed_once(c, one, detail);
    else
        take(c, one, m);
    if (one->state == ENTRY_WANTED && one->asks == 0)
        one->asked = one->got; /* what was asked for and did not come */
    settle(c, one);
}

void cache_session(struct cache *c)
{
    c->n_flights = 0;
    for (struct entry *one = c->wanted.first, *next; one; one = next) {
        next = one->next;
        one->asks = 0;
        one->asked = one->got;
        settle(c, one);
    }
    for (size_t i = 0; i < ENTRY_BUCKETS; i++)
        for (struct entry *one = c->buckets[i], *next; one; one = next) {
            next = one->chain;
            one->asks = 0;
            if (!one->list)
                settle(c, one);
        }
}

uint64_t cache_deadline(const struct cache *c)
{
    uint64_t due = UINT64_MAX;
    for (const struct entry *one = c->wanted.first; one; one = one->next)
        if (one->pause_until_ms > c->now_ms && one->refs > 0)
            due = MIN(due, one->pause_until_ms);
    return due;
}

/* ---- life ---- */

int cache_new(const struct cache_config *config, struct cache **ret, struct error *e)
{
    struct cache *c = calloc(1, sizeof(*c));
    if (!c)
        return error_set(e, ERR_NOMEM, "no memory for the cache of blobs");
    c->config = *config;
    c->window = CACHE_WINDOW_MIN;
    blob_folder_init(&c->folder);
    int rc = config->dir ? open_folder(c, e) : ERR_OK;
    if (rc)
        cache_free(c);
    else
        *ret = c;
    return rc;
}

void cache_free(struct cache *c)
{
    if (!c)
        return;
    blob_thread_free(c->thread, c);
    for (size_t i = 0; i < ENTRY_BUCKETS; i++)
        while (c->buckets[i])
            entry_free(c, c->buckets[i]);
    blob_folder_close(&c->folder);
    free(c);
}

int cache_fd(const struct cache *c)
{
    return c->thread ? blob_thread_fd(c->thread) : -1;
}

void cache_poll(struct cache *c, uint64_t now_ms)
{
    c->now_ms = now_ms;
    if (c->thread)
        blob_thread_poll(c->thread, c);
}

void cache_stats(const struct cache *c, struct cache_stats *ret)
{
    *ret = (struct cache_stats){.bytes = c->bytes, .fetched_bytes = c->fetched_bytes};
}
