#include "blobs.h"

#include <stdio.h>

#include "common/log.h"
#include "coordinator/edge/map64.h"

enum { SWEEP_EVERY_MS = 5000 };

struct blob {
    struct blob_name name;
    bool whole;
    uint32_t busy;            /* requests of it on the thread, and those who hold it */
    uint64_t bytes;           /* of a part: that it will have */
    int64_t touched_ms;       /* monotonic; may be before the start of the machine */
    struct blob *same;        /* another name with the same key in the map */
    struct blob *prev, *next; /* by touched_ms, the oldest first */
};

/* The store's word on those that are old. */
struct sweep {
    struct store_request request; /* first: what comes back is cast */
    struct blobs *owner;
    bool asked;
    size_t n;
    struct blob_name names[BLOBS_SWEEP_MAX];
    bool needed[BLOBS_SWEEP_MAX];
};

struct blobs {
    struct edge *edge;
    struct blob_thread *thread;
    struct map64 map; /* by blob_name_hash */
    struct blob *oldest, *newest;
    size_t n;
    uint64_t bytes;
    uint64_t sweep_ms; /* when next */
    struct sweep sweep;
    struct blobs_stats stats;
};

/* ---- the index ---- */

static uint64_t key_of(const struct blob_name *name)
{
    uint64_t h = blob_name_hash(name);
    return h ? h : 1;
}

static struct blob *find(const struct blobs *b, const struct blob_name *name)
{
    struct blob *one = map64_get(&b->map, key_of(name));
    while (one && !blob_name_eq(&one->name, name))
        one = one->same;
    return one;
}

static void unlist(struct blobs *b, struct blob *one)
{
    *(one->prev ? &one->prev->next : &b->oldest) = one->next;
    *(one->next ? &one->next->prev : &b->newest) = one->prev;
}

static void list_last(struct blobs *b, struct blob *one)
{
    one->prev = b->newest;
    one->next = NULL;
    *(b->newest ? &b->newest->next : &b->oldest) = one;
    b->newest = one;
}

static void touch(struct blobs *b, struct blob *one)
{
    one->touched_ms = (int64_t)b->edge->now_ms;
    unlist(b, one);
    list_last(b, one);
}

static struct blob *add(struct blobs *b, const struct blob_name *name, bool whole, uint64_t bytes,
                        int64_t touched_ms)
{
    struct blob *one = calloc(1, sizeof(*one));
    if (!one)
        return NULL;
    *one = (struct blob){.name = *name, .whole = whole, .bytes = bytes, .touched_ms = touched_ms};
    one->same = map64_get(&b->map, key_of(name));
    if (!map64_put(&b->map, key_of(name), one)) {
        free(one);
        return NULL;
    }
    list_last(b, one);
    b->n++;
    b->bytes += bytes;
    return one;
}

static void forget(struct blobs *b, struct blob *one)
{
    struct blob *first = map64_take(&b->map, key_of(&one->name)), **at = &first;
    while (*at != one)
        at = &(*at)->same;
    *at = one->same;
    bool kept = !first || map64_put(&b->map, key_of(&one->name), first);
    assert(kept); /* its place was just given back */
    unlist(b, one);
    b->n--;
    b->bytes -= one->bytes;
    free(one);
}

/* ---- start ---- */

struct found {
    struct blob_file *files;
    size_t n, cap;
};

static int found_add(void *user, const struct blob_file *file)
{
    struct found *all = user;
    if (all->n == all->cap) {
        size_t cap = all->cap ? all->cap * 2 : 256;
        struct blob_file *grown = realloc(all->files, cap * sizeof(*grown));
        if (!grown)
            return ERR_NOMEM;
        all->files = grown;
        all->cap = cap;
    }
    all->files[all->n++] = *file;
    return ERR_OK;
}

static int by_age(const void *a, const void *b)
{
    const struct blob_file *x = a, *y = b;
    return (x->changed_ms > y->changed_ms) - (x->changed_ms < y->changed_ms);
}

static int read_folder(struct blobs *b, struct blob_files *files, struct error *error)
{
    struct found all = {0};
    int rc = blob_files_walk(files, found_add, &all, error);
    if (all.n)
        qsort(all.files, all.n, sizeof(*all.files), by_age);
    for (size_t i = 0; i < all.n && rc == ERR_OK; i++) {
        const struct blob_file *file = &all.files[i];
        int64_t age_ms = MAX(b->edge->wall_ms - file->changed_ms, (int64_t)0);
        if (find(b, &file->name)) /* a part beside the whole: the thread knows that it is whole */
            continue;
        if (!add(b, &file->name, !file->part, file->bytes, (int64_t)b->edge->now_ms - age_ms))
            rc = ERR_NOMEM;
    }
    free(all.files);
    return rc == ERR_NOMEM ? error_set(error, ERR_NOMEM, "no memory for the list of blobs") : rc;
}

int blobs_new(struct edge *e, const char *data_dir, struct blobs **ret, struct error *error)
{
    char folder[4096];
    struct blob_files *files = NULL;
    struct blobs *b = calloc(1, sizeof(*b));
    if (!b)
        return error_set(error, ERR_NOMEM, "no memory for the blobs");
    b->edge = e;
    b->sweep.owner = b;
    int rc = ERR_OK;
    if ((size_t)snprintf(folder, sizeof(folder), "%s/blobs", data_dir) >= sizeof(folder))
        rc = error_set(error, ERR_CONFIG, "data_dir: the path is too long");
    if (rc == ERR_OK)
        rc = blob_files_open(folder, true, &files, error);
    if (rc == ERR_OK)
        rc = read_folder(b, files, error);
    if (rc)
        blob_files_close(files);
    else
        rc = blob_thread_new(files, &b->thread, error);
    if (rc)
        blobs_free(b);
    else
        *ret = b;
    return rc;
}

void blobs_free(struct blobs *b)
{
    if (!b)
        return;
    blob_thread_free(b->thread, b->edge);
    while (b->oldest)
        forget(b, b->oldest);
    map64_done(&b->map);
    free(b);
}

int blobs_fd(const struct blobs *b)
{
    return blob_thread_fd(b->thread);
}

void blobs_poll(struct blobs *b)
{
    blob_thread_poll(b->thread, b->edge);
}

/* ---- removing ---- */

static void removed(struct blob_request *r, void *user)
{
    char text[BLOB_TEXT_LEN + 1];
    (void)user;
    if (r->rc)
        LOG_WARN("a blob was not removed", log_str("blob", blob_name_text(&r->name, text)),
                 log_err(&r->error));
    free(r);
}

static void remove_one(struct blobs *b, struct blob *one)
{
    struct blob_request *r = calloc(1, sizeof(*r));
    if (!r)
        return; /* later */
    r->what = BLOB_REMOVE;
    r->name = one->name;
    r->done = removed;
    forget(b, one);
    b->stats.removed++;
    blob_thread_submit(b->thread, r);
}

static bool is_old(const struct blobs *b, const struct blob *one)
{
    return (int64_t)b->edge->now_ms - one->touched_ms > (int64_t)b->edge->options.blob_keep_ms;
}

static int sweep_run(struct store *s, struct store_request *r)
{
    struct sweep *sweep = (struct sweep *)r;
    return store_blob_needed(s, sweep->names, sweep->n, sweep->needed, &r->error);
}

/* What was asked for meanwhile is not old any more. */
static void sweep_done(struct store_request *r, void *user)
{
    struct sweep *sweep = (struct sweep *)r;
    struct blobs *b = sweep->owner;
    (void)user;
    sweep->asked = false;
    for (size_t i = 0; i < sweep->n && r->rc == ERR_OK; i++) {
        struct blob *one = find(b, &sweep->names[i]);
        if (one && sweep->needed[i])
            touch(b, one);
        else if (one && is_old(b, one) && !one->busy)
            remove_one(b, one);
    }
    if (r->rc == ERR_OK && sweep->n == BLOBS_SWEEP_MAX)
        b->sweep_ms = b->edge->now_ms;
}

static void sweep_start(struct blobs *b)
{
    struct sweep *sweep = &b->sweep;
    struct blob *next;
    sweep->n = 0;
    for (struct blob *one = b->oldest; one && is_old(b, one) && sweep->n < BLOBS_SWEEP_MAX;
         one = next) {
        next = one->next;
        if (!one->whole && !one->busy)
            remove_one(b, one);
        else if (one->whole)
            sweep->names[sweep->n++] = one->name;
    }
    if (sweep->n == 0)
        return;
    sweep->asked = true;
    sweep->request.write = false;
    sweep->request.bytes = sizeof(*sweep);
    sweep->request.run = sweep_run;
    sweep->request.done = sweep_done;
    sweep->request.rc = 0;
    store_thread_submit(b->edge->store, &sweep->request);
}

uint64_t blobs_timer(struct blobs *b)
{
    if (b->sweep.asked || b->edge->stopping)
        return UINT64_MAX;
    if (b->edge->now_ms >= b->sweep_ms) {
        b->sweep_ms = b->edge->now_ms + SWEEP_EVERY_MS;
        sweep_start(b);
    }
    return b->sweep_ms;
}

/* ---- asking ---- */

bool blobs_has(struct blobs *b, const struct blob_name *name, uint64_t *ret_bytes)
{
    struct blob *one = find(b, name);
    if (!one || !one->whole)
        return false;
    touch(b, one);
    if (ret_bytes)
        *ret_bytes = one->bytes;
    return true;
}

int blobs_need(struct blobs *b, const struct blob_name *name, struct error *error)
{
    char text[BLOB_TEXT_LEN + 1];
    if (blobs_has(b, name, NULL))
        return ERR_OK;
    return error_set(error, ERR_NOT_FOUND, "blob %s is not here: upload it first (blob.put)",
                     blob_name_text(name, text));
}

int blobs_hold(struct blobs *b, const struct blob_name *name, struct error *error)
{
    int rc = blobs_need(b, name, error);
    if (rc == ERR_OK)
        find(b, name)->busy++;
    return rc;
}

void blobs_release(struct blobs *b, const struct blob_name *name)
{
    struct blob *one = find(b, name);
    one->busy--;
    touch(b, one);
}

/* ---- pieces in ---- */

static int admit(const struct blobs *b, const struct blob *one, uint64_t total, struct error *error)
{
    uint64_t others = b->bytes - (one ? one->bytes : 0), max = b->edge->options.blob_bytes_max;
    if (b->edge->sizes.refusing)
        return error_set(error, ERR_STORE_FULL, "the disk of the data directory is nearly full");
    if (blob_thread_bytes(b->thread) > BLOBS_QUEUE_BYTES_MAX)
        return error_set(error, ERR_QUEUE_FULL, "the disk is behind; try again");
    if (total > max || others > max - total)
        return error_set(
            error, ERR_STORE_FULL,
            "blobs have %llu MiB, and this one has %llu; the limit (blob_bytes_max) is "
            "%llu MiB. They go when no open job needs them and blob_keep is over",
            (unsigned long long)(others >> 20), (unsigned long long)(total >> 20),
            (unsigned long long)(max >> 20));
    if (!one && b->n >= BLOBS_MAX)
        return error_set(error, ERR_STORE_FULL, "there are %d blobs; more are not kept",
                         (int)BLOBS_MAX);
    return ERR_OK;
}

int blobs_put(struct blobs *b, struct blob_request *r, bool *ret_now, struct error *error)
{
    struct blob *one = find(b, &r->name);
    if (one && one->whole) {
        touch(b, one);
        r->put = (struct blob_put){.bytes = one->bytes, .whole = true};
        *ret_now = true;
        return ERR_OK;
    }
    int rc = admit(b, one, r->total, error);
    if (rc)
        return rc;
    if (!one)
        one = add(b, &r->name, false, 0, 0);
    if (!one)
        return error_set(error, ERR_NOMEM, "no memory for a blob");
    touch(b, one);
    b->bytes += r->total - one->bytes;
    one->bytes = r->total;
    one->busy++;
    r->what = BLOB_PUT;
    *ret_now = false;
    blob_thread_submit(b->thread, r);
    return ERR_OK;
}

void blobs_put_done(struct blobs *b, const struct blob_request *r)
{
    struct blob *one = find(b, &r->name);
    one->busy--;
    if (r->rc == ERR_OK)
        b->stats.received_bytes += r->data.len;
    if (r->put.whole) {
        one->whole = true;
        b->bytes += r->put.bytes - one->bytes;
        one->bytes = r->put.bytes;
    } else if (r->put.gone && !one->busy) {
        forget(b, one);
    }
}

/* ---- pieces out ---- */

int blobs_read(struct blobs *b, struct blob_request *r, struct error *error)
{
    struct blob *one = find(b, &r->name);
    char text[BLOB_TEXT_LEN + 1];
    if (!one || !one->whole)
        return error_set(error, ERR_NOT_FOUND, "blob %s is gone from the coordinator",
                         blob_name_text(&r->name, text));
    touch(b, one);
    one->busy++;
    r->what = BLOB_READ;
    blob_thread_submit(b->thread, r);
    return ERR_OK;
}

void blobs_read_done(struct blobs *b, const struct blob_request *r)
{
    struct blob *one = find(b, &r->name);
    one->busy--;
    b->stats.sent_bytes += r->out.len;
    if (r->rc == ERR_NOT_FOUND && !one->busy) /* someone removed the file */
        forget(b, one);
}

void blobs_stats(const struct blobs *b, struct blobs_stats *ret)
{
    *ret = b->stats;
    ret->n = b->n;
    ret->bytes = b->bytes;
}
