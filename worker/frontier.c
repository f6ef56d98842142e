#include "frontier.h"

#include "common/pack.h"

enum {
    KEY_BUCKETS_MIN = 64,
    SEEN_SLOTS_MIN = 1024,
    QUEUE_COMPACT_BYTES = 4096,
    ENTRY_OVERHEAD_BYTES = 16 /* malloc's own, about */
};

/* A queue holds records: attempt, length, bytes. */
struct record {
    uint32_t attempt, len;
};

struct frontier_key {
    uint64_t key;
    struct frontier_key *chain; /* in its bucket */
    struct frontier_key *next_ready;
    bool ready;
    uint32_t granted; /* uses by running tasks */
    uint64_t not_before_ms;
    struct buf queue;
    size_t head; /* bytes of the queue that are consumed */
    size_t n_items;
};

/* What waits for its time: an item, or (item NULL) a key that may go on. */
struct delayed {
    uint64_t due_ms;
    struct frontier_key *key;
    uint8_t *item;
    struct record record;
};

struct frontier {
    size_t max_bytes, bytes;
    uint32_t key_limit;
    struct frontier_key **buckets;
    size_t n_buckets, n_keys;
    struct frontier_key *ready_first, *ready_last;
    struct hash128 *seen; /* open addressing; all zero: free */
    size_t n_slots, n_seen;
    struct delayed *heap; /* binary, the earliest first */
    size_t n_heap, cap_heap;
    size_t n_items; /* in queues and in the heap */
};

struct frontier *frontier_new(size_t max_bytes, uint32_t key_limit)
{
    struct frontier *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->max_bytes = max_bytes;
    f->key_limit = MAX(key_limit, 1U);
    f->n_buckets = KEY_BUCKETS_MIN;
    f->n_slots = SEEN_SLOTS_MIN;
    f->buckets = calloc(f->n_buckets, sizeof(*f->buckets));
    f->seen = calloc(f->n_slots, sizeof(*f->seen));
    if (!f->buckets || !f->seen) {
        frontier_free(f);
        return NULL;
    }
    f->bytes = f->n_buckets * sizeof(*f->buckets) + f->n_slots * sizeof(*f->seen);
    return f;
}

void frontier_free(struct frontier *f)
{
    if (!f)
        return;
    for (size_t i = 0; f->buckets && i < f->n_buckets; i++)
        for (struct frontier_key *k = f->buckets[i], *next; k; k = next) {
            next = k->chain;
            buf_done(&k->queue);
            free(k);
        }
    for (size_t i = 0; i < f->n_heap; i++)
        free(f->heap[i].item);
    free(f->heap);
    free(f->buckets);
    free(f->seen);
    free(f);
}

static bool has_room(const struct frontier *f, size_t more)
{
    return f->bytes + more <= f->max_bytes;
}

/* ---- seen ---- */

static struct hash128 *seen_slot(struct hash128 *slots, size_t n_slots, struct hash128 h)
{
    size_t i = h.lo & (n_slots - 1);
    while ((slots[i].lo || slots[i].hi) && (slots[i].lo != h.lo || slots[i].hi != h.hi))
        i = (i + 1) & (n_slots - 1);
    return &slots[i];
}

static bool seen_grow(struct frontier *f)
{
    const size_t n = f->n_slots * 2, more = f->n_slots * sizeof(*f->seen);
    struct hash128 *slots = has_room(f, more) ? calloc(n, sizeof(*slots)) : NULL;
    if (!slots)
        return false;
    for (size_t i = 0; i < f->n_slots; i++)
        if (f->seen[i].lo || f->seen[i].hi)
            *seen_slot(slots, n, f->seen[i]) = f->seen[i];
    free(f->seen);
    f->seen = slots;
    f->n_slots = n;
    f->bytes += more;
    return true;
}

int frontier_first_seen(struct frontier *f, struct hash128 unique, bool *ret_new)
{
    if (unique.lo == 0 && unique.hi == 0)
        unique.hi = 1;
    struct hash128 *slot = seen_slot(f->seen, f->n_slots, unique);
    if (slot->lo || slot->hi) {
        *ret_new = false;
        return ERR_OK;
    }
    if (f->n_seen + 1 > f->n_slots / 4 * 3) {
        if (!seen_grow(f))
            return ERR_LIMIT;
        slot = seen_slot(f->seen, f->n_slots, unique);
    }
    *slot = unique;
    f->n_seen++;
    *ret_new = true;
    return ERR_OK;
}

/* ---- keys ---- */

static void buckets_grow(struct frontier *f)
{
    const size_t n = f->n_buckets * 2;
    struct frontier_key **buckets = calloc(n, sizeof(*buckets));
    if (!buckets)
        return; /* chains get longer, nothing else */
    for (size_t i = 0; i < f->n_buckets; i++)
        for (struct frontier_key *k = f->buckets[i], *next; k; k = next) {
            next = k->chain;
            k->chain = buckets[hash_mix(k->key) & (n - 1)];
            buckets[hash_mix(k->key) & (n - 1)] = k;
        }
    free(f->buckets);
    f->bytes += (n - f->n_buckets) * sizeof(*buckets);
    f->buckets = buckets;
    f->n_buckets = n;
}

static struct frontier_key *key_of(struct frontier *f, uint64_t key)
{
    struct frontier_key **slot = &f->buckets[hash_mix(key) & (f->n_buckets - 1)];
    for (struct frontier_key *k = *slot; k; k = k->chain)
        if (k->key == key)
            return k;
    if (f->n_keys >= f->n_buckets) {
        buckets_grow(f);
        slot = &f->buckets[hash_mix(key) & (f->n_buckets - 1)];
    }
    const size_t bytes = sizeof(struct frontier_key) + ENTRY_OVERHEAD_BYTES;
    struct frontier_key *k = has_room(f, bytes) ? calloc(1, sizeof(*k)) : NULL;
    if (!k)
        return NULL;
    k->key = key;
    buf_init(&k->queue, 0);
    k->chain = *slot;
    *slot = k;
    f->n_keys++;
    f->bytes += bytes;
    return k;
}

/* On the list of ready keys when it has something to do and may; it leaves it when it is taken. */
static void settle(struct frontier *f, struct frontier_key *k, uint64_t now_ms)
{
    if (k->ready || k->n_items == 0 || k->granted >= f->key_limit || k->not_before_ms > now_ms)
        return;
    k->ready = true;
    k->next_ready = NULL;
    *(f->ready_last ? &f->ready_last->next_ready : &f->ready_first) = k;
    f->ready_last = k;
}

/* ---- what waits for its time ---- */

static int heap_push(struct frontier *f, struct delayed d)
{
    if (f->n_heap == f->cap_heap) {
        const size_t cap = MAX(f->cap_heap * 2, (size_t)16);
        const size_t more = (cap - f->cap_heap) * sizeof(*f->heap);
        struct delayed *heap = has_room(f, more) ? realloc(f->heap, cap * sizeof(*heap)) : NULL;
        if (!heap)
            return ERR_LIMIT;
        f->heap = heap;
        f->cap_heap = cap;
        f->bytes += more;
    }
    size_t i = f->n_heap++;
    for (; i > 0 && f->heap[(i - 1) / 2].due_ms > d.due_ms; i = (i - 1) / 2)
        f->heap[i] = f->heap[(i - 1) / 2];
    f->heap[i] = d;
    return ERR_OK;
}

static struct delayed heap_pop(struct frontier *f)
{
    const struct delayed top = f->heap[0], last = f->heap[--f->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < f->n_heap; i = child) {
        if (child + 1 < f->n_heap && f->heap[child + 1].due_ms < f->heap[child].due_ms)
            child++;
        if (f->heap[child].due_ms >= last.due_ms)
            break;
        f->heap[i] = f->heap[child];
    }
    f->heap[i] = last;
    return top;
}

/* ---- queues ---- */

/* counted: the item is within the limit already, and must not be stopped by what came after it. */
static int enqueue(struct frontier *f, struct frontier_key *k, struct record record,
                   const void *bytes, bool counted)
{
    const size_t before = k->queue.cap, need = sizeof(record) + record.len;
    if (!counted && k->queue.cap - k->queue.len < need && !has_room(f, k->queue.cap + need))
        return ERR_LIMIT;
    if (!buf_reserve(&k->queue, need)) {
        k->queue.failed = false; /* nothing was appended */
        return ERR_LIMIT;
    }
    buf_append(&k->queue, &record, sizeof(record));
    buf_append(&k->queue, bytes, record.len);
    f->bytes += k->queue.cap - before;
    k->n_items++;
    return ERR_OK;
}

int frontier_add(struct frontier *f, uint64_t key, struct span item, uint32_t attempt,
                 uint64_t due_ms)
{
    struct frontier_key *k = key_of(f, key);
    const struct record record = {attempt, (uint32_t)item.len};
    if (!k)
        return ERR_LIMIT;
    int rc;
    if (due_ms == 0) {
        rc = enqueue(f, k, record, item.p, false);
    } else {
        uint8_t *copy = has_room(f, item.len + ENTRY_OVERHEAD_BYTES) ? malloc(item.len) : NULL;
        if (!copy)
            return ERR_LIMIT;
        memcpy(copy, item.p, item.len);
        rc = heap_push(f, (struct delayed){due_ms, k, copy, record});
        if (rc == ERR_OK)
            f->bytes += item.len + ENTRY_OVERHEAD_BYTES;
        else
            free(copy);
    }
    if (rc != ERR_OK)
        return rc;
    f->n_items++;
    settle(f, k, 0); /* a key that must wait has not_before_ms above 0 */
    return ERR_OK;
}

static void wake_due(struct frontier *f, uint64_t now_ms)
{
    while (f->n_heap > 0 && f->heap[0].due_ms <= now_ms) {
        struct delayed d = heap_pop(f);
        if (d.item) {
            if (enqueue(f, d.key, d.record, d.item, true) != ERR_OK) { /* no memory: it waits on */
                d.due_ms = now_ms + 1000;
                (void)!heap_push(f, d); /* the slot was just freed */
                return;
            }
            f->bytes -= d.record.len + ENTRY_OVERHEAD_BYTES;
            free(d.item);
        }
        if (d.key->not_before_ms <= now_ms)
            d.key->not_before_ms = 0;
        settle(f, d.key, now_ms);
    }
}

static struct record record_at(const struct frontier_key *k, size_t at)
{
    struct record r;
    memcpy(&r, k->queue.data + at, sizeof(r));
    return r;
}

/* Forgets consumed bytes, when they are half of the queue: each byte moves once on average. */
static void compact(struct frontier *f, struct frontier_key *k)
{
    if (k->n_items == 0) {
        f->bytes -= k->queue.cap;
        buf_done(&k->queue);
        k->head = 0;
    } else if (k->head >= QUEUE_COMPACT_BYTES && k->head >= k->queue.len / 2) {
        memmove(k->queue.data, k->queue.data + k->head, k->queue.len - k->head);
        k->queue.len -= k->head;
        k->head = 0;
    }
}

/* Leaves a free use for a second task, so that the key is not idle while the last inputs of the first
 * one come in. */
static uint32_t grant_of(const struct frontier *f, const struct frontier_key *k)
{
    const uint32_t left = f->key_limit - k->granted;
    return k->n_items > 0 && left > 1 && k->granted == 0 ? (left + 1) / 2 : left;
}

/* Takes the next key off the list. One that was told to wait while it stood there is passed over: it
 * is in the heap. */
static struct frontier_key *next_ready(struct frontier *f, uint64_t now_ms)
{
    struct frontier_key *k;
    while ((k = f->ready_first)) {
        f->ready_first = k->next_ready;
        if (!f->ready_first)
            f->ready_last = NULL;
        k->ready = false;
        if (k->not_before_ms <= now_ms)
            break;
    }
    return k;
}

bool frontier_take(struct frontier *f, uint64_t now_ms, size_t max_items, struct buf *items,
                   struct frontier_task *ret)
{
    wake_due(f, now_ms);
    struct frontier_key *k = next_ready(f, now_ms);
    if (!k)
        return false;
    const uint32_t attempt = record_at(k, k->head).attempt;
    size_t n = 0, end = k->head;
    for (; n < max_items && n < k->n_items && record_at(k, end).attempt == attempt; n++)
        end += sizeof(struct record) + record_at(k, end).len;
    buf_clear(items);
    pack_array(items, n);
    for (size_t at = k->head; at < end;) {
        const struct record r = record_at(k, at);
        buf_append(items, k->queue.data + at + sizeof(r), r.len);
        at += sizeof(r) + r.len;
    }
    k->head = end;
    k->n_items -= n;
    f->n_items -= n;
    *ret = (struct frontier_task){k, attempt, grant_of(f, k), n};
    k->granted += ret->grant;
    compact(f, k);
    settle(f, k, now_ms);
    return true;
}

void frontier_release(struct frontier *f, const struct frontier_task *task, uint32_t backoff_ms,
                      uint64_t now_ms)
{
    struct frontier_key *k = task->key;
    k->granted -= task->grant;
    if (backoff_ms > 0 && now_ms + backoff_ms > k->not_before_ms &&
        heap_push(f, (struct delayed){.due_ms = now_ms + backoff_ms, .key = k}) == ERR_OK)
        k->not_before_ms = now_ms + backoff_ms;
    settle(f, k, now_ms);
}

size_t frontier_count(const struct frontier *f)
{
    return f->n_items;
}

size_t frontier_bytes(const struct frontier *f)
{
    return f->bytes;
}

uint64_t frontier_deadline(const struct frontier *f)
{
    if (f->ready_first)
        return 0;
    return f->n_heap > 0 ? f->heap[0].due_ms : UINT64_MAX;
}
