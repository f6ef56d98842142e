/* verbs_submit.c: jobs, their input in chunks, and its end, on the way in. */
#include "verbs.h"

#include "common/blob_files.h"
#include "common/log.h"
#include "common/pack.h"
#include "common/unpack.h"
#include "coordinator/edge/asks.h"
#include "coordinator/edge/blobs.h"
#include "coordinator/edge/jobs.h"
#include "coordinator/edge/looks.h"

/* ---- blobs ---- */

/* Where a missing blob is named. */
struct need {
    struct call *call;
    struct error *error;
};

static int need_blob(void *user, const struct blob_name *name)
{
    struct need *need = user;
    struct call *c = need->call;
    int rc = blobs_need(c->edge->blobs, name, need->error);
    if (rc == 0 && c->n_blobs == c->cap_blobs) {
        size_t cap = c->cap_blobs ? c->cap_blobs * 2 : 16;
        struct blob_name *grown = arena_alloc(&c->arena, cap * sizeof(*grown));
        if (!grown)
            return error_set(need->error, ERR_NOMEM, "no memory for the request");
        if (c->n_blobs)
            memcpy(grown, c->blobs, c->n_blobs * sizeof(*grown));
        c->blobs = grown;
        c->cap_blobs = cap;
    }
    if (rc == 0)
        c->blobs[c->n_blobs++] = *name;
    return rc;
}

/* ---- descriptions ---- */

static int map_blob(void *user, const struct blob_name *name, struct span *ret, struct error *error)
{
    return looks_map(user, name, ret, error);
}

static void unmap_blob(void *user UNUSED, struct span bytes)
{
    blob_files_unmap(bytes);
}

static int compile(struct call *c, const struct spec_files *files, struct error *error)
{
    struct buf text = {0};
    int rc = spec_compile(c->spec, files, &text, error);
    if (rc == ERR_OK && text.len > 0) {
        const char *copy = arena_strndup(&c->arena, (const char *)text.data, text.len);
        c->args.spec = (struct span){copy, text.len};
        if (!copy)
            rc = error_set(error, ERR_NOMEM, "no memory for the request");
    }
    buf_done(&text);
    return rc;
}

/* On the thread that looks at models; the call is its own meanwhile. */
static int compile_there(struct look *look, struct error *error)
{
    const struct spec_files files = {map_blob, unmap_blob, look->owner};
    return compile(CONTAINER_OF(look, struct call, look), &files, error);
}

static void looked(struct look *look)
{
    struct call *c = CONTAINER_OF(look, struct call, look);
    struct error error = {0};
    if (look->rc)
        return front_fail(c, look->rc, look->error.detail);
    if (c->edge->stopping)
        return front_fail(c, ERR_UNAVAILABLE, "the coordinator is stopping");
    int rc = c->looked(c, &error);
    if (rc)
        front_fail(c, rc, error.detail);
}

/* Compiles the description, and goes on with `then`: at once, or when the models that its stages name were
 * looked at. Until then the client has no number of a job that it could send input for. */
static int describe(struct call *c, int (*then)(struct call *c, struct error *error),
                    struct error *error)
{
    int rc = jobs_read(c->edge->jobs, c->args.spec, &c->spec, error);
    if (rc == 0)
        rc = spec_wants(c->spec, need_blob, &(struct need){c, error}, error);
    if (rc)
        return rc;
    if (c->n_blobs == 0) {
        rc = compile(c, NULL, error);
        return rc ? rc : then(c, error);
    }
    c->looked = then;
    c->look.blobs = c->blobs;
    c->look.n_blobs = c->n_blobs;
    c->look.run = compile_there;
    c->look.done = looked;
    return looks_submit(c->edge->looks, &c->look, error);
}

/* ---- job.submit ---- */

static int submit_run(struct store *s, struct store_request *r)
{
    struct call *c = (struct call *)r;
    const struct spec *spec = c->spec;
    struct store_submit in = {
        .client = c->client,
        .idem_key = c->args.idem,
        .name = span_str(spec->name),
        .spec = c->args.spec,
        .priority = spec->priority,
        .unique = spec->unique,
        .task_items = spec->task_items,
        .items_max = spec->items_max,
        .now_ms = c->wall_ms,
        .ttl_ms = (int64_t)spec->ttl_ms,
    };
    int rc = store_job_submit(s, &in, &c->args.job, &c->existing, &r->error);
    if (rc == 0 && c->n_blobs)
        rc = store_blob_use(s, c->args.job, c->blobs, c->n_blobs, &r->error);
    if (rc == 0)
        rc = store_job_get(s, c->args.job, &r->arena, &c->job, &r->error);
    if (rc == 0 && c->existing)
        rc = store_job_chunks(s, c->args.job, &c->n, &r->error);
    return rc;
}

/* Sinks that could not be asked whether the job fits. */
static void pack_warnings(const struct call *c, struct buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_asks; i++)
        n += c->asks[i].request.rc != 0;
    pack_cstr(out, "warnings");
    pack_array(out, n);
    for (size_t i = 0; i < c->n_asks; i++) {
        const struct ask *a = &c->asks[i];
        struct error text;
        if (a->request.rc == 0)
            continue;
        error_set(&text, ERR_OK, "sinks[%zu]: %s could not be asked whether the job fits: %.350s",
                  a->index, c->edge->sinks->entries[a->request.sink].downstream,
                  a->request.error.detail);
        pack_cstr(out, text.detail);
    }
}

static void submit_done(struct store_request *r, void *user)
{
    struct call *c = (struct call *)r;
    struct edge *e = user;
    edge_store_result(e, r->rc);
    if (r->rc)
        return front_fail(c, r->rc, r->error.detail);
    if (!c->existing) {
        e->counts.jobs_submitted[edge_kind_index(c->spec->kinds)]++;
        LOG_INFO("job submitted", log_u64("job", c->args.job), log_span("client", c->client),
                 log_str("name", c->spec->name));
        int rc = jobs_open(e->jobs, &c->job, &c->spec, &r->error);
        if (rc)
            return front_fail(c, rc, r->error.detail);
    }
    struct buf *out = front_reply(c);
    pack_map(out, 5);
    pack_warnings(c, out);
    pack_cstr(out, "job");
    pack_u64(out, c->args.job);
    pack_cstr(out, "existing");
    pack_bool(out, c->existing);
    pack_cstr(out, "chunks");
    pack_u64(out, c->n);
    pack_cstr(out, "sealed");
    pack_bool(out, c->job.sealed);
    front_send(c);
}

/* What does not fit is refused. A sink that cannot be asked refuses nothing: while it fails, the
 * job's tasks are held, and what does not fit fails them with the sink's words afterwards. True: the
 * call was answered. */
static bool refused(struct call *c)
{
    for (size_t i = 0; i < c->n_asks; i++) {
        const struct ask *a = &c->asks[i];
        struct error why;
        if (a->request.rc == ERR_INVALID_SPEC) {
            error_set(&why, ERR_INVALID_SPEC, "sinks[%zu].%.450s", a->index,
                      a->request.error.detail);
            front_fail(c, ERR_INVALID_SPEC, why.detail);
            return true;
        }
        if (a->request.rc)
            LOG_WARN("a sink could not be asked whether a job fits",
                     log_str("sink", c->edge->sinks->entries[a->request.sink].downstream),
                     log_str("name", c->spec->name), log_err(&a->request.error));
    }
    return false;
}

static void submit_asked(struct call *c)
{
    if (refused(c))
        return;
    if (c->edge->stopping)
        return front_fail(c, ERR_UNAVAILABLE, "the coordinator is stopping");
    /* Once more, since sinks and models may have taken seconds: what is named now is kept until it is noted. */
    for (size_t i = 0; i < c->n_blobs; i++) {
        struct error gone = {0};
        if (blobs_need(c->edge->blobs, &c->blobs[i], &gone))
            return front_fail(c, (int)gone.code, gone.detail);
    }
    front_store(c, true, submit_run, submit_done);
}

static int submit_described(struct call *c, struct error *error)
{
    int rc = sinks_check_spec(c->edge->sinks, c->spec, error);
    c->n_blobs = 0; /* those that it was completed from come again */
    if (rc == 0)
        rc = spec_blobs(c->spec, need_blob, &(struct need){c, error});
    return rc ? rc : asks_fits(c, submit_asked, error);
}

int verbs_job_submit(struct call *c, struct error *error)
{
    int rc = front_need(c->args.spec.p, "spec", error);
    if (rc == 0)
        rc = edge_admit(c->edge, error);
    return rc ? rc : describe(c, submit_described, error);
}

/* ---- job.check ---- */

static void check_asked(struct call *c)
{
    struct buf plan = {0};
    if (refused(c))
        return;
    const struct batch *columns = c->spec->columns;
    struct buf *out = front_reply(c);
    pack_map(out, 4);
    pack_warnings(c, out);
    pack_cstr(out, "columns");
    pack_array(out, columns->n_columns);
    for (size_t i = 0; i < columns->n_columns; i++) {
        pack_array(out, 2);
        pack_cstr(out, columns->columns[i].name);
        pack_cstr(out, col_type_name(columns->columns[i].type));
    }
    pack_cstr(out, "gathers");
    pack_bool(out, c->spec->gather < c->spec->n_stages);
    spec_explain(c->spec, &plan);
    pack_cstr(out, "plan");
    pack_str(out, buf_span(&plan));
    out->failed |= !buf_ok(&plan);
    buf_done(&plan);
    front_send(c);
}

static int check_described(struct call *c, struct error *error)
{
    int rc = sinks_check_spec(c->edge->sinks, c->spec, error);
    return rc ? rc : asks_fits(c, check_asked, error);
}

int verbs_job_check(struct call *c, struct error *error)
{
    int rc = front_need(c->args.spec.p, "spec", error);
    return rc ? rc : describe(c, check_described, error);
}

/* ---- job.input ---- */

/* Packs every item; each span is taken after the buffer has stopped moving. */
static int make_items(struct call *c, const struct spec *spec, struct buf *packed,
                      struct error *error)
{
    struct unpack u;
    unpack_init(&u, c->args.items.p, c->args.items.len);
    size_t n = unpack_array(&u);
    if (n > FRONT_ITEMS_MAX)
        return error_set(error, ERR_PAYLOAD_TOO_LARGE,
                         "%zu items in one chunk; at most %d, send more chunks", n,
                         FRONT_ITEMS_MAX);
    c->items = arena_alloc(&c->arena, MAX(n, (size_t)1) * sizeof(*c->items));
    if (!c->items)
        return error_set(error, ERR_NOMEM, "no memory for the items");
    for (size_t i = 0; i < n; i++) {
        struct store_item *item = &c->items[i];
        struct error why = {0};
        size_t from = packed->len;
        if (unpack_peek(&u) != UNPACK_STR)
            return error_set(error, ERR_INVALID_ARGUMENT, "items[%zu] is not a text", i);
        struct span text = unpack_str(&u);
        if (!unpack_ok(&u))
            return error_set(error, ERR_MALFORMED, "items[%zu] cannot be read", i);
        int rc = spec_item(spec, text, 0, packed, &item->key, &item->unique, &why);
        if (rc == 0 && buf_ok(packed)) {
            struct span one = {(const char *)packed->data + from, packed->len - from};
            rc = spec_item_blobs(spec, one, need_blob, &(struct need){c, &why});
        }
        if (rc)
            return error_set(error, (enum err)rc, "items[%zu]: %s", i, why.detail);
        item->input = (struct span){NULL, packed->len - from};
    }
    if (!buf_ok(packed))
        return error_set(error, ERR_NOMEM, "no memory for the items");
    c->n_items = n;
    return 0;
}

static int place_items(struct call *c, const struct buf *packed, struct error *error)
{
    char *bytes = arena_alloc(&c->arena, packed->len + 1);
    if (!bytes)
        return error_set(error, ERR_NOMEM, "no memory for the items");
    if (packed->len)
        memcpy(bytes, packed->data, packed->len);
    size_t at = 0;
    for (size_t i = 0; i < c->n_items; i++) {
        c->items[i].input.p = bytes + at;
        at += c->items[i].input.len;
    }
    return 0;
}

static int input_run(struct store *s, struct store_request *r)
{
    struct call *c = (struct call *)r;
    struct store_job before;
    int rc = store_job_get(s, c->args.job, &r->arena, &before, &r->error);
    if (rc == 0 && c->n_blobs)
        rc = store_blob_use(s, c->args.job, c->blobs, c->n_blobs, &r->error);
    if (rc == 0)
        rc = store_job_input(s, c->args.job, c->args.chunk, c->items, c->n_items, &r->arena,
                             &c->tasks, &c->n_tasks, &r->error);
    if (rc == 0)
        rc = store_job_get(s, c->args.job, &r->arena, &c->job, &r->error);
    if (rc == 0)
        c->accepted = c->job.items - before.items;
    return rc;
}

static void input_done(struct store_request *r, void *user)
{
    struct call *c = (struct call *)r;
    struct edge *e = user;
    edge_store_result(e, r->rc);
    if (r->rc)
        return front_fail(c, r->rc, r->error.detail);
    e->counts.items += c->accepted;
    jobs_tasks(e->jobs, &c->job, c->tasks, c->n_tasks);
    struct buf *out = front_reply(c);
    pack_map(out, 2);
    pack_cstr(out, "accepted");
    pack_u64(out, c->accepted);
    pack_cstr(out, "tasks");
    pack_u64(out, c->n_tasks);
    front_send(c);
}

/* The job that takes input: by id only, since a name would cost a look-up for each chunk. */
static int open_job(struct call *c, struct job **ret, struct error *error)
{
    int rc = front_need(c->args.job != 0, "job", error);
    if (rc)
        return rc;
    *ret = jobs_get(c->edge->jobs, (struct job_id){c->args.job});
    if (*ret)
        return 0;
    return error_set(error, ERR_NOT_FOUND, "there is no open job %llu",
                     (unsigned long long)c->args.job);
}

int verbs_job_input(struct call *c, struct error *error)
{
    struct job *job;
    struct buf packed;
    int rc = front_need(c->args.items.p, "items", error);
    if (rc == 0)
        rc = open_job(c, &job, error);
    if (rc == 0)
        rc = edge_admit(c->edge, error);
    if (rc)
        return rc;
    buf_init(&packed, 0);
    rc = make_items(c, job->spec, &packed, error);
    if (rc == 0)
        rc = place_items(c, &packed, error);
    buf_done(&packed);
    if (rc)
        return rc;
    front_store(c, true, input_run, input_done);
    return 0;
}

/* ---- job.seal ---- */

static int seal_run(struct store *s, struct store_request *r)
{
    struct call *c = (struct call *)r;
    int rc = front_job(s, c, &r->error);
    if (rc == 0)
        rc = store_job_get(s, c->args.job, &r->arena, &c->job, &r->error);
    if (rc == 0 && !c->job.sealed)
        rc = store_job_seal(s, c->args.job, &r->error);
    return rc;
}

static void seal_done(struct store_request *r, void *user)
{
    struct call *c = (struct call *)r;
    struct edge *e = user;
    edge_store_result(e, r->rc);
    if (r->rc)
        return front_fail(c, r->rc, r->error.detail);
    struct job *job = jobs_get(e->jobs, (struct job_id){c->args.job});
    if (job && !c->job.sealed) {
        edge_event(e, &(struct sched_event){.type = SCHED_EV_JOB_SEAL, .job = {c->args.job}});
        jobs_changed(e->jobs, job, false);
    }
    pack_map(front_reply(c), 0);
    front_send(c);
}

int verbs_job_seal(struct call *c, struct error *error)
{
    int rc = front_need(c->args.job || c->args.job_name.len, "job", error);
    if (rc == 0)
        front_store(c, true, seal_run, seal_done);
    return rc;
}
