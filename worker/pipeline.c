#include "pipeline.h"

#include <stdio.h>

#include "common/unpack.h"
#include "common/wire.h"
#include "worker/engine_transform.h"
#include "worker/engines.h"
#include "worker/output.h"

/* ---- noop: does nothing, as fast as it can, or gives its items back as rows ---- */

static int noop_run(const void *compiled, const struct pipeline_call *call, struct output *o,
                    struct error *e)
{
    if (!engines_noop_rows(compiled))
        return ERR_OK;
    struct unpack u;
    unpack_init(&u, call->items.p, call->items.len);
    for (size_t n = unpack_array(&u); n > 0 && unpack_ok(&u); n--) {
        batch_text(o->rows, 0, unpack_str(&u));
        batch_row_end(o->rows);
    }
    if (!unpack_ok(&u))
        return error_set(e, ERR_MALFORMED, "the task's items cannot be read");
    return ERR_OK;
}

/* scrape runs on the loops of the runner. */
const struct pipeline_kind pipeline_kinds[] = {
    {.kind = WIRE_KIND_SCRAPE, .place = PIPELINE_LOOP},
    {.kind = WIRE_KIND_NOOP, .place = PIPELINE_INLINE, .run = noop_run},
    {.kind = WIRE_KIND_TRANSFORM,
     .place = PIPELINE_POOL,
     .run = engine_transform_run,
     .open = engine_transform_open,
     .process = engine_transform_process,
     .end = engine_transform_end,
     .close = engine_transform_close,
     .gathers = engine_transform_gathers,
     .save = engine_transform_save,
     .load = engine_transform_load},
};
const size_t pipeline_n_kinds = ARRAY_LEN(pipeline_kinds);

/* ---- pipelines ---- */

static bool can_be(const struct pipeline_kind *k, size_t stage)
{
    return stage == 0 ? k->run || k->place == PIPELINE_LOOP : k->open != NULL;
}

static bool sinks_merge(const struct spec *s)
{
    for (size_t i = 0; i < s->n_sinks; i++)
        if (s->sinks[i].kind == SPEC_SINK_STORE || s->sinks[i].mode != SPEC_SINK_MERGE)
            return false;
    return true;
}

static size_t gathering_stage(const struct pipeline *p)
{
    const size_t n = p->spec->n_stages;
    for (size_t i = 0; i < n; i++) /* a stage after it would make something else of the groups */
        if (p->kinds[i]->gathers &&
            p->kinds[i]->gathers(p->spec->stages[i].compiled, i + 1 == n && sinks_merge(p->spec)))
            return i;
    return n;
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
    p->gather = gathering_stage(p);
    *ret = p;
    return ERR_OK;
}

int pipeline_parse(struct span text, bool with_input, struct pipeline **ret, struct error *e)
{
    struct spec *spec = NULL;
    const int rc = spec_parse(text, engines_table, engines_count, with_input, &spec, e);
    if (rc != ERR_OK)
        return rc;
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

const void *pipeline_source(const struct pipeline *p)
{
    return p->spec->stages[0].compiled;
}

bool pipeline_gathers(const struct pipeline *p)
{
    return p->gather < p->spec->n_stages;
}

bool pipeline_is_gather(const struct pipeline *p, struct span items)
{
    struct unpack u;
    unpack_init(&u, items.p, items.len);
    return pipeline_gathers(p) && unpack_array(&u) == 1 && unpack_array(&u) == 2 &&
           span_eq(unpack_str(&u), SPAN(PIPELINE_GATHER_ITEM));
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

void pipeline_run(const struct pipeline *p, const struct pipeline_call *call, struct output *o)
{
    struct error e = {0};
    struct pipeline_call mine = *call;
    assert(pipeline_place(p) != PIPELINE_LOOP);
    mine.partial = p->gather == 0;
    const int rc = p->kinds[0]->run(pipeline_source(p), &mine, o, &e);
    if (rc != ERR_OK)
        fail_with(o, rc, &e);
    pipeline_follow(p, o);
}

static int follow_one(const struct pipeline *p, size_t stage, struct output *o, struct error *e)
{
    const struct pipeline_kind *kind = p->kinds[stage];
    void *state = NULL;
    int rc = kind->open(p->spec->stages[stage].compiled, &state, e);
    if (rc != ERR_OK)
        return rc;
    rc = kind->process(state, o, e);
    if (rc == ERR_OK && stage == p->gather) {
        rc = kind->save(state, &o->partial, e);
        batch_clear(o->rows);
    } else if (rc == ERR_OK) {
        rc = kind->end(state, o, e);
    }
    kind->close(state);
    return rc;
}

static void follow(const struct pipeline *p, size_t first, size_t end, struct output *o)
{
    for (size_t i = first; i < end && o->error == ERR_OK; i++) {
        struct error e = {0};
        const int rc = follow_one(p, i, o, &e);
        if (rc != ERR_OK)
            fail_with(o, rc, &e);
    }
}

void pipeline_follow(const struct pipeline *p, struct output *o)
{
    follow(p, 1, MIN(p->gather + 1, p->spec->n_stages), o);
}

/* ---- bringing partial states together ---- */

struct pipeline_gather {
    const struct pipeline *pipeline;
    void *state;
};

int pipeline_gather_new(const struct pipeline *p, struct pipeline_gather **ret, struct error *e)
{
    assert(pipeline_gathers(p));
    struct pipeline_gather *g = calloc(1, sizeof(*g));
    if (!g)
        return error_set(e, ERR_NOMEM, "no memory to gather");
    g->pipeline = p;
    const int rc = p->kinds[p->gather]->open(p->spec->stages[p->gather].compiled, &g->state, e);
    if (rc != ERR_OK)
        free(g);
    else
        *ret = g;
    return rc;
}

int pipeline_gather_add(struct pipeline_gather *g, struct span partial, struct error *e)
{
    return g->pipeline->kinds[g->pipeline->gather]->load(g->state, partial, e);
}

void pipeline_gather_end(struct pipeline_gather *g, struct output *o)
{
    const struct pipeline *p = g->pipeline;
    struct error e = {0};
    const int rc = p->kinds[p->gather]->end(g->state, o, &e);
    if (rc != ERR_OK)
        fail_with(o, rc, &e);
    follow(p, p->gather + 1, p->spec->n_stages, o);
}

void pipeline_gather_free(struct pipeline_gather *g)
{
    if (!g)
        return;
    g->pipeline->kinds[g->pipeline->gather]->close(g->state);
    free(g);
}
