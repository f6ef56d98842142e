#include "part_serve.h"

struct part_request {
    struct store_request request; /* first: what comes back is cast */
    uint64_t session, job, cursor;
    uint32_t max;
    part_serve_fn *done;
    struct store_result *parts;
    size_t n;
};

static int run(struct store *store, struct store_request *r)
{
    struct part_request *p = (struct part_request *)r;
    arena_clear(&r->arena);
    return store_parts(store, p->job, p->cursor, p->max, &r->arena, &p->parts, &p->n, &r->error);
}

static void done(struct store_request *r, void *user)
{
    struct part_request *p = (struct part_request *)r;
    struct buf data = {0};
    struct part_answer a = {.session = p->session,
                            .job = p->job,
                            .cursor = p->cursor,
                            .next = p->cursor,
                            .total = p->cursor,
                            .bytes_asked = p->max,
                            .rc = r->rc,
                            .detail = r->error.detail};
    for (size_t i = 0; i < p->n && r->rc == ERR_OK; i++) {
        buf_append(&data, p->parts[i].rows.p, p->parts[i].rows.len);
        a.next = p->parts[i].cursor;
        a.total = UINT64_MAX;
    }
    if (!buf_ok(&data)) {
        a.rc = ERR_UNAVAILABLE;
        a.detail = "the coordinator has no memory for it now";
    } else {
        a.data = buf_span(&data);
    }
    p->done(user, &a);
    buf_done(&data);
    arena_done(&r->arena);
    free(p);
}

int part_serve(struct edge *e, uint64_t session, struct span name, uint64_t cursor, uint32_t max,
               part_serve_fn *fn, struct error *error)
{
    struct part_request *p = calloc(1, sizeof(*p));
    if (!p)
        return error_set(error, ERR_UNAVAILABLE, "the coordinator has no memory for it now");
    assert(name.len == PART_SERVE_NAME_LEN);
    for (size_t i = 0; i < name.len; i++)
        p->job = p->job << 8 | (uint8_t)name.p[i];
    p->session = session;
    p->cursor = cursor;
    p->max = max;
    p->done = fn;
    arena_init(&p->request.arena, 0);
    p->request.bytes = sizeof(*p);
    p->request.run = run;
    p->request.done = done;
    store_thread_submit(e->store, &p->request);
    return ERR_OK;
}
