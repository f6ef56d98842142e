#include "pipeline.h"

#include <stdio.h>

#include "common/slice.h"
#include "common/unpack.h"
#include "common/wire.h"
#include "worker/blobset.h"
#include "worker/engine_score.h"
#include "worker/engine_transform.h"
#include "worker/engines.h"
#include "worker/flow.h"
#include "worker/output.h"

/* ---- noop: does nothing, as fast as it can, or gives its items back as rows ---- */

/* What the blob really holds: its bytes, and their hash. */
static int noop_blob(const struct blobset *blobs, const struct blob_name *name, struct output *o,
                     struct error *e)
{
    const struct blobset_item *item = NULL;
    struct span bytes = {NULL, 0};
    struct blob_name is;
    char text[BLOB_TEXT_LEN + 1];
    int rc = blobset_need(blobs, name, &item, e);
    if (rc == ERR_OK)
        rc = blob_files_map(item->fd, item->bytes, &bytes, e);
    if (rc != ERR_OK)
        return rc;
    const bool hashed = blob_hash_of(bytes.p, bytes.len, &is);
    blob_files_unmap(bytes);
    if (!hashed)
        return error_set(e, ERR_NOMEM, "no memory to hash a blob");
    batch_i64(o->rows, 1, (int64_t)item->bytes);
    batch_text(o->rows, 2, span_str(blob_name_text(&is, text)));
    return ERR_OK;
}

static int noop_item(const struct engines_noop *noop, struct span text, const struct blobset *blobs,
                     struct output *o, struct error *e)
{
    struct slice slice;
    int rc = ERR_OK;
    batch_text(o->rows, 0, text);
    if (noop->of == ENGINES_NOOP_STAGE)
        rc = noop_blob(blobs, &noop->blob, o, e);
    else if (noop->of == ENGINES_NOOP_ITEM && !(rc = slice_parse(text, &slice, e)))
        rc = noop_blob(blobs, &slice.blob, o, e);
    return rc;
}

static int noop_run(const void *compiled, const struct pipeline_call *call, struct output *o,
                    struct error *e)
{
    const struct engines_noop *noop = compiled;
    int rc = ERR_OK;
    if (!noop->rows)
        return ERR_OK;
    struct unpack u;
    unpack_init(&u, call->items.p, call->items.len);
    for (size_t n = unpack_array(&u); n > 0 && unpack_ok(&u) && rc == ERR_OK; n--) {
        rc = noop_item(noop, unpack_str(&u), call->blobs, o, e);
        if (rc == ERR_OK)
            batch_row_end(o->rows);
    }
    if (!unpack_ok(&u))
        return error_set(e, ERR_MALFORMED, "the task's items cannot be read");
    return rc;
}

/* scrape runs on the loops of the runner. */
const struct pipeline_kind pipeline_kinds[] = {
    {.kind = WIRE_KIND_SCRAPE, .place = PIPELINE_LOOP, .parts = true},
    {.kind = WIRE_KIND_NOOP, .place = PIPELINE_INLINE, .run = noop_run},
    {.kind = WIRE_KIND_TRANSFORM,
     .place = PIPELINE_POOL,
     .run = engine_transform_run,
     .open = engine_transform_open,
     .process = engine_transform_process,
     .end = engine_transform_end,
     .close = engine_transform_close,
     .save = engine_transform_save,
     .load = engine_transform_load},
    {.kind = WIRE_KIND_SCORE,
     .open = engine_score_open,
     .process = engine_score_process,
     .end = engine_score_end,
     .close = engine_score_close},
};
const size_t pipeline_n_kinds = ARRAY_LEN(pipeline_kinds);

/* ---- pipelines ---- */

static bool can_be(const struct pipeline_kind *k, size_t stage)
{
    return stage == 0 ? k->run || k->place == PIPELINE_LOOP : k->open != NULL;
}

int pipeline_new(struct spec *spec_take, const struct pipeline_kind *kinds, size_t n_kinds,
                 struct pipeline **ret, struct error *e)
{
    struct pipeline *p = calloc(1, sizeof(*p));
    if (!p) {
        spec_free(spec_take);
        return error_set(e, ERR_NOMEM, "no memory for the job");
    }
    p->spec = spec_take;
    p->references = 1;
    for (size_t i = 0; i < p->spec->n_stages; i++) {
        const struct spec_engine *engine = p->spec->stages[i].engine;
        for (size_t k = 0; k < n_kinds && !p->kinds[i]; k++)
            if (kinds[k].kind == engine->kind && can_be(&kinds[k], i))
                p->kinds[i] = &kinds[k];
        if (!p->kinds[i]) {
            pipeline_unref(p);
            return error_set(e, ERR_INVALID_SPEC,
                             "stages[%zu].kind: this worker cannot run \"%s\" %s", i, engine->name,
                             i == 0 ? "as the first stage" : "after another stage");
        }
    }
    *ret = p;
    return ERR_OK;
}

int pipeline_parse(struct span text, bool with_input, const struct spec_files *files,
                   struct pipeline **ret, struct error *e)
{
    struct spec *spec = NULL;
    int rc = spec_open(text, engines_table, engines_count, with_input, &spec, e);
    if (rc == ERR_OK)
        rc = spec_compile(spec, files, NULL, e);
    if (rc != ERR_OK) {
        spec_free(spec);
        return rc;
    }
    return pipeline_new(spec, pipeline_kinds, pipeline_n_kinds, ret, e);
}

struct pipeline *pipeline_ref(struct pipeline *p)
{
    p->references++;
    return p;
}

void pipeline_unref(struct pipeline *p)
{
    if (!p || --p->references > 0)
        return;
    spec_free(p->spec);
    free(p);
}

enum pipeline_place pipeline_place(const struct pipeline *p)
{
    return p->kinds[0]->place;
}

bool pipeline_parts(const struct pipeline *p)
{
    return p->kinds[0]->parts;
}

const void *pipeline_source(const struct pipeline *p)
{
    return p->spec->stages[0].compiled;
}

bool pipeline_gathers(const struct pipeline *p)
{
    return p->spec->gather < p->spec->n_stages;
}

bool pipeline_is_gather(const struct pipeline *p, struct span items)
{
    struct unpack u;
    unpack_init(&u, items.p, items.len);
    return pipeline_gathers(p) && unpack_array(&u) == 1 && unpack_array(&u) == 2 &&
           span_eq(unpack_str(&u), SPAN(SPEC_GATHER_ITEM));
}

struct output *pipeline_output(const struct pipeline *p)
{
    return output_new(p->spec->stages[0].engine->columns(pipeline_source(p)));
}

void pipeline_fail(struct output *o, enum err code, const char *reason, const char *detail)
{
    o->error = (int)code;
    o->error_reason = reason;
    snprintf(o->error_detail, sizeof(o->error_detail), "%s", detail);
}

static void fail_with(struct output *o, int rc, const struct error *e)
{
    pipeline_fail(o, (enum err)rc, err_name((enum err)rc),
                  e->detail[0] ? e->detail : err_text((enum err)rc));
}

/* The end of a source's rows: what the stages after it make of them. */
static void end_flow(struct flow *f, int rc, struct error *e)
{
    if (rc == ERR_OK && !flow_is_empty(f)) {
        rc = flow_rows(f, f->o->rows, e);
        if (rc == ERR_OK)
            rc = flow_end(f, e);
    }
    if (rc != ERR_OK)
        fail_with(f->o, rc, e);
    flow_done(f);
}

void pipeline_run(const struct pipeline *p, const struct pipeline_call *call, struct output *o)
{
    struct error e = {0};
    struct pipeline_call mine = *call;
    struct flow f;
    assert(pipeline_place(p) != PIPELINE_LOOP);
    flow_init(&f, p, call->blobs, 1, call->text, o);
    mine.partial = p->spec->gather == 0;
    if (!flow_is_empty(&f)) {
        mine.text = NULL;
        mine.flow = &f;
    }
    end_flow(&f, p->kinds[0]->run(pipeline_source(p), &mine, o, &e), &e);
}

void pipeline_follow(const struct pipeline *p, const struct blobset *blobs, struct output *o)
{
    struct error e = {0};
    struct flow f;
    if (o->error != ERR_OK)
        return;
    flow_init(&f, p, blobs, 1, NULL, o);
    end_flow(&f, ERR_OK, &e);
}

int pipeline_blobs(const struct pipeline *p, struct span items, spec_blob_fn *fn, void *user)
{
    struct unpack u;
    int rc = spec_blobs(p->spec, fn, user);
    if (rc || !p->spec->stages[0].engine->blobs || pipeline_is_gather(p, items))
        return rc;
    unpack_init(&u, items.p, items.len);
    for (size_t n = unpack_array(&u); n > 0 && unpack_ok(&u) && rc == ERR_OK; n--)
        rc = spec_item_blobs(p->spec, unpack_raw(&u), fn, user);
    return rc || unpack_ok(&u) ? rc : ERR_MALFORMED;
}

/* ---- bringing partial states together ---- */

struct pipeline_gather {
    const struct pipeline *pipeline;
    const struct blobset *blobs;
    void *state;
};

int pipeline_gather_new(const struct pipeline *p, const struct blobset *blobs,
                        struct pipeline_gather **ret, struct error *e)
{
    assert(pipeline_gathers(p));
    struct pipeline_gather *g = calloc(1, sizeof(*g));
    if (!g)
        return error_set(e, ERR_NOMEM, "no memory to gather");
    g->pipeline = p;
    g->blobs = blobs;
    const int rc = p->kinds[p->spec->gather]->open(p->spec->stages[p->spec->gather].compiled, blobs,
                                                   &g->state, e);
    if (rc != ERR_OK)
        free(g);
    else
        *ret = g;
    return rc;
}

int pipeline_gather_add(struct pipeline_gather *g, struct span partial, struct error *e)
{
    return g->pipeline->kinds[g->pipeline->spec->gather]->load(g->state, partial, e);
}

void pipeline_gather_end(struct pipeline_gather *g, struct output *o)
{
    const struct pipeline *p = g->pipeline;
    const struct spec_stage *stage = &p->spec->stages[p->spec->gather];
    struct error e = {0};
    struct flow f;
    struct batch *rows = stage->engine->columns(stage->compiled);
    int rc = rows ? ERR_OK : error_set(&e, ERR_NOMEM, "no memory for the rows");
    if (rc == ERR_OK) {
        batch_free(o->rows);
        o->rows = rows;
        rc = p->kinds[p->spec->gather]->end(g->state, o, rows, &e);
    }
    flow_init(&f, p, g->blobs, p->spec->gather + 1, NULL, o);
    f.end = p->spec->n_stages;
    end_flow(&f, rc, &e);
}

void pipeline_gather_free(struct pipeline_gather *g)
{
    if (!g)
        return;
    g->pipeline->kinds[g->pipeline->spec->gather]->close(g->state);
    free(g);
}

static int add_all(struct pipeline_gather *g, struct span parts, const atomic_bool *cancelled,
                   struct error *e)
{
    struct unpack u;
    int rc = ERR_OK;
    unpack_init(&u, parts.p, parts.len);
    while (rc == ERR_OK && u.p < u.end) {
        const size_t n = unpack_array(&u);
        const struct span part = unpack_bin(&u);
        if (n != 1 || !unpack_ok(&u))
            return error_set(e, ERR_MALFORMED, "a part of the answer cannot be read");
        if (atomic_load_explicit(cancelled, memory_order_relaxed))
            return error_set(e, ERR_STALE, "nobody wants the rows any more");
        rc = pipeline_gather_add(g, part, e);
    }
    return rc;
}

void pipeline_gather_run(const struct pipeline *p, const struct blobset *blobs, struct span parts,
                         const atomic_bool *cancelled, struct output *o)
{
    struct pipeline_gather *g = NULL;
    struct error e = {0};
    int rc = pipeline_gather_new(p, blobs, &g, &e);
    if (rc == ERR_OK)
        rc = add_all(g, parts, cancelled, &e);
    if (rc == ERR_OK)
        pipeline_gather_end(g, o);
    else
        fail_with(o, rc, &e);
    pipeline_gather_free(g);
}
