#include "wire.h"

#include "pack.h"
#include "unpack.h"
#include "wire_part.h"

enum {
    BOOT_LEN = 16,
    HELD_MAX = 100000, /* leases in a HELLO */
    NAME_MAX_LEN = 64
};

bool wire_name_valid(struct span name)
{
    if (name.len == 0 || name.len > NAME_MAX_LEN)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
        if (!ok)
            return false;
    }
    return true;
}

/* ---- the envelope ---- */

void wire_frame_pack(struct buf *out, const struct wire_frame *frame)
{
    pack_array(out, 7);
    pack_u64(out, frame->version);
    pack_u64(out, frame->type);
    pack_u64(out, frame->epoch);
    pack_u64(out, frame->session);
    pack_u64(out, frame->seq);
    pack_u64(out, frame->ack_seq);
}

int wire_frame_read(struct span message, struct wire_frame *ret, struct error *e)
{
    struct unpack u;
    struct wire_frame f;
    size_t extra;
    if (message.len > WIRE_MESSAGE_MAX)
        return error_set(e, ERR_LIMIT, "a message of %zu bytes; the limit is %d", message.len,
                         WIRE_MESSAGE_MAX);
    unpack_init(&u, message.p, message.len);
    unpack_tuple(&u, 7, &extra);
    f.version = unpack_u64(&u);
    f.type = unpack_u64(&u);
    f.epoch = unpack_u64(&u);
    f.session = unpack_u64(&u);
    f.seq = unpack_u64(&u);
    f.ack_seq = unpack_u64(&u);
    f.body = wire_part_raw(&u, UNPACK_ARRAY);
    unpack_skip_n(&u, extra);
    int rc = wire_part_end(&u, false, "envelope", e);
    if (rc)
        return rc;
    *ret = f;
    if (f.version < WIRE_VERSION_MIN || f.version > WIRE_VERSION)
        return error_set(e, ERR_PROTOCOL_MISMATCH,
                         "protocol version %llu; this program serves %d to %d",
                         (unsigned long long)f.version, WIRE_VERSION_MIN, WIRE_VERSION);
    return ERR_OK;
}

/* ---- sessions ---- */

void wire_hello_pack(struct buf *out, const struct wire_hello *m)
{
    pack_array(out, 9);
    pack_u64(out, m->version_min);
    pack_u64(out, m->version_max);
    wire_part_pack_text(out, m->worker);
    pack_bin(out, m->boot);
    pack_u64(out, m->kinds);
    pack_u64(out, m->slots);
    wire_part_pack_text(out, m->version);
    wire_part_pack_text(out, m->host);
    pack_array(out, m->n_held);
    for (size_t i = 0; i < m->n_held; i++) {
        pack_array(out, 3);
        wire_part_pack_token(out, &m->held[i]);
    }
}

int wire_hello_read(struct span body, struct arena *a, struct wire_hello *ret, struct error *e)
{
    struct unpack u;
    struct wire_hello m;
    size_t extra, more;
    bool nomem = false;
    unpack_init(&u, body.p, body.len);
    unpack_tuple(&u, 9, &extra);
    m.version_min = unpack_u64(&u);
    m.version_max = unpack_u64(&u);
    m.worker = wire_part_text(&u);
    m.boot = unpack_bin(&u);
    m.kinds = wire_part_u32(&u);
    m.slots = wire_part_u32(&u);
    m.version = wire_part_text(&u);
    m.host = wire_part_text(&u);
    m.n_held = wire_part_count(&u, 4, HELD_MAX);
    m.held = wire_part_room(&u, a, m.n_held, sizeof *m.held, &nomem);
    for (size_t i = 0; i < m.n_held && unpack_ok(&u); i++) {
        unpack_tuple(&u, 3, &more);
        m.held[i] = wire_part_token(&u);
        unpack_skip_n(&u, more);
    }
    unpack_skip_n(&u, extra);
    int rc = wire_part_end(&u, nomem, "HELLO", e);
    if (rc)
        return rc;
    if (!wire_name_valid(m.worker))
        return error_set(e, ERR_MALFORMED, "HELLO: a worker's id has 1 to %d of A-Z a-z 0-9 . _ -",
                         NAME_MAX_LEN);
    if (m.boot.len != BOOT_LEN)
        return error_set(e, ERR_MALFORMED, "HELLO: the boot id has %d bytes", BOOT_LEN);
    *ret = m;
    return ERR_OK;
}

void wire_welcome_pack(struct buf *out, const struct wire_welcome *m)
{
    pack_array(out, 4);
    pack_u64(out, m->version);
    pack_u64(out, m->lease_ms);
    pack_u64(out, m->heartbeat_ms);
    pack_bool(out, m->draining);
}

int wire_welcome_read(struct span body, struct wire_welcome *ret, struct error *e)
{
    struct unpack u;
    struct wire_welcome m;
    size_t extra;
    unpack_init(&u, body.p, body.len);
    unpack_tuple(&u, 4, &extra);
    m.version = unpack_u64(&u);
    m.lease_ms = wire_part_u32(&u);
    m.heartbeat_ms = wire_part_u32(&u);
    m.draining = unpack_bool(&u);
    unpack_skip_n(&u, extra);
    int rc = wire_part_end(&u, false, "WELCOME", e);
    if (rc == ERR_OK)
        *ret = m;
    return rc;
}

void wire_refuse_pack(struct buf *out, enum err code, const char *detail)
{
    pack_array(out, 2);
    pack_u64(out, (uint64_t)code);
    wire_part_pack_text(out, span_str(detail ? detail : ""));
}

int wire_refuse_read(struct span body, uint32_t *ret_code, struct span *ret_detail, struct error *e)
{
    struct unpack u;
    size_t extra;
    unpack_init(&u, body.p, body.len);
    unpack_tuple(&u, 2, &extra);
    uint32_t code = wire_part_u32(&u);
    struct span detail = wire_part_text(&u);
    unpack_skip_n(&u, extra);
    int rc = wire_part_end(&u, false, "REFUSE", e);
    if (rc == ERR_OK) {
        *ret_code = code;
        *ret_detail = detail;
    }
    return rc;
}

void wire_reason_pack(struct buf *out, const char *reason)
{
    pack_array(out, 1);
    wire_part_pack_text(out, span_str(reason ? reason : ""));
}

int wire_reason_read(struct span body, struct span *ret, struct error *e)
{
    struct unpack u;
    size_t extra;
    unpack_init(&u, body.p, body.len);
    unpack_tuple(&u, 1, &extra);
    struct span reason = wire_part_text(&u);
    unpack_skip_n(&u, extra);
    int rc = wire_part_end(&u, false, "BYE or RESYNC", e);
    if (rc == ERR_OK)
        *ret = reason;
    return rc;
}

void wire_drain_pack(struct buf *out, bool on)
{
    pack_array(out, 1);
    pack_bool(out, on);
}

int wire_drain_read(struct span body, bool *ret, struct error *e)
{
    struct unpack u;
    size_t extra;
    unpack_init(&u, body.p, body.len);
    unpack_tuple(&u, 1, &extra);
    bool on = unpack_bool(&u);
    unpack_skip_n(&u, extra);
    int rc = wire_part_end(&u, false, "DRAIN", e);
    if (rc == ERR_OK)
        *ret = on;
    return rc;
}

void wire_heartbeat_pack(struct buf *out, const struct wire_heartbeat *m)
{
    pack_array(out, 9);
    pack_u64(out, m->busy);
    pack_u64(out, m->queued);
    pack_u64(out, m->buffered_bytes);
    pack_u64(out, m->rss_bytes);
    pack_f64(out, m->cpu_s);
    pack_u64(out, m->tasks_done);
    pack_u64(out, m->tasks_failed);
    pack_u64(out, m->rows);
    wire_part_pack_stats(out, m->counters, m->n_counters);
}

int wire_heartbeat_read(struct span body, struct arena *a, struct wire_heartbeat *ret,
                        struct error *e)
{
    struct unpack u;
    struct wire_heartbeat m;
    size_t extra;
    bool nomem = false;
    unpack_init(&u, body.p, body.len);
    unpack_tuple(&u, 9, &extra);
    m.busy = wire_part_u32(&u);
    m.queued = wire_part_u32(&u);
    m.buffered_bytes = unpack_u64(&u);
    m.rss_bytes = unpack_u64(&u);
    m.cpu_s = unpack_f64(&u);
    m.tasks_done = unpack_u64(&u);
    m.tasks_failed = unpack_u64(&u);
    m.rows = unpack_u64(&u);
    wire_part_stats(&u, a, &m.counters, &m.n_counters, &nomem);
    unpack_skip_n(&u, extra);
    int rc = wire_part_end(&u, nomem, "HEARTBEAT", e);
    if (rc == ERR_OK)
        *ret = m;
    return rc;
}

/* ---- tasks ---- */

void wire_credit_pack(struct buf *out, const struct wire_credit *m)
{
    pack_array(out, 2);
    pack_u64(out, m->tasks);
    pack_u64(out, m->bytes);
}

int wire_credit_read(struct span body, struct wire_credit *ret, struct error *e)
{
    struct unpack u;
    struct wire_credit m;
    size_t extra;
    unpack_init(&u, body.p, body.len);
    unpack_tuple(&u, 2, &extra);
    m.tasks = unpack_u64(&u);
    m.bytes = unpack_u64(&u);
    unpack_skip_n(&u, extra);
    int rc = wire_part_end(&u, false, "CREDIT", e);
    if (rc == ERR_OK)
        *ret = m;
    return rc;
}

void wire_assign_pack(struct buf *out, const struct wire_assign *m)
{
    pack_array(out, 2);
    pack_array(out, m->n_jobs);
    for (size_t i = 0; i < m->n_jobs; i++) {
        pack_array(out, 4);
        pack_u64(out, m->jobs[i].job);
        wire_part_pack_text(out, m->jobs[i].spec);
        pack_bin(out, m->jobs[i].uid);
        pack_u64(out, m->jobs[i].generation);
    }
    pack_array(out, m->n_tasks);
    for (size_t i = 0; i < m->n_tasks; i++) {
        const struct wire_task *t = &m->tasks[i];
        pack_array(out, 8);
        pack_u64(out, t->task);
        pack_u64(out, t->counter);
        pack_u64(out, t->job);
        pack_u64(out, t->attempt);
        pack_u64(out, t->grant);
        pack_u64(out, t->run_timeout_ms);
        wire_part_pack_raw(out, t->input);
        pack_bool(out, t->whole);
    }
}

static struct wire_task read_task(struct unpack *u)
{
    struct wire_task t;
    size_t extra;
    unpack_tuple(u, 7, &extra);
    t.task = unpack_u64(u);
    t.counter = unpack_u64(u);
    t.job = unpack_u64(u);
    t.attempt = wire_part_u32(u);
    t.grant = wire_part_u32(u);
    t.run_timeout_ms = wire_part_u32(u);
    t.input = wire_part_raw(u, UNPACK_ARRAY);
    t.whole = extra > 0 && unpack_bool(u); /* an older coordinator says nothing */
    unpack_skip_n(u, extra > 0 ? extra - 1 : 0);
    return t;
}

int wire_assign_read(struct span body, struct arena *a, struct wire_assign *ret, struct error *e)
{
    struct unpack u;
    struct wire_assign m;
    size_t extra, more;
    bool nomem = false;
    unpack_init(&u, body.p, body.len);
    unpack_tuple(&u, 2, &extra);
    m.n_jobs = wire_part_count(&u, 3, WIRE_TASKS_MAX);
    m.jobs = wire_part_room(&u, a, m.n_jobs, sizeof *m.jobs, &nomem);
    for (size_t i = 0; i < m.n_jobs && unpack_ok(&u); i++) {
        unpack_tuple(&u, 4, &more);
        m.jobs[i].job = unpack_u64(&u);
        m.jobs[i].spec = wire_part_text(&u);
        m.jobs[i].uid = unpack_bin(&u);
        if (m.jobs[i].uid.len != WIRE_UID_LEN)
            u.failed = true;
        m.jobs[i].generation = unpack_u64(&u);
        unpack_skip_n(&u, more);
    }
    m.n_tasks = wire_part_count(&u, 8, WIRE_TASKS_MAX);
    m.tasks = wire_part_room(&u, a, m.n_tasks, sizeof *m.tasks, &nomem);
    for (size_t i = 0; i < m.n_tasks && unpack_ok(&u); i++)
        m.tasks[i] = read_task(&u);
    unpack_skip_n(&u, extra);
    int rc = wire_part_end(&u, nomem, "ASSIGN", e);
    if (rc == ERR_OK)
        *ret = m;
    return rc;
}

void wire_result_pack(struct buf *out, const struct wire_result *m)
{
    pack_array(out, 16);
    wire_part_pack_token(out, &m->token);
    pack_u64(out, (uint64_t)m->outcome);
    wire_part_pack_text(out, m->error);
    if (m->rows.p)
        wire_part_pack_raw(out, m->rows);
    else
        pack_nil(out);
    pack_u64(out, m->n_rows);
    wire_part_pack_stats(out, m->stats, m->n_stats);
    if (m->rejects.p)
        wire_part_pack_raw(out, m->rejects);
    else
        pack_array(out, 0);
    pack_u64(out, m->n_rejects);
    pack_array(out, m->n_found);
    for (size_t i = 0; i < m->n_found; i++) {
        pack_array(out, 2);
        wire_part_pack_text(out, m->found[i].url);
        pack_u64(out, m->found[i].depth);
    }
    pack_array(out, m->n_again);
    for (size_t i = 0; i < m->n_again; i++) {
        pack_array(out, 3);
        wire_part_pack_text(out, m->again[i].url);
        pack_u64(out, m->again[i].depth);
        wire_part_pack_text(out, m->again[i].error);
    }
    pack_u64(out, m->key_delay_ms);
    pack_u64(out, m->key_backoff_ms);
    pack_u64(out, m->retry_after_ms);
    if (m->left.p)
        pack_bin(out, m->left);
    else
        pack_nil(out);
}

static void read_found(struct unpack *u, struct arena *a, struct wire_result *m, bool *nomem)
{
    size_t extra;
    m->n_found = wire_part_count(u, 3, SIZE_MAX);
    m->found = wire_part_room(u, a, m->n_found, sizeof *m->found, nomem);
    for (size_t i = 0; i < m->n_found && unpack_ok(u); i++) {
        unpack_tuple(u, 2, &extra);
        m->found[i].url = wire_part_text(u);
        m->found[i].depth = wire_part_u32(u);
        unpack_skip_n(u, extra);
    }
}

static void read_again(struct unpack *u, struct arena *a, struct wire_result *m, bool *nomem)
{
    size_t extra;
    m->n_again = wire_part_count(u, 4, SIZE_MAX);
    m->again = wire_part_room(u, a, m->n_again, sizeof *m->again, nomem);
    for (size_t i = 0; i < m->n_again && unpack_ok(u); i++) {
        unpack_tuple(u, 3, &extra);
        m->again[i].url = wire_part_text(u);
        m->again[i].depth = wire_part_u32(u);
        m->again[i].error = wire_part_text_or_nil(u);
        unpack_skip_n(u, extra);
    }
}

/* The array of rejects stays packed; its declared count must be the real one. */
static struct span read_rejects(struct unpack *u, uint32_t *ret_n)
{
    struct span raw = wire_part_raw(u, UNPACK_ARRAY);
    struct unpack inner;
    *ret_n = wire_part_u32(u);
    unpack_init(&inner, raw.p, raw.len);
    if (raw.p && unpack_array(&inner) != *ret_n)
        u->failed = true;
    return raw;
}

static void read_result(struct unpack *u, struct arena *a, struct wire_result *m, bool *nomem)
{
    size_t extra;
    unpack_tuple(u, 15, &extra);
    m->token = wire_part_token(u);
    uint64_t outcome = unpack_u64(u);
    if (outcome > WIRE_LAND)
        u->failed = true;
    m->outcome = u->failed ? WIRE_FAIL : (enum wire_outcome)outcome;
    m->error = wire_part_text_or_nil(u);
    if (unpack_peek(u) == UNPACK_NIL) {
        unpack_skip(u);
        m->rows = (struct span){NULL, 0};
    } else {
        m->rows = wire_part_raw(u, UNPACK_ARRAY);
    }
    m->n_rows = wire_part_u32(u);
    wire_part_stats(u, a, &m->stats, &m->n_stats, nomem);
    m->rejects = read_rejects(u, &m->n_rejects);
    read_found(u, a, m, nomem);
    read_again(u, a, m, nomem);
    m->key_delay_ms = wire_part_u32(u);
    m->key_backoff_ms = wire_part_u32(u);
    m->retry_after_ms = wire_part_u32(u);
    m->left = extra > 0 ? unpack_bin(u) : (struct span){NULL, 0};
    unpack_skip_n(u, extra > 0 ? extra - 1 : 0);
}

int wire_results_read(struct span body, struct arena *a, struct wire_result **ret, size_t *ret_n,
                      struct error *e)
{
    struct unpack u;
    bool nomem = false;
    unpack_init(&u, body.p, body.len);
    size_t n = wire_part_count(&u, 16, WIRE_TASKS_MAX);
    struct wire_result *m = wire_part_room(&u, a, n, sizeof *m, &nomem);
    for (size_t i = 0; i < n && unpack_ok(&u); i++)
        read_result(&u, a, &m[i], &nomem);
    int rc = wire_part_end(&u, nomem, "RESULT", e);
    if (rc == ERR_OK) {
        *ret = m;
        *ret_n = n;
    }
    return rc;
}

void wire_verdicts_pack(struct buf *out, const struct wire_verdict *m, size_t n)
{
    pack_array(out, n);
    for (size_t i = 0; i < n; i++) {
        pack_array(out, 5);
        wire_part_pack_token(out, &m[i].token);
        pack_u64(out, m[i].code);
        wire_part_pack_text(out, m[i].reason);
    }
}

int wire_verdicts_read(struct span body, struct arena *a, struct wire_verdict **ret, size_t *ret_n,
                       struct error *e)
{
    struct unpack u;
    bool nomem = false;
    size_t extra;
    unpack_init(&u, body.p, body.len);
    size_t n = wire_part_count(&u, 6, WIRE_TASKS_MAX);
    struct wire_verdict *m = wire_part_room(&u, a, n, sizeof *m, &nomem);
    for (size_t i = 0; i < n && unpack_ok(&u); i++) {
        unpack_tuple(&u, 5, &extra);
        m[i].token = wire_part_token(&u);
        m[i].code = wire_part_u32(&u);
        m[i].reason = wire_part_text_or_nil(&u);
        unpack_skip_n(&u, extra);
    }
    int rc = wire_part_end(&u, nomem, "RESULT_ACK or REVOKE", e);
    if (rc == ERR_OK) {
        *ret = m;
        *ret_n = n;
    }
    return rc;
}

/* ---- clients ---- */

void wire_request_begin(struct buf *out, const char *verb)
{
    pack_array(out, 2);
    pack_cstr(out, verb);
}

int wire_request_read(struct span body, struct wire_request *ret, struct error *e)
{
    struct unpack u;
    struct wire_request m;
    size_t extra;
    unpack_init(&u, body.p, body.len);
    unpack_tuple(&u, 2, &extra);
    m.verb = wire_part_text(&u);
    m.args = wire_part_raw(&u, UNPACK_MAP);
    unpack_skip_n(&u, extra);
    int rc = wire_part_end(&u, false, "REQUEST", e);
    if (rc == ERR_OK)
        *ret = m;
    return rc;
}

void wire_reply_begin(struct buf *out, uint64_t request_seq)
{
    pack_array(out, 2);
    pack_u64(out, request_seq);
}

int wire_reply_read(struct span body, uint64_t *ret_seq, struct span *ret_value, struct error *e)
{
    struct unpack u;
    size_t extra;
    unpack_init(&u, body.p, body.len);
    unpack_tuple(&u, 2, &extra);
    uint64_t seq = unpack_u64(&u);
    struct span value = unpack_raw(&u);
    unpack_skip_n(&u, extra);
    int rc = wire_part_end(&u, false, "REPLY", e);
    if (rc == ERR_OK) {
        *ret_seq = seq;
        *ret_value = value;
    }
    return rc;
}

void wire_error_pack(struct buf *out, const struct wire_error *m)
{
    pack_array(out, 5);
    pack_u64(out, m->seq);
    pack_u64(out, m->code);
    pack_cstr(out, err_name((enum err)m->code));
    wire_part_pack_text(out, m->detail.p ? m->detail : SPAN(""));
    pack_u64(out, m->retry_after_ms);
}

int wire_error_read(struct span body, struct wire_error *ret, struct error *e)
{
    struct unpack u;
    struct wire_error m;
    size_t extra;
    unpack_init(&u, body.p, body.len);
    unpack_tuple(&u, 5, &extra);
    m.seq = unpack_u64(&u);
    m.code = wire_part_u32(&u);
    (void)wire_part_text(&u); /* the name is for people who look at the bytes */
    m.detail = wire_part_text(&u);
    m.retry_after_ms = wire_part_u32(&u);
    unpack_skip_n(&u, extra);
    int rc = wire_part_end(&u, false, "ERROR", e);
    if (rc == ERR_OK)
        *ret = m;
    return rc;
}
