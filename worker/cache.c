#include "cache_internal.h"

#include "common/log.h"

/* ---- entries ---- */

static struct cache_entry **bucket(struct cache *c, const struct blob_name *name)
{
    return &c->buckets[blob_name_hash(name) % CACHE_BUCKETS];
}

struct cache_entry *cache_find(struct cache *c, const struct blob_name *name)
{
    struct cache_entry *one = *bucket(c, name);
    while (one && !blob_name_eq(&one->name, name))
        one = one->chain;
    return one;
}

static void list_leave(struct cache_entry *one)
{
    struct cache_list *l = one->list;
    if (!l)
        return;
    *(one->prev ? &one->prev->next : &l->first) = one->next;
    *(one->next ? &one->next->prev : &l->last) = one->prev;
    one->list = NULL;
}

static void list_join(struct cache_list *l, struct cache_entry *one)
{
    list_leave(one);
    one->prev = l->last;
    one->next = NULL;
    *(l->last ? &l->last->next : &l->first) = one;
    l->last = one;
    one->list = l;
}

static struct cache_entry *entry_new(struct cache *c, const struct blob_name *name)
{
    struct cache_entry *one = calloc(1, sizeof(*one));
    if (!one)
        return NULL;
    one->name = *name;
    one->chain = *bucket(c, name);
    *bucket(c, name) = one;
    return one;
}

static void entry_free(struct cache *c, struct cache_entry *one)
{
    struct cache_entry **at = bucket(c, &one->name);
    while (*at != one)
        at = &(*at)->chain;
    *at = one->chain;
    list_leave(one);
    c->bytes -= one->total_known ? one->bytes : 0;
    free(one);
}

void cache_set_total(struct cache *c, struct cache_entry *one, uint64_t bytes)
{
    c->bytes += bytes - (one->total_known ? one->bytes : 0);
    one->bytes = bytes;
    one->total_known = true;
}

void cache_want(struct cache *c, struct cache_entry *one)
{
    c->bytes -= one->total_known ? one->bytes : 0;
    one->total_known = false;
    one->bytes = one->asked = one->got = 0;
    one->state = ENTRY_WANTED;
    list_join(&c->wanted, one);
}

/* ---- the disk ---- */

static void disk_done(struct blob_request *r, void *user);

struct cache_disk *cache_disk_new(const struct cache_entry *one, enum blob_do what, size_t n)
{
    struct cache_disk *d = calloc(1, sizeof(*d) + n);
    if (!d)
        return NULL;
    d->request.what = what;
    d->request.name = one->name;
    d->request.done = disk_done;
    return d;
}

void cache_disk_submit(struct cache *c, struct cache_entry *one, struct cache_disk *d)
{
    one->writes++;
    blob_thread_submit(c->thread, &d->request);
}

/* Nobody needs it, and nothing of it is under way. */
static bool is_idle(const struct cache_entry *one)
{
    return one->refs == 0 && one->asks == 0 && one->writes == 0;
}

static void drop(struct cache *c, struct cache_entry *one)
{
    struct cache_disk *d = cache_disk_new(one, BLOB_REMOVE, 0);
    if (d)
        blob_thread_submit(c->thread, &d->request);
    entry_free(c, one);
}

void cache_settle(struct cache *c, struct cache_entry *one)
{
    if (!is_idle(one))
        return;
    if (one->state == ENTRY_HERE || one->state == ENTRY_FOUND)
        list_join(&c->unused, one);
    else if (one->got > 0 || one->resumes)
        drop(c, one);
    else
        entry_free(c, one);
}

void cache_make_room(struct cache *c, uint64_t n)
{
    while (c->unused.first && c->bytes + n > c->config.bytes_max)
        drop(c, c->unused.first);
}

void cache_fail(struct cache_entry *one, enum err code, const char *detail)
{
    char text[BLOB_TEXT_LEN + 1];
    one->state = ENTRY_FAILED;
    error_set(&one->error, code, "blob %s: %s", blob_name_text(&one->name, text), detail);
    list_leave(one);
    LOG_WARN("a blob cannot be had", log_err(&one->error));
}

void cache_failed_once(struct cache *c, struct cache_entry *one, const char *detail)
{
    if (one->state != ENTRY_WANTED)
        return;
    one->asked = one->got;
    if (++one->tries >= CACHE_TRIES)
        cache_fail(one, ERR_UNAVAILABLE, detail);
    else
        one->pause_until_ms = c->now_ms + ((uint64_t)CACHE_PAUSE_MS << (one->tries - 1));
}

static void put_done(struct cache *c, struct cache_entry *one, const struct blob_request *r)
{
    if (one->state != ENTRY_WANTED)
        return;
    one->resumes = false;
    if (r->put.whole) {
        one->state = ENTRY_HERE;
        list_leave(one);
        cache_set_total(c, one, r->put.bytes);
        c->fetched_bytes += r->put.bytes;
        return;
    }
    if (r->put.gone) {
        one->asked = one->got = 0;
        if (r->rc == ERR_STORE_FULL)
            cache_make_room(
                c, c->config.bytes_max); /* others use the disk, too: nothing unused stays */
        cache_failed_once(c, one, r->rc ? r->error.detail : "it came damaged");
    } else if (r->put.bytes > one->asked) { /* an earlier process had begun with it */
        one->asked = one->got = r->put.bytes;
    }
}

static void verified(struct cache *c, struct cache_entry *one, const struct blob_request *r)
{
    if (r->rc == ERR_OK) {
        one->state = ENTRY_HERE;
        cache_set_total(c, one, r->total);
    } else {
        LOG_WARN("a cached blob is not used", log_err(&r->error));
        cache_want(c, one);
    }
}

static void disk_done(struct blob_request *r, void *user)
{
    struct cache *c = user;
    struct cache_entry *one = r->what == BLOB_REMOVE ? NULL : cache_find(c, &r->name);
    if (one) {
        one->writes--;
        if (r->what == BLOB_PUT)
            put_done(c, one, r);
        else
            verified(c, one, r);
        cache_settle(c, one);
    }
    free(r);
}

/* ---- needs ---- */

/* A file that an earlier process left is hashed before it is used. */
static void verify(struct cache *c, struct cache_entry *one)
{
    struct cache_disk *d = cache_disk_new(one, BLOB_VERIFY, 0);
    list_leave(one);
    if (!d) {
        cache_want(c, one);
        return;
    }
    one->state = ENTRY_VERIFYING;
    cache_disk_submit(c, one, d);
}

static struct cache_entry *entry_need(struct cache *c, const struct blob_name *name)
{
    struct cache_entry *one = cache_find(c, name);
    if (!one && (one = entry_new(c, name)))
        cache_want(c, one);
    if (!one)
        return NULL;
    if (one->state == ENTRY_FAILED && one->refs == 0)
        cache_want(c, one);
    if (one->state == ENTRY_PART) {
        cache_want(c, one);
        one->resumes = true;
    }
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
    struct cache_entry *one = cache_find(c, &file->name);
    if (one && file->part) /* beside the whole: removed with it */
        return ERR_OK;
    if (!one)
        one = entry_new(c, &file->name);
    if (!one)
        return ERR_NOMEM;
    one->state = file->part ? ENTRY_PART : ENTRY_FOUND;
    cache_set_total(c, one, file->bytes);
    list_join(&c->unused, one);
    return ERR_OK;
}

static int open_folder(struct cache *c, struct error *e)
{
    struct blob_files *files;
    if (c->thread)
        return ERR_OK;
    int rc = blob_folder_open(&c->folder, c->config.dir, &files, e);
    if (rc == ERR_CONFIG &&
        !c->config.dir) /* in the middle of work: it may pass, or other workers can */
        rc = error_set(e, ERR_IO, "%s", strdupa(e->detail));
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
        struct cache_entry *one = entry_need(c, &names[i]);
        if (!one) {
            cache_need_free(need);
            return error_set(e, ERR_NOMEM, "no memory for the blobs of a task");
        }
        need->entries[need->n++] = one;
    }
    cache_make_room(c, 0);
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
        cache_settle(c, need->entries[i]);
    }
    cache_make_room(c, 0);
    free(need);
}

enum cache_state cache_need_state(const struct cache_need *need, struct error *ret_error)
{
    enum cache_state state = CACHE_READY;
    for (size_t i = 0; i < need->n; i++) {
        const struct cache_entry *one = need->entries[i];
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
        struct cache_entry *one = need->entries[i];
        struct error e = {0};
        if (blobset_add(&need->set, c->files, &one->name, &e) == ERR_OK)
            continue;
        LOG_WARN("a cached blob has vanished: it is fetched again", log_err(&e));
        cache_want(c, one);
        return false;
    }
    return true;
}

const struct blobset *cache_need_set(const struct cache_need *need)
{
    return need ? &need->set : NULL;
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
    for (size_t i = 0; i < CACHE_BUCKETS; i++)
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
