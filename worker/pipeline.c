#include "pipeline.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "common/slice.h"
#include "common/unpack.h"
#include "common/wire.h"
#include "worker/blobset.h"
#include "worker/engines.h"
#include "worker/output.h"

/* ---- noop: does nothing, as fast as it can, or gives its items back as rows ---- */

/* What the blob really holds: its bytes, and their hash. */
static int noop_blob(const struct blobset *blobs, const struct blob_name *name, struct output *o,
                     struct error *e)
{
    const struct blobset_item *item = blobset_find(blobs, name);
    struct blob_name is;
    char text[BLOB_TEXT_LEN + 1];
    if (!item)
        return error_set(e, ERR_NOT_FOUND, "blob %s is not here", blob_name_text(name, text));
    void *p = item->bytes ? mmap(NULL, item->bytes, PROT_READ, MAP_PRIVATE, item->fd, 0) : NULL;
    if (p == MAP_FAILED)
        return error_set(e, ERR_IO, "blob %s cannot be read: %s", blob_name_text(name, text),
                         strerror(errno));
    const bool hashed = blob_hash_of(p, item->bytes, &is);
    if (p)
        munmap(p, item->bytes);
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

static int noop_run(const void *compiled, struct span items, const struct blobset *blobs,
                    struct output *o, struct error *e)
{
    const struct engines_noop *noop = compiled;
    int rc = ERR_OK;
    if (!noop->rows)
        return ERR_OK;
    struct unpack u;
    unpack_init(&u, items.p, items.len);
    for (size_t n = unpack_array(&u); n > 0 && unpack_ok(&u) && rc == ERR_OK; n--) {
        rc = noop_item(noop, unpack_str(&u), blobs, o, e);
        if (rc == ERR_OK)
            batch_row_end(o->rows);
    }
    if (!unpack_ok(&u))
        return error_set(e, ERR_MALFORMED, "the task's items cannot be read");
    return rc;
}

/* scrape runs on the loops of the runner. */
const struct pipeline_kind pipeline_kinds[] = {
    {.kind = WIRE_KIND_SCRAPE, .source = true, .place = PIPELINE_LOOP},
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

void pipeline_run(const struct pipeline *p, struct span items, const struct blobset *blobs,
                  struct output *o)
{
    struct error e = {0};
    assert(pipeline_place(p) == PIPELINE_INLINE);
    const int rc = p->kinds[0]->run(pipeline_source(p), items, blobs, o, &e);
    if (rc != ERR_OK)
        fail_with(o, rc, &e);
    pipeline_follow(p, blobs, o);
}

static int follow_one(const struct pipeline_kind *kind, const void *compiled,
                      const struct blobset *blobs, struct output *o, struct error *e)
{
    void *state = NULL;
    int rc = kind->open(compiled, blobs, &state, e);
    if (rc != ERR_OK)
        return rc;
    rc = kind->process(state, o, e);
    kind->close(state);
    return rc;
}

void pipeline_follow(const struct pipeline *p, const struct blobset *blobs, struct output *o)
{
    for (size_t i = 1; i < p->spec->n_stages && o->error == ERR_OK; i++) {
        struct error e = {0};
        const int rc = follow_one(p->kinds[i], p->spec->stages[i].compiled, blobs, o, &e);
        if (rc != ERR_OK)
            fail_with(o, rc, &e);
    }
}

int pipeline_blobs(const struct pipeline *p, struct span items, spec_blob_fn *fn, void *user)
{
    struct unpack u;
    int rc = spec_blobs(p->spec, fn, user);
    if (rc || !p->spec->stages[0].engine->blobs)
        return rc;
    unpack_init(&u, items.p, items.len);
    for (size_t n = unpack_array(&u); n > 0 && unpack_ok(&u) && rc == ERR_OK; n--)
        rc = spec_item_blobs(p->spec, unpack_raw(&u), fn, user);
    return rc || unpack_ok(&u) ? rc : ERR_MALFORMED;
}
