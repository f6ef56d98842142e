#include "blob_serve.h"

#include "common/log.h"
#include "coordinator/edge/blobs.h"
#include "coordinator/edge/part_serve.h"
#include "coordinator/edge/sessions.h"

/* One question, until its answer is sent. */
struct serve_ask {
    struct blob_request request; /* first: what comes back is cast */
    struct serve_ask *next;
    uint64_t session;
    uint32_t what;
    uint32_t bytes; /* that are counted for it */
};

struct blob_serve {
    struct edge *edge;
    struct serve_ask *head, **tail; /* wait for room */
    uint64_t bytes;                 /* being read, or sent and not read */
};

/* Where bytes come from. start: takes the ask, or says why not. */
struct serve_source {
    int (*start)(struct blob_serve *v, struct serve_ask *ask, struct error *error);
    /* The names that it takes are so long; 0: it is not served. */
    size_t name_len;
    uint32_t max; /* bytes in one answer */
};

static int file_start(struct blob_serve *v, struct serve_ask *ask, struct error *error);
static int parts_start(struct blob_serve *v, struct serve_ask *ask, struct error *error);

static const struct serve_source sources[] = {
    [WIRE_BLOB_FILE] = {file_start, BLOB_NAME_BYTES, BLOB_CHUNK_BYTES},
    [WIRE_BLOB_PARTS] = {parts_start, PART_SERVE_NAME_LEN, PART_SERVE_BYTES_MAX},
};

struct blob_serve *blob_serve_new(struct edge *e)
{
    struct blob_serve *v = calloc(1, sizeof(*v));
    if (!v)
        return NULL;
    v->edge = e;
    v->tail = &v->head;
    return v;
}

static void ask_free(struct serve_ask *ask)
{
    buf_done(&ask->request.out);
    free(ask);
}

static struct serve_ask *pop(struct blob_serve *v)
{
    struct serve_ask *ask = v->head;
    v->head = ask->next;
    if (!v->head)
        v->tail = &v->head;
    return ask;
}

void blob_serve_free(struct blob_serve *v)
{
    while (v && v->head)
        ask_free(pop(v));
    free(v);
}

/* ---- answers ---- */

static void send(struct blob_serve *v, struct session *s, const struct wire_blob_answer *m)
{
    sessions_message(v->edge->sessions, s, WIRE_BLOB);
    wire_blob_answer_pack(&v->edge->out, m);
    sessions_send(v->edge->sessions, s);
}

/* Counts what was sent until the worker has read it. */
static void note_sent(struct blob_serve *v, struct session *s, uint32_t bytes)
{
    struct serve_session *o = &s->serve;
    assert(o->n_sent < SERVE_ASKS_MAX);
    o->sent[o->n_sent].seq = s->seq_out;
    o->sent[o->n_sent++].bytes = bytes;
    v->bytes += bytes;
}

static void refuse(struct blob_serve *v, struct session *s, const struct wire_blob_ask *ask,
                   const struct error *error)
{
    send(v, s,
         &(struct wire_blob_answer){.what = ask->what,
                                    .name = ask->name,
                                    .offset = ask->offset,
                                    .next = ask->offset,
                                    .code = (uint32_t)error->code,
                                    .detail = span_str(error->detail)});
}

/* ---- blobs ---- */

static void file_done(struct blob_request *r, void *user)
{
    struct edge *e = user;
    struct blob_serve *v = e->blob_serve;
    struct serve_ask *ask = (struct serve_ask *)r;
    struct session *s = sessions_get(e->sessions, ask->session);
    blobs_read_done(e->blobs, r);
    v->bytes -= ask->bytes;
    if (s && !s->broken) {
        bool good = r->rc == ERR_OK;
        s->serve.asks--;
        send(v, s,
             &(struct wire_blob_answer){
                 .what = ask->what,
                 .name = blob_name_span(&r->name),
                 .offset = r->offset,
                 .next = r->offset + (good ? r->out.len : 0),
                 .total = good ? r->total : 0,
                 .data = good ? buf_span(&r->out) : (struct span){0},
                 .code = (uint32_t)r->rc,
                 .detail = good ? (struct span){0} : span_str(r->error.detail),
             });
        if (good)
            note_sent(v, s, (uint32_t)r->out.len);
    }
    ask_free(ask);
}

static int file_start(struct blob_serve *v, struct serve_ask *ask, struct error *error)
{
    ask->request.done = file_done;
    const int rc = blobs_read(v->edge->blobs, &ask->request, error);
    if (rc == ERR_OK)
        v->bytes += ask->bytes;
    return rc;
}

/* ---- parts of a job ---- */

static void parts_done(struct edge *e, const struct part_answer *a)
{
    struct blob_serve *v = e->blob_serve;
    struct session *s = sessions_get(e->sessions, a->session);
    uint8_t name[PART_SERVE_NAME_LEN];
    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = (uint8_t)(a->job >> (56 - 8 * i));
    v->bytes -= a->bytes_asked;
    if (!s || s->broken)
        return;
    const bool good = a->rc == ERR_OK;
    s->serve.asks--;
    send(v, s,
         &(struct wire_blob_answer){
             .what = WIRE_BLOB_PARTS,
             .name = {(const char *)name, sizeof(name)},
             .offset = a->cursor,
             .next = good ? a->next : a->cursor,
             .total = good ? a->total : 0,
             .data = good ? a->data : (struct span){0},
             .code = (uint32_t)a->rc,
             .detail = good ? (struct span){0} : span_str(a->detail),
         });
    if (good)
        note_sent(v, s, (uint32_t)a->data.len);
}

static int parts_start(struct blob_serve *v, struct serve_ask *ask, struct error *error)
{
    const struct span name = {(const char *)ask->request.name.v, PART_SERVE_NAME_LEN};
    const int rc =
        part_serve(v->edge, ask->session, name, ask->request.offset, ask->bytes, parts_done, error);
    if (rc != ERR_OK)
        return rc;
    v->bytes += ask->bytes;
    ask_free(ask);
    return ERR_OK;
}

/* ---- questions ---- */

/* Starts what waits, while there is room. */
static void pump(struct blob_serve *v)
{
    while (v->head && v->bytes < SERVE_BYTES_MAX && !v->edge->stopping) {
        struct serve_ask *ask = pop(v);
        struct session *s = sessions_get(v->edge->sessions, ask->session);
        struct error error = {0};
        if (!s || s->broken) {
            ask_free(ask);
            continue;
        }
        int rc = sources[ask->what].start(v, ask, &error);
        if (rc == ERR_OK)
            continue;
        s->serve.asks--;
        refuse(v, s,
               &(struct wire_blob_ask){.what = ask->what,
                                       .name = {(const char *)ask->request.name.v,
                                                sources[ask->what].name_len},
                                       .offset = ask->request.offset},
               &error);
        ask_free(ask);
    }
}

void blob_serve_ask(struct blob_serve *v, struct session *s, const struct wire_blob_ask *m)
{
    struct error error = {0};
    struct serve_ask *ask = NULL;
    if (m->what >= ARRAY_LEN(sources) || sources[m->what].name_len != m->name.len)
        error_set(&error, ERR_NOT_FOUND, "this coordinator has no such source of bytes");
    else if (s->serve.asks + s->serve.n_sent >= SERVE_ASKS_MAX)
        error_set(&error, ERR_UNAVAILABLE, "more than %d questions at a time", SERVE_ASKS_MAX);
    else if (!(ask = calloc(1, sizeof(*ask))))
        error_set(&error, ERR_UNAVAILABLE, "the coordinator has no memory for it now");
    if (!ask)
        return refuse(v, s, m, &error);
    memcpy(ask->request.name.v, m->name.p, m->name.len);
    ask->session = s->id;
    ask->what = m->what;
    ask->request.offset = m->offset;
    ask->request.max = MIN(m->max, sources[m->what].max);
    ask->bytes = (uint32_t)ask->request.max;
    buf_init(&ask->request.out, 0);
    s->serve.asks++;
    *v->tail = ask;
    v->tail = &ask->next;
    pump(v);
}

void blob_serve_acked(struct blob_serve *v, struct session *s, uint64_t ack_seq)
{
    struct serve_session *o = &s->serve;
    uint32_t n = 0;
    while (n < o->n_sent && o->sent[n].seq <= ack_seq)
        v->bytes -= o->sent[n++].bytes;
    if (n == 0)
        return;
    o->n_sent -= n;
    memmove(o->sent, o->sent + n, o->n_sent * sizeof(o->sent[0]));
    pump(v);
}

void blob_serve_forget(struct blob_serve *v, struct session *s)
{
    blob_serve_acked(v, s, UINT64_MAX);
}
