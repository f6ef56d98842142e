#include "held.h"

#include "common/hash.h"

enum { BUCKETS_MIN = 256 };

int held_init(struct held_table *t)
{
    *t = (struct held_table){.n_buckets = BUCKETS_MIN};
    t->buckets = calloc(t->n_buckets, sizeof(*t->buckets));
    return t->buckets ? ERR_OK : ERR_NOMEM;
}

static void entry_free(struct held *h)
{
    free(h->result);
    free(h);
}

void held_done(struct held_table *t)
{
    for (size_t i = 0; i < HELD_STATES; i++)
        for (struct held *h = t->lists[i].first, *next; h; h = next) {
            next = h->next;
            entry_free(h);
        }
    free(t->buckets);
    *t = (struct held_table){0};
}

static struct held **bucket(const struct held_table *t, uint64_t task)
{
    return &t->buckets[hash_mix(task) & (t->n_buckets - 1)];
}

/* Doubles the buckets; when there is no memory the chains get longer, nothing else. */
static void grow(struct held_table *t)
{
    struct held_table wider = {.n_buckets = 2 * t->n_buckets};
    wider.buckets = calloc(wider.n_buckets, sizeof(*wider.buckets));
    if (!wider.buckets)
        return;
    for (size_t i = 0; i < t->n_buckets; i++)
        for (struct held *h = t->buckets[i], *next; h; h = next) {
            next = h->chain;
            struct held **slot = bucket(&wider, h->token.task);
            h->chain = *slot;
            *slot = h;
        }
    free(t->buckets);
    t->buckets = wider.buckets;
    t->n_buckets = wider.n_buckets;
}

static void list_remove(struct held_list *l, struct held *h)
{
    *(h->prev ? &h->prev->next : &l->first) = h->next;
    *(h->next ? &h->next->prev : &l->last) = h->prev;
    h->prev = h->next = NULL;
    l->n--;
}

static void list_append(struct held_list *l, struct held *h)
{
    h->prev = l->last;
    h->next = NULL;
    *(l->last ? &l->last->next : &l->first) = h;
    l->last = h;
    l->n++;
}

static bool is_result(enum held_state state)
{
    return state == HELD_READY || state == HELD_SENT;
}

/* The one place where entries change their state and list, and the sums follow. */
static void account(struct held_table *t, struct held *h, bool add)
{
    if (h->state == HELD_LANDING)
        return; /* neither: its rows are the batcher's to count */
    uint64_t *sum = is_result(h->state) ? &t->result_bytes : &t->input_bytes;
    const uint64_t bytes = is_result(h->state) ? h->result_bytes : h->input_bytes;
    *sum = add ? *sum + bytes : *sum - bytes;
}

static void move(struct held_table *t, struct held *h, enum held_state to)
{
    static const bool allowed[HELD_STATES][HELD_STATES] = {
        [HELD_WAITING] = {[HELD_RUNNING] = true, [HELD_LANDING] = true, [HELD_READY] = true},
        [HELD_RUNNING] = {[HELD_LANDING] = true, [HELD_READY] = true},
        [HELD_LANDING] = {[HELD_READY] = true},
        [HELD_READY] = {[HELD_SENT] = true, [HELD_LANDING] = true},
        [HELD_SENT] = {[HELD_READY] = true, [HELD_LANDING] = true},
    };
    assert(allowed[h->state][to]);
    list_remove(&t->lists[h->state], h);
    h->state = to;
    list_append(&t->lists[to], h);
}

struct held *held_add(struct held_table *t, struct wire_token token, uint64_t job,
                      uint32_t input_bytes)
{
    assert(!held_find(t, token.task));
    if (t->n >= t->n_buckets)
        grow(t);
    struct held *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->token = token;
    h->job = job;
    h->input_bytes = input_bytes;
    h->state = HELD_WAITING;
    struct held **slot = bucket(t, token.task);
    h->chain = *slot;
    *slot = h;
    list_append(&t->lists[HELD_WAITING], h);
    t->n++;
    account(t, h, true);
    return h;
}

struct held *held_find(const struct held_table *t, uint64_t task)
{
    struct held *h = *bucket(t, task);
    while (h && h->token.task != task)
        h = h->chain;
    return h;
}

void held_start(struct held_table *t, struct held *h)
{
    move(t, h, HELD_RUNNING);
}

void held_land(struct held_table *t, struct held *h)
{
    account(t, h, false);
    free(TAKE_PTR(h->result));
    h->result_bytes = 0;
    move(t, h, HELD_LANDING);
}

void held_finish(struct held_table *t, struct held *h, uint8_t *result_take, size_t bytes)
{
    account(t, h, false);
    h->result = result_take;
    h->result_bytes = bytes;
    move(t, h, HELD_READY);
    account(t, h, true);
}

struct held *held_next(struct held_table *t)
{
    struct held *h = t->lists[HELD_READY].first;
    if (h)
        move(t, h, HELD_SENT);
    return h;
}

void held_resend(struct held_table *t)
{
    struct held_list *ready = &t->lists[HELD_READY], *sent = &t->lists[HELD_SENT];
    for (struct held *h = sent->first; h; h = h->next)
        h->state = HELD_READY;
    if (!sent->first)
        return;
    sent->last->next = ready->first;
    *(ready->first ? &ready->first->prev : &ready->last) = sent->last;
    ready->first = sent->first;
    ready->n += sent->n;
    *sent = (struct held_list){0};
}

void held_forget(struct held_table *t, struct held *h)
{
    struct held **at = bucket(t, h->token.task);
    while (*at != h)
        at = &(*at)->chain;
    *at = h->chain;
    account(t, h, false);
    list_remove(&t->lists[h->state], h);
    t->n--;
    entry_free(h);
}

struct wire_token *held_tokens(const struct held_table *t, size_t *ret_n)
{
    *ret_n = t->n;
    struct wire_token *all = t->n ? malloc(t->n * sizeof(*all)) : NULL;
    size_t n = 0;
    for (size_t i = 0; all && i < HELD_STATES; i++)
        for (const struct held *h = t->lists[i].first; h; h = h->next)
            all[n++] = h->token;
    return all;
}
