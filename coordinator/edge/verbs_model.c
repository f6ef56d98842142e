/* verbs_model.c: named models, and predictions. */
#include "verbs.h"

#include <stdio.h>

#include "common/keys.h"
#include "common/log.h"
#include "common/unpack.h"
#include "coordinator/edge/blobs.h"
#include "coordinator/edge/predict_rows.h"
#include "coordinator/edge/verbs_pack.h"

static int need_name(const struct call *c, struct error *error)
{
    int rc = front_need(c->args.name.p, "name", error);
    if (rc == 0 && !keys_name_valid(c->args.name))
        rc = error_set(error, ERR_INVALID_ARGUMENT, "name: 1 to 64 of A-Z a-z 0-9 . _ -");
    if (rc == 0 && c->args.has_version &&
        (c->args.version < 1 || c->args.version > MODEL_VERSION_MAX))
        rc = error_set(error, ERR_INVALID_ARGUMENT, "version: a number from 1 to %d",
                       MODEL_VERSION_MAX);
    return rc;
}

/* ---- the model map ---- */

static void pack_info(struct buf *out, const struct model_info *info)
{
    pack_cstr(out, "positional");
    pack_bool(out, info->positional);
    pack_cstr(out, "columns");
    pack_array(out, info->n_columns);
    for (uint32_t i = 0; i < info->n_columns; i++) {
        pack_map(out, 2);
        verbs_span(out, "name", info->columns[i].name);
        verbs_text(out, "type", model_cell_name(info->columns[i].cell));
    }
    pack_cstr(out, "results");
    pack_array(out, info->n_results);
    for (uint32_t i = 0; i < info->n_results; i++) {
        pack_map(out, 2);
        verbs_span(out, "name", info->results[i].name);
        verbs_text(out, "type", col_type_name(info->results[i].type));
    }
}

static void pack_model(const struct edge *e, struct buf *out, const struct model *m, bool newest,
                       const char *explain)
{
    static const char *const states[] = {
        [PREDICT_CLOSED] = "closed", [PREDICT_OPEN] = "open", [PREDICT_PROBE] = "half_open"};
    struct predict_view view;
    char text[BLOB_TEXT_LEN + 1];
    predict_look(e->predict, m, &view);
    pack_map(out, explain ? 17 : 16);
    verbs_text(out, "model", m->name);
    verbs_number(out, "version", m->version);
    verbs_flag(out, "newest", newest);
    verbs_text(out, "blob", blob_name_text(&m->blob, text));
    verbs_text(out, "sample", m->has_sample ? blob_name_text(&m->sample, text) : NULL);
    verbs_real(out, "tolerance", m->tolerance);
    verbs_time(out, "created", m->created_ms);
    verbs_text(out, "breaker", states[view.state]);
    verbs_text(out, "error", view.error[0] ? view.error : NULL);
    verbs_number(out, "queued_rows", view.queued_rows);
    verbs_number(out, "ok", m->stats.requests[PREDICT_OK]);
    verbs_number(out, "rejected", m->stats.requests[PREDICT_REJECTED]);
    verbs_number(out, "failed",
                 m->stats.requests[PREDICT_FULL] + m->stats.requests[PREDICT_TIMEOUT] +
                     m->stats.requests[PREDICT_UNAVAILABLE]);
    pack_info(out, m->info);
    if (explain)
        verbs_text(out, "explain", explain);
}

/* ---- model.ls ---- */

int verbs_model_ls(struct call *c, struct error *error)
{
    const struct model_table *t = predict_models(c->edge->predict);
    struct model *m;
    size_t n = 0;
    (void)error;
    while (model_table_at(t, n))
        n++;
    struct buf *out = front_reply(c);
    pack_map(out, 1);
    pack_cstr(out, "models");
    pack_array(out, n);
    for (size_t i = 0; (m = model_table_at(t, i)); i++)
        pack_model(c->edge, out, m, model_table_is_newest(t, i), NULL);
    front_send(c);
    return 0;
}

/* ---- model.show ---- */

/* It may have been removed while its blob was looked at. */
static void explained(struct look *look)
{
    struct call *c = CONTAINER_OF(look, struct call, check.look);
    struct error error = {0};
    struct model *m;
    struct model_table *t = predict_models(c->edge->predict);
    int rc = model_table_need(t, c->args.name, c->args.version, &m, &error);
    char *text = NULL;
    if (rc)
        front_fail(c, rc, error.detail);
    else if (look->rc)
        front_fail(c, look->rc, look->error.detail);
    else if (!(text = buf_take_str(&c->check.text)))
        front_fail(c, ERR_NOMEM, "no memory for the answer");
    else {
        pack_model(c->edge, front_reply(c), m, model_table_find(t, c->args.name, 0) == m, text);
        front_send(c);
    }
    free(text);
}

int verbs_model_show(struct call *c, struct error *error)
{
    struct model *m;
    int rc = need_name(c, error);
    if (rc == 0)
        rc = model_table_need(predict_models(c->edge->predict), c->args.name, c->args.version, &m,
                              error);
    if (rc)
        return rc;
    c->args.version = m->version;
    c->check.explain = true;
    buf_init(&c->check.text, 0);
    return model_check_submit(c->edge->looks, &c->check, &m->blob, NULL, explained, error);
}

/* ---- model.add ---- */

static int add_run(struct store *s, struct store_request *r)
{
    struct call *c = (struct call *)r;
    return store_model_add(s, &c->model, &c->model.version, &c->existing, &r->error);
}

static void added(struct store_request *r, void *user)
{
    struct call *c = (struct call *)r;
    struct edge *e = user;
    struct model_table *t = predict_models(e->predict);
    struct model *m = NULL;
    edge_store_result(e, r->rc);
    if (r->rc)
        return front_fail(c, r->rc, r->error.detail);
    if (!model_table_find(t, c->model.name, c->model.version)) {
        int rc = model_table_add(t, &c->model, &m, &r->error);
        if (rc)
            return front_fail(c, rc, r->error.detail);
        LOG_INFO("model added", log_str("model", m->name), log_u64("version", m->version),
                 log_span("client", c->client));
        predict_model_new(e->predict, m);
    }
    struct buf *out = front_reply(c);
    pack_map(out, 3);
    verbs_span(out, "model", c->model.name);
    verbs_number(out, "version", c->model.version);
    verbs_flag(out, "existing", c->existing);
    front_send(c);
}

static void checked(struct look *look)
{
    struct call *c = CONTAINER_OF(look, struct call, check.look);
    struct buf packed;
    if (look->rc)
        return front_fail(c, look->rc, look->error.detail);
    if (c->edge->stopping)
        return front_fail(c, ERR_UNAVAILABLE, "the coordinator is stopping");
    buf_init(&packed, 0);
    model_info_pack(c->check.info, &packed);
    char *info =
        buf_ok(&packed) ? arena_strndup(&c->arena, (const char *)packed.data, packed.len) : NULL;
    c->model.info = (struct span){info, packed.len};
    buf_done(&packed);
    if (!info)
        return front_fail(c, ERR_NOMEM, "no memory for the model");
    c->model.version = c->args.version;
    c->model.created_ms = c->edge->wall_ms;
    front_store(c, true, add_run, added);
}

static int read_blob(struct call *c, struct span text, const char *argument, struct blob_name *ret,
                     struct error *error)
{
    struct error why = {0};
    int rc = blob_name_parse(text, ret, &why);
    if (rc == 0)
        rc = blobs_need(c->edge->blobs, ret, &why);
    return rc ? error_set(error, (enum err)rc, "%s: %.400s", argument, why.detail) : 0;
}

static int read_columns(struct call *c, struct error *error)
{
    struct unpack u;
    if (!c->args.columns.p)
        return 0;
    unpack_init(&u, c->args.columns.p, c->args.columns.len);
    size_t n = unpack_array(&u);
    if (n > BATCH_COLUMNS_MAX)
        return error_set(error, ERR_INVALID_ARGUMENT, "columns: more than %d", BATCH_COLUMNS_MAX);
    struct span *names = arena_alloc(&c->arena, (n + 1) * sizeof(*names));
    if (!names)
        return error_set(error, ERR_NOMEM, "no memory for the request");
    for (size_t i = 0; i < n; i++) {
        names[i] = unpack_peek(&u) == UNPACK_STR ? unpack_str(&u) : (struct span){0};
        if (names[i].len == 0 || memchr(names[i].p, 0, names[i].len))
            return error_set(error, ERR_INVALID_ARGUMENT, "columns[%zu]: a name is wanted", i);
    }
    c->check.names = names;
    c->check.n_names = n;
    return 0;
}

int verbs_model_add(struct call *c, struct error *error)
{
    struct store_model *m = &c->model;
    int rc = need_name(c, error);
    if (rc == 0)
        rc = front_need(c->args.blob.p, "blob", error);
    if (rc == 0)
        rc = edge_admit(c->edge, error);
    if (rc == 0)
        rc = read_blob(c, c->args.blob, "blob", &m->blob, error);
    if (rc == 0 && c->args.sample.p)
        rc = read_blob(c, c->args.sample, "sample", &m->sample, error);
    if (rc == 0 && c->args.has_tolerance && !(c->args.tolerance >= 0 && c->args.tolerance <= 1))
        rc = error_set(error, ERR_INVALID_ARGUMENT, "tolerance: a number from 0 to 1");
    if (rc == 0)
        rc = read_columns(c, error);
    if (rc)
        return rc;
    m->name = c->args.name;
    m->has_sample = c->args.sample.p != NULL;
    m->tolerance = c->args.has_tolerance ? c->args.tolerance : VERIFY_TOLERANCE;
    c->check.tolerance = m->tolerance;
    return model_check_submit(c->edge->looks, &c->check, &m->blob,
                              m->has_sample ? &m->sample : NULL, checked, error);
}

/* ---- model.rm ---- */

static int rm_run(struct store *s, struct store_request *r)
{
    const struct call *c = (struct call *)r;
    return store_model_remove(s, c->args.name, c->args.version, &r->error);
}

static void removed(struct store_request *r, void *user)
{
    struct call *c = (struct call *)r;
    struct edge *e = user;
    struct model_table *t = predict_models(e->predict);
    edge_store_result(e, r->rc);
    if (r->rc)
        return front_fail(c, r->rc, r->error.detail);
    for (struct model *m; (m = model_table_find(t, c->args.name, c->args.version));) {
        LOG_INFO("model removed", log_str("model", m->name), log_u64("version", m->version),
                 log_span("client", c->client));
        predict_model_gone(e->predict, m);
        model_table_remove(t, m);
    }
    pack_map(front_reply(c), 0);
    front_send(c);
}

int verbs_model_rm(struct call *c, struct error *error)
{
    struct model *m;
    int rc = need_name(c, error);
    if (rc == 0)
        rc = model_table_need(predict_models(c->edge->predict), c->args.name, c->args.version, &m,
                              error);
    if (rc == 0)
        front_store(c, true, rm_run, removed);
    return rc;
}

/* ---- predict ---- */

static void predicted(struct predict_request *r, const struct predict_answer *a)
{
    struct call *c = CONTAINER_OF(r, struct call, predict);
    struct buf wire;
    if (a->code)
        return front_fail_later(c, a->code, a->detail, a->retry_after_ms);
    buf_init(&wire, 0);
    if (r->first == 0 && r->n_rows == a->rows->n_rows)
        batch_pack(a->rows, &wire);
    else if (predict_rows_cut(a->rows, r->first, r->n_rows, &wire))
        wire.failed = true;
    if (!buf_ok(&wire)) {
        front_fail(c, ERR_NOMEM, "no memory for the answer");
    } else {
        struct buf *out = front_reply(c);
        pack_map(out, 3);
        verbs_text(out, "model", a->model->name);
        verbs_number(out, "version", a->model->version);
        pack_cstr(out, "rows");
        pack_bin(out, buf_span(&wire));
        front_send(c);
    }
    buf_done(&wire);
}

int verbs_predict(struct call *c, struct error *error)
{
    struct predict *p = c->edge->predict;
    struct model *m;
    struct batch *rows;
    uint32_t retry_after_ms;
    int rc = need_name(c, error);
    if (rc == 0)
        rc = front_need(c->args.rows.p, "rows", error);
    if (rc)
        return rc;
    rc = predict_open(p, c->args.name, c->args.version, &m, &rows, &retry_after_ms, error);
    if (rc) {
        front_fail_later(c, rc, error->detail, retry_after_ms);
        return 0;
    }
    uint32_t first = rows->n_rows;
    rc = predict_rows_unpack(m->info, c->args.columns, c->args.rows, rows, &c->arena, error);
    if (rc) {
        predict_reject(p, m, first);
        return rc;
    }
    c->predict.done = predicted;
    return predict_add(p, m, &c->predict, first, c->args.timeout_ms, error);
}
