#include "pipeline.h"

#include <stdio.h>

#include "common/unpack.h"
#include "common/wire.h"
#include "worker/engines.h"
#include "worker/output.h"

/* ---- noop: does nothing, as fast as it can, or gives its items back as rows ---- */

static int noop_run(const void *compiled, struct span items, struct output *o, struct error *e)
{
    if (!engines_noop_rows(compiled))
        return ERR_OK;
    struct unpack u;
    unpack_init(&u, items.p, items.len);
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
    {.kind = WIRE_KIND_SCRAPE, .source = true, .place = PIPELINE_LOOP, .parts = true},
    {.kind = WIRE_KIND_NOOP, .source = true, .place = PIPELINE_INLINE, .run = noop_run},
};
const size_t pipeline_n_kinds = ARRAY_LEN(pipeline_kinds);

/* ---- pipelines ---- */

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
            if (kinds[k].kind == engine->kind && kinds[k].source == (i == 0))
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

bool pipeline_parts(const struct pipeline *p)
{
    return p->kinds[0]->parts;
}

const void *pipeline_source(const struct pipeline *p)
{
    return p->spec->stages[0].compiled;
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

void pipeline_run(const struct pipeline *p, struct span items, struct output *o)
{
    struct error e = {0};
    assert(pipeline_place(p) == PIPELINE_INLINE);
    const int rc = p->kinds[0]->run(pipeline_source(p), items, o, &e);
    if (rc != ERR_OK)
        fail_with(o, rc, &e);
    pipeline_follow(p, o);
}

static int follow_one(const struct pipeline_kind *kind, const void *compiled, struct output *o,
                      struct error *e)
{
    void *state = NULL;
    int rc = kind->open(compiled, &state, e);
    if (rc != ERR_OK)
        return rc;
    rc = kind->process(state, o, e);
    kind->close(state);
    return rc;
}

void pipeline_follow(const struct pipeline *p, struct output *o)
{
    for (size_t i = 1; i < p->spec->n_stages && o->error == ERR_OK; i++) {
        struct error e = {0};
        const int rc = follow_one(p->kinds[i], p->spec->stages[i].compiled, o, &e);
        if (rc != ERR_OK)
            fail_with(o, rc, &e);
    }
}
