#include "redis_write.h"

#include <poll.h>
#include <stdio.h>

#include "common/clock.h"
#include "redis_script.h"

enum { ASKED_LOAD = UINT32_MAX, ASKED_ASKING = UINT32_MAX - 1 };

/*
 *             put                     answer: landed, duplicate, fenced, refused
 *   [WAITS] -------> [UNDER_WAY] ---------------------------------------------> [OVER]
 *      ^                  |  |
 *      '--- NOSCRIPT, ----'  '--- connection lost, the server is in no state ---> [STUCK]
 *           MOVED, ASK, TRYAGAIN
 */
enum item_state { WAITS, UNDER_WAY, OVER, STUCK };

struct item {
    struct landing *l;
    enum item_state state;
    uint32_t n_good;
    struct redis_node *ask; /* where ASK sent it, once; NULL: by its slot */
};

struct writing {
    struct redis_nodes *nodes;
    struct redis_rows *rows;
    struct item *items;
    size_t n;
    uint64_t deadline_ms;
    bool fault;      /* nothing more is put; e says why */
    bool again;      /* a slot is being moved */
    struct error *e; /* the first fault's words */
};

/* ---- faults ---- */

static void note_fault(struct writing *w, const struct redis_node *node, const char *words)
{
    if (!w->fault)
        error_set(w->e, ERR_UNAVAILABLE, node->place.port ? "%s:%u: %s" : "%s%.0u: %s",
                  node->place.host, (unsigned)node->place.port, words);
    w->fault = true;
}

/* The node's connection is of no use any more: nobody knows what became of that which was asked. */
static void lose_node(struct writing *w, struct redis_node *node, const struct error *why)
{
    while (node->n_asked > 0) {
        const struct redis_asked one = redis_nodes_answered(node);
        if (one.what < ASKED_ASKING)
            w->items[one.what].state = STUCK;
    }
    redis_nodes_lost(node);
    node->down = true;
    if (!w->fault)
        error_set(w->e, ERR_UNAVAILABLE, "%s", why->detail);
    w->fault = true;
}

/* ---- answers ---- */

static bool begins(const redisReply *r, const char *word)
{
    return strncmp(r->str, word, strlen(word)) == 0;
}

static void on_error(struct writing *w, struct redis_node *node, struct item *item,
                     const redisReply *r)
{
    struct redis_node *const asked_at = item->ask;
    item->state = WAITS;
    item->ask = NULL;
    if (begins(r, "NOSCRIPT ")) {
        item->ask = asked_at;
        node->load = true;
    } else if (begins(r, "MOVED ") || begins(r, "ASK ")) {
        struct redis_node *to =
            redis_nodes_redirected(w->nodes, node, (struct span){r->str, r->len});
        item->ask = begins(r, "ASK ") ? to : NULL;
        if (!to || to->down) {
            item->state = STUCK;
            note_fault(w, node, r->str);
        }
    } else if (begins(r, "TRYAGAIN ")) { /* some keys are here and some are not yet */
        item->ask = asked_at;
        w->again = true;
    } else if (begins(r, "WRONGTYPE ")) {
        item->state = OVER;
        landing_fail(item->l, LANDING_FAILED, "a key of the job holds something else: %s", r->str);
    } else {
        item->state = STUCK;
        note_fault(w, node, r->str);
    }
}

static const char *text_at(const redisReply *r, size_t i)
{
    return i < r->elements && r->element[i]->str ? r->element[i]->str : "";
}

static void on_landed(struct writing *w, struct redis_node *node, struct item *item,
                      const redisReply *r)
{
    struct landing *l = item->l;
    const redisReply *n = r->elements > 1 ? r->element[1] : NULL;
    const bool number = n && n->type == REDIS_REPLY_INTEGER;
    l->verdict = LANDING_DONE;
    l->n_written = number ? (uint32_t)n->integer : (uint32_t)strtoul(text_at(r, 1), NULL, 10);
    for (size_t i = 3; i + 1 < r->elements; i += 2)
        if (r->element[i]->type == REDIS_REPLY_INTEGER)
            landing_reject(l, redis_rows_nth(w->rows, l, (uint32_t)r->element[i]->integer), NULL,
                           text_at(r, i + 1));
    if (text_at(r, 2)[0]) /* the rows are there; what goes with them was not allowed */
        note_fault(w, node, text_at(r, 2));
}

static void on_answer(struct writing *w, struct redis_node *node, struct item *item,
                      const redisReply *r)
{
    struct landing *l = item->l;
    const bool array = r->type == REDIS_REPLY_ARRAY && r->elements > 0 &&
                       r->element[0]->type == REDIS_REPLY_INTEGER;
    item->state = OVER;
    switch (array ? (int)r->element[0]->integer : 0) {
    case REDIS_SCRIPT_LANDED:
        on_landed(w, node, item, r);
        break;
    case REDIS_SCRIPT_DUPLICATE:
        l->verdict = LANDING_DUPLICATE;
        break;
    case REDIS_SCRIPT_FENCED:
        landing_fail(l, LANDING_FENCED, "the job's generation %s and those before it are over",
                     text_at(r, 1));
        break;
    case REDIS_SCRIPT_REFUSED:
        landing_fail(l, LANDING_FAILED, "%s", text_at(r, 1));
        break;
    default:
        item->state = STUCK;
        note_fault(w, node, "an answer that the script does not give");
    }
}

/* Waits for the next answer of a node. */
static void take_answer(struct writing *w, struct redis_node *node)
{
    struct error why = {0};
    redisReply *r = NULL;
    if (redis_link_reply(node->link, w->deadline_ms, &r, &why)) {
        lose_node(w, node, &why);
        return;
    }
    const struct redis_asked one = redis_nodes_answered(node);
    const bool error = r->type == REDIS_REPLY_ERROR;
    if (one.what == ASKED_LOAD || one.what == ASKED_ASKING) {
        if (error)
            note_fault(w, node, r->str);
    } else if (error) {
        on_error(w, node, &w->items[one.what], r);
    } else {
        on_answer(w, node, &w->items[one.what], r);
    }
    freeReplyObject(r);
}

/* ---- putting ---- */

static bool asked(struct writing *w, struct redis_node *node, uint32_t what, size_t bytes)
{
    const struct error why = {.detail = "no memory for what is under way to Redis"};
    if (redis_nodes_asked(node, what, bytes))
        return true;
    lose_node(w, node, &why);
    return false;
}

static bool prepare(struct writing *w, struct redis_node *node, bool asking)
{
    struct error why = {0};
    if (redis_nodes_connect(w->nodes, node, w->deadline_ms, &why)) {
        lose_node(w, node, &why);
        return false;
    }
    struct buf *out = redis_link_out(node->link);
    if (node->load) {
        redis_link_words(out, 3, (const char *const[]){"SCRIPT", "LOAD", redis_script_land});
        node->load = false;
        if (!asked(w, node, ASKED_LOAD, 0))
            return false;
    }
    if (asking) {
        redis_link_words(out, 1, (const char *const[]){"ASKING"});
        return asked(w, node, ASKED_ASKING, 0);
    }
    return true;
}

static struct redis_node *node_of(struct writing *w, const struct item *item)
{
    char tag[REDIS_TAG_LEN + 1];
    if (item->ask)
        return item->ask;
    redis_rows_tag(item->l->uid, tag);
    return redis_nodes_of(w->nodes, redis_nodes_slot((struct span){tag, REDIS_TAG_LEN}));
}

static void put(struct writing *w, uint32_t index)
{
    struct item *item = &w->items[index];
    struct error why = {0};
    struct redis_node *node = node_of(w, item);
    if (node->down || !prepare(w, node, item->ask != NULL)) {
        item->state = STUCK;
        return;
    }
    struct buf *out = redis_link_out(node->link);
    const size_t before = out->len;
    redis_rows_put(w->rows, item->l, item->n_good, out);
    const size_t bytes = out->len - before;
    if (bytes > REDIS_LANDING_BYTES_MAX) {
        out->len = before;
        item->state = OVER;
        landing_fail(item->l, LANDING_FAILED,
                     "the task's rows make a command of %zu bytes, a landing in Redis has %d at "
                     "most: make task_items smaller",
                     bytes, REDIS_LANDING_BYTES_MAX);
        return;
    }
    item->state = UNDER_WAY;
    if (!asked(w, node, index, bytes)) {
        item->state = STUCK;
        return;
    }
    if (out->len > REDIS_PUSH_BYTES && redis_link_push(node->link, &why))
        lose_node(w, node, &why);
    while (node->n_asked > 1 && node->asked_bytes > REDIS_IN_FLIGHT_BYTES)
        take_answer(w, node);
}

/* One round: everything that waits is put, and every answer taken. */
static void go_round(struct writing *w)
{
    w->again = false;
    for (uint32_t i = 0; i < w->n && !w->fault; i++)
        if (w->items[i].state == WAITS)
            put(w, i);
    for (size_t i = 0; i < w->nodes->n; i++) { /* all are sent before one is waited for */
        struct redis_node *node = w->nodes->list[i];
        struct error why = {0};
        if (node->n_asked > 0 && redis_link_push(node->link, &why))
            lose_node(w, node, &why);
    }
    for (size_t i = 0; i < w->nodes->n; i++)
        while (w->nodes->list[i]->n_asked > 0)
            take_answer(w, w->nodes->list[i]);
}

static bool any_waits(const struct writing *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->items[i].state == WAITS)
            return true;
    return false;
}

static void write_all(struct writing *w)
{
    const uint64_t give_up_ms = MIN(w->deadline_ms, clock_ms() + REDIS_MIGRATION_MS);
    struct error why = {0};
    int redirections = 0;
    while (!w->fault && any_waits(w)) {
        go_round(w);
        if (w->fault || !any_waits(w))
            return;
        if (redis_nodes_refresh(w->nodes, w->deadline_ms, &why)) {
            error_set(w->e, ERR_UNAVAILABLE, "%s", why.detail);
            w->fault = true;
        } else if (w->again && clock_ms() >= give_up_ms) {
            note_fault(w, w->nodes->list[0], "TRYAGAIN: the cluster is moving the job's slot");
        } else if (w->again) {
            poll(NULL, 0, REDIS_AGAIN_MS);
        } else if (++redirections > REDIS_ROUNDS_MAX) {
            note_fault(w, w->nodes->list[0], "the cluster sends the rows from node to node");
        }
    }
}

int redis_write(struct redis_nodes *nodes, struct redis_rows *rows, struct landing **list, size_t n,
                uint64_t deadline_ms, struct error *e)
{
    struct error own = {0};
    struct writing w = {
        .nodes = nodes, .rows = rows, .n = n, .deadline_ms = deadline_ms, .e = e ? e : &own};
    w.items = calloc(n ? n : 1, sizeof(*w.items));
    if (!w.items)
        return error_set(e, ERR_UNAVAILABLE, "no memory for what is to be written to Redis");
    for (size_t i = 0; i < n; i++) {
        landing_done(list[i]); /* the rejects of an attempt that came to nothing */
        list[i]->verdict = LANDING_UNDECIDED;
        w.items[i].l = list[i];
        w.items[i].n_good = redis_rows_screen(rows, list[i]);
        w.items[i].state = list[i]->verdict == LANDING_UNDECIDED ? WAITS : OVER;
    }
    write_all(&w);
    for (size_t i = 0; i < n; i++)
        if (list[i]->verdict == LANDING_UNDECIDED)
            landing_done(list[i]);
    free(w.items);
    return w.fault ? ERR_UNAVAILABLE : ERR_OK;
}
