#include "front.h"

#include "common/log.h"
#include "common/unpack.h"
#include "common/wire.h"
#include "coordinator/edge/verbs.h"

enum { CLIENT = KEYS_CLIENT | KEYS_ADMIN, ADMIN = KEYS_ADMIN };

static const struct front_verb verbs[] = {
    {"server.info", CLIENT, verbs_server_info},
    {"status", CLIENT, verbs_status},
    {"job.submit", CLIENT, verbs_job_submit},
    {"job.check", CLIENT, verbs_job_check},
    {"job.input", CLIENT, verbs_job_input},
    {"job.seal", CLIENT, verbs_job_seal},
    {"job.status", CLIENT, verbs_job_status},
    {"job.ls", CLIENT, verbs_job_ls},
    {"job.wait", CLIENT, verbs_job_wait},
    {"job.results", CLIENT, verbs_job_results},
    {"job.rejects", CLIENT, verbs_job_rejects},
    {"job.cancel", CLIENT, verbs_job_cancel},
    {"job.pause", CLIENT, verbs_job_pause},
    {"job.resume", CLIENT, verbs_job_resume},
    {"job.retry", CLIENT, verbs_job_retry},
    {"job.rm", CLIENT, verbs_job_rm},
    {"blob.have", CLIENT, verbs_blob_have},
    {"blob.put", CLIENT, verbs_blob_put},
    {"model.ls", CLIENT, verbs_model_ls},
    {"model.show", CLIENT, verbs_model_show},
    {"model.add", CLIENT, verbs_model_add},
    {"model.rm", CLIENT, verbs_model_rm},
    {"predict", CLIENT, verbs_predict},
    {"dead.ls", CLIENT, verbs_dead_ls},
    {"dead.show", CLIENT, verbs_dead_show},
    {"dead.retry", CLIENT, verbs_dead_retry},
    {"dead.discard", CLIENT, verbs_dead_discard},
    {"job.explain", CLIENT, verbs_job_explain},
    {"task.explain", CLIENT, verbs_task_explain},
    {"breaker.ls", CLIENT, verbs_breaker_ls},
    {"breaker.trip", ADMIN, verbs_breaker_trip},
    {"breaker.pin", ADMIN, verbs_breaker_pin},
    {"breaker.reset", ADMIN, verbs_breaker_reset},
    {"sink.ls", CLIENT, verbs_sink_ls},
    {"sink.check", CLIENT, verbs_sink_check},
    {"worker.ls", CLIENT, verbs_worker_ls},
    {"worker.show", CLIENT, verbs_worker_show},
    {"worker.drain", ADMIN, verbs_worker_drain},
    {"worker.resume", ADMIN, verbs_worker_resume},
    {"key.ls", ADMIN, verbs_key_ls},
    {"key.authorize", ADMIN, verbs_key_authorize},
    {"key.revoke", ADMIN, verbs_key_revoke},
    {"config.show", ADMIN, verbs_config_show},
};

static const struct front_verb *find_verb(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (span_eq(span_str(verbs[i].name), name))
            return &verbs[i];
    return NULL;
}

/* ---- calls ---- */

static struct call *call_new(struct edge *e)
{
    struct call *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->edge = e;
    arena_init(&c->arena, 0);
    arena_init(&c->request.arena, 0);
    return c;
}

void front_free(struct call *c)
{
    if (!c)
        return;
    if (c->received)
        transport_message_done(&c->message);
    spec_free(c->spec);
    model_info_free(c->check.info);
    buf_done(&c->check.text);
    arena_done(&c->arena);
    arena_done(&c->request.arena);
    free(c);
}

static void begin(struct call *c, enum wire_type type)
{
    struct buf *out = &c->edge->out;
    buf_clear(out);
    wire_frame_pack(out, &(struct wire_frame){.version = WIRE_VERSION,
                                              .type = type,
                                              .epoch = c->edge->epoch,
                                              .seq = c->seq,
                                              .ack_seq = c->seq});
}

struct buf *front_reply(struct call *c)
{
    begin(c, WIRE_REPLY);
    wire_reply_begin(&c->edge->out, c->seq);
    return &c->edge->out;
}

void front_send(struct call *c)
{
    struct edge *e = c->edge;
    struct error error = {0};
    if (!buf_ok(&e->out) || e->out.len > WIRE_MESSAGE_MAX)
        return front_fail(c, ERR_PAYLOAD_TOO_LARGE,
                          "the answer is larger than a message; ask for less");
    /* A client that is gone or does not read asks again. */
    int rc = transport_send(e->front, &c->message.peer, buf_span(&e->out), &error);
    if (rc)
        LOG_DEBUG("an answer was not sent", log_str("verb", c->verb ? c->verb->name : NULL),
                  log_err(&error));
    front_free(c);
}

void front_fail(struct call *c, int code, const char *detail)
{
    bool later = err_class((enum err)code) == ERR_CLASS_RETRY;
    front_fail_later(c, code, detail, later ? FRONT_RETRY_AFTER_MS : 0);
}

void front_fail_later(struct call *c, int code, const char *detail, uint32_t retry_after_ms)
{
    struct edge *e = c->edge;
    struct error error = {0};
    e->counts.requests_failed++;
    if (code == ERR_QUEUE_FULL || code == ERR_STORE_FULL)
        e->counts.refused_full++;
    begin(c, WIRE_ERROR);
    wire_error_pack(&e->out,
                    &(struct wire_error){
                        .seq = c->seq,
                        .code = (uint32_t)code,
                        .detail = span_str(detail && detail[0] ? detail : err_text((enum err)code)),
                        .retry_after_ms = retry_after_ms});
    (void)!transport_send(e->front, &c->message.peer, buf_span(&e->out), &error);
    front_free(c);
}

void front_store(struct call *c, bool write, int (*run)(struct store *, struct store_request *),
                 void (*done)(struct store_request *, void *))
{
    c->wall_ms = c->edge->wall_ms;
    c->request.write = write;
    c->request.bytes = sizeof(*c) + c->message.data.len + c->arena.used_bytes;
    c->request.run = run;
    c->request.done = done;
    c->request.rc = 0;
    c->request.error = (struct error){0};
    arena_clear(&c->request.arena);
    store_thread_submit(c->edge->store, &c->request);
}

int front_job(struct store *s, struct call *c, struct error *error)
{
    if (c->args.job || !c->args.job_name.len)
        return 0;
    int rc = store_job_find(s, c->args.job_name, &c->args.job, error);
    if (rc == ERR_NOT_FOUND)
        return error_set(error, ERR_NOT_FOUND, "there is no job named %.*s",
                         (int)MIN(c->args.job_name.len, (size_t)100), c->args.job_name.p);
    return rc;
}

int front_need(bool given, const char *argument, struct error *error)
{
    if (given)
        return 0;
    return error_set(error, ERR_INVALID_ARGUMENT, "the argument %s is missing", argument);
}

/* ---- arguments ---- */

enum arg_type { ARG_U64, ARG_F64, ARG_TEXT, ARG_BIN, ARG_ARRAY, ARG_JOB };

static const struct arg {
    const char *name;
    enum arg_type type;
    size_t offset; /* in struct front_args */
} args[] = {
    {"job", ARG_JOB, 0},
    {"task", ARG_U64, offsetof(struct front_args, task)},
    {"chunk", ARG_U64, offsetof(struct front_args, chunk)},
    {"cursor", ARG_U64, offsetof(struct front_args, cursor)},
    {"before", ARG_U64, offsetof(struct front_args, before)},
    {"after", ARG_U64, offsetof(struct front_args, after)},
    {"max", ARG_U64, offsetof(struct front_args, max)},
    {"max_bytes", ARG_U64, offsetof(struct front_args, max_bytes)},
    {"wait_ms", ARG_U64, offsetof(struct front_args, wait_ms)},
    {"version", ARG_U64, offsetof(struct front_args, version)},
    {"spec", ARG_TEXT, offsetof(struct front_args, spec)},
    {"idem", ARG_TEXT, offsetof(struct front_args, idem)},
    {"worker", ARG_TEXT, offsetof(struct front_args, worker)},
    {"name", ARG_TEXT, offsetof(struct front_args, name)},
    {"role", ARG_TEXT, offsetof(struct front_args, role)},
    {"public", ARG_TEXT, offsetof(struct front_args, public)},
    {"downstream", ARG_TEXT, offsetof(struct front_args, downstream)},
    {"sink", ARG_TEXT, offsetof(struct front_args, sink)},
    {"sha", ARG_TEXT, offsetof(struct front_args, sha)},
    {"shas", ARG_ARRAY, offsetof(struct front_args, shas)},
    {"offset", ARG_U64, offsetof(struct front_args, offset)},
    {"total", ARG_U64, offsetof(struct front_args, total)},
    {"data", ARG_BIN, offsetof(struct front_args, data)},
    {"items", ARG_ARRAY, offsetof(struct front_args, items)},
    {"blob", ARG_TEXT, offsetof(struct front_args, blob)},
    {"sample", ARG_TEXT, offsetof(struct front_args, sample)},
    {"tolerance", ARG_F64, offsetof(struct front_args, tolerance)},
    {"columns", ARG_ARRAY, offsetof(struct front_args, columns)},
    {"rows", ARG_ARRAY, offsetof(struct front_args, rows)},
    {"timeout_ms", ARG_U64, offsetof(struct front_args, timeout_ms)},
};

/* An id, or a name; a text of digits alone is an id too. */
static void read_job(struct unpack *u, struct front_args *ret)
{
    if (unpack_peek(u) == UNPACK_INT) {
        ret->job = unpack_u64(u);
        return;
    }
    struct span text = unpack_str(u);
    uint64_t id = 0;
    size_t i = 0;
    while (i < text.len && i < 18 && text.p[i] >= '0' && text.p[i] <= '9')
        id = id * 10 + (uint64_t)(text.p[i++] - '0');
    if (text.len && i == text.len)
        ret->job = id;
    else
        ret->job_name = text;
}

static bool read_arg(struct unpack *u, const struct arg *a, struct front_args *ret)
{
    void *to = (char *)ret + a->offset;
    if (unpack_peek(u) == UNPACK_NIL) {
        unpack_skip(u);
        return unpack_ok(u);
    }
    if (a->type == ARG_JOB) {
        read_job(u, ret);
    } else if (a->type == ARG_U64) {
        *(uint64_t *)to = unpack_u64(u);
        if (to == &ret->version)
            ret->has_version = true;
    } else if (a->type == ARG_F64) {
        *(double *)to = unpack_f64(u);
        ret->has_tolerance = true;
    } else if (a->type == ARG_TEXT) {
        *(struct span *)to = unpack_str(u);
    } else if (a->type == ARG_BIN) {
        *(struct span *)to = unpack_bin(u);
    } else {
        if (unpack_peek(u) != UNPACK_ARRAY)
            return false;
        *(struct span *)to = unpack_raw(u);
    }
    return unpack_ok(u);
}

static int read_args(struct span packed, struct front_args *ret, struct error *error)
{
    struct unpack u;
    unpack_init(&u, packed.p, packed.len);
    size_t n = unpack_map(&u);
    for (size_t i = 0; i < n; i++) {
        struct span key = unpack_str(&u);
        const struct arg *a = NULL;
        for (size_t k = 0; k < ARRAY_LEN(args) && key.p; k++)
            if (span_eq(span_str(args[k].name), key))
                a = &args[k];
        if (!unpack_ok(&u))
            break;
        if (!a)
            return error_set(error, ERR_INVALID_ARGUMENT, "unknown argument \"%.*s\"",
                             (int)MIN(key.len, (size_t)60), key.p ? key.p : "");
        if (!read_arg(&u, a, ret))
            return error_set(error, ERR_INVALID_ARGUMENT, "the argument %s has the wrong type",
                             a->name);
    }
    if (!unpack_finished(&u))
        return error_set(error, ERR_MALFORMED, "the arguments are not a map");
    ret->wait_ms = MIN(ret->wait_ms, (uint64_t)FRONT_WAIT_MAX_MS);
    ret->max = ret->max ? MIN(ret->max, (uint64_t)FRONT_LIST_MAX) : 100;
    ret->max_bytes =
        ret->max_bytes ? MIN(ret->max_bytes, (uint64_t)FRONT_RESULT_BYTES_MAX) : 1024 * 1024;
    return 0;
}

/* ---- the way in ---- */

static int handle(struct call *c, struct error *error)
{
    struct edge *e = c->edge;
    struct wire_frame frame;
    struct wire_request request;
    int rc = wire_frame_read(c->message.data, &frame, error);
    if (rc == 0 || rc == ERR_PROTOCOL_MISMATCH)
        c->seq = frame.seq;
    if (rc)
        return rc;
    if (frame.type != WIRE_REQUEST)
        return error_set(error, ERR_MALFORMED, "this port takes requests of clients only");
    rc = wire_request_read(frame.body, &request, error);
    if (rc)
        return rc;
    c->verb = find_verb(request.verb);
    if (!c->verb)
        return error_set(error, ERR_NOT_FOUND, "unknown verb \"%.*s\"",
                         (int)MIN(request.verb.len, (size_t)60),
                         request.verb.p ? request.verb.p : "");
    if (!(c->verb->roles & c->role))
        return error_set(error, ERR_AUTH, "%s needs the key of an administrator", c->verb->name);
    if (e->keyed && !keys_allow_named(e->keys, c->role, c->client))
        return error_set(error, ERR_AUTH, "this key was revoked");
    if (e->stopping)
        return error_set(error, ERR_UNAVAILABLE, "the coordinator is stopping");
    rc = read_args(request.args, &c->args, error);
    return rc ? rc : c->verb->start(c, error);
}

bool front_receive(struct edge *e, size_t max)
{
    for (size_t i = 0; i < max; i++) {
        struct error error = {0};
        struct call *c = call_new(e);
        if (!c)
            return false;
        c->received = transport_recv(e->front, &c->message, &error) == 0;
        if (!c->received) {
            front_free(c);
            return false;
        }
        c->role = c->message.role;
        c->client = c->message.user;
        e->counts.requests++;
        int rc = handle(c, &error);
        if (rc == ERR_MALFORMED)
            e->counts.frames_bad++;
        if (rc)
            front_fail(c, rc, error.detail);
    }
    return true;
}
