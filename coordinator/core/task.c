#include "task.h"

static const uint8_t chunk_cap[TASK_CHUNK_SIZES] = {2, 8, 60};

static uint16_t task_clamp(uint32_t v)
{
    return (uint16_t)MIN(v, (uint32_t)TASK_COUNT_MAX);
}

struct task task_from_event(const struct sched_task *in)
{
    return (struct task){.id = in->id,
                         .input_bytes = in->input_bytes,
                         .attempt = task_clamp(in->attempt),
                         .kills = task_clamp(in->kills)};
}

bool task_move_allowed(int from, int to)
{
#define BIT(state) (1u << (state))
    static const unsigned allowed[] = {
        [SCHED_READY] =
            BIT(SCHED_LEASED) | BIT(SCHED_DELAYED) | BIT(SCHED_COMMITTING) | BIT(TASK_NONE),
        [SCHED_DELAYED] = BIT(SCHED_READY) | BIT(TASK_NONE),
        [SCHED_LEASED] = BIT(SCHED_READY) | BIT(SCHED_COMMITTING) | BIT(TASK_NONE),
        [SCHED_COMMITTING] = BIT(SCHED_DELAYED) | BIT(SCHED_READY) | BIT(TASK_NONE),
        [TASK_NONE] = BIT(SCHED_READY) | BIT(SCHED_DELAYED) | BIT(SCHED_COMMITTING),
    };
    return (allowed[from] & BIT(to)) != 0;
#undef BIT
}

void task_pool_init(struct task_pool *p)
{
    for (int i = 0; i < TASK_CHUNK_SIZES; i++)
        mem_pool_init(&p->chunks[i], sizeof(struct task_chunk) +
                                         chunk_cap[i] * (sizeof(struct task) + sizeof(uint32_t)));
    list_init(&p->by_age);
}

void task_pool_done(struct task_pool *p)
{
    for (int i = 0; i < TASK_CHUNK_SIZES; i++)
        mem_pool_done(&p->chunks[i]);
}

uint64_t task_pool_bytes(const struct task_pool *p)
{
    uint64_t n = 0;
    for (int i = 0; i < TASK_CHUNK_SIZES; i++)
        n += mem_pool_bytes(&p->chunks[i]);
    return n;
}

uint64_t task_pool_oldest_ms(const struct task_pool *p)
{
    const struct task_chunk *c = LIST_FIRST(&p->by_age, struct task_chunk, in_age);
    return c ? c->since_ms : UINT64_MAX;
}

static struct task_chunk *chunk_new(struct task_pool *p, uint64_t n, uint64_t now_ms)
{
    uint8_t size = n < 2 ? 0 : n < 10 ? 1 : 2;
    struct task_chunk *c = mem_pool_get(&p->chunks[size]);
    c->size = size;
    c->cap = chunk_cap[size];
    c->since_ms = now_ms;
    list_add(&p->by_age, &c->in_age);
    return c;
}

/* When each item came, in milliseconds after since_ms; sticks at UINT32_MAX, which is 49 days. */
static uint32_t *chunk_later_ms(struct task_chunk *c)
{
    return (uint32_t *)(void *)&c->items[c->cap];
}

static void chunk_put(struct task_chunk *c, unsigned at, struct task t, uint64_t now_ms)
{
    c->items[at] = t;
    chunk_later_ms(c)[at] = (uint32_t)MIN(now_ms - c->since_ms, (uint64_t)UINT32_MAX);
}

static void chunk_free(struct task_pool *p, struct task_chunk *c)
{
    list_del(&c->in_age);
    mem_pool_put(&p->chunks[c->size], c);
}

void task_queue_push(struct task_queue *q, struct task_pool *p, struct task t, uint64_t n,
                     uint64_t now_ms)
{
    if (!q->last || q->last->tail == q->last->cap) {
        struct task_chunk *c = chunk_new(p, n, now_ms);
        if (q->last)
            q->last->next = c;
        else
            q->first = c;
        q->last = c;
    }
    chunk_put(q->last, q->last->tail++, t, now_ms);
}

void task_queue_push_front(struct task_queue *q, struct task_pool *p, struct task t, uint64_t n,
                           uint64_t now_ms)
{
    if (!q->first || q->first->head == 0) {
        struct task_chunk *c = chunk_new(p, n, now_ms);
        c->head = c->tail = c->cap;
        c->next = q->first;
        q->first = c;
        if (!q->last)
            q->last = c;
    }
    chunk_put(q->first, --q->first->head, t, now_ms);
}

const struct task *task_queue_peek(const struct task_queue *q)
{
    return q->first ? &q->first->items[q->first->head] : NULL;
}

struct task task_queue_pop(struct task_queue *q, struct task_pool *p, uint64_t *ret_since_ms)
{
    struct task_chunk *c = q->first;
    assert(c);
    *ret_since_ms = c->since_ms + chunk_later_ms(c)[c->head];
    struct task t = c->items[c->head++];
    if (c->head == c->tail) {
        q->first = c->next;
        if (!q->first)
            q->last = NULL;
        chunk_free(p, c);
    }
    return t;
}

void task_queue_clear(struct task_queue *q, struct task_pool *p)
{
    while (q->first) {
        struct task_chunk *c = q->first;
        q->first = c->next;
        chunk_free(p, c);
    }
    q->last = NULL;
}

uint64_t task_queue_count(const struct task_queue *q)
{
    uint64_t n = 0;
    for (const struct task_chunk *c = q->first; c; c = c->next)
        n += (uint64_t)(c->tail - c->head);
    return n;
}
