#include "flow.h"

#include "worker/output.h"

void flow_init(struct flow *f, const struct pipeline *p, const struct blobset *blobs, size_t first,
               const struct pipeline_text *text, struct output *o)
{
    *f = (struct flow){.pipeline = p,
                       .blobs = blobs,
                       .text = text,
                       .o = o,
                       .first = first,
                       .end = MIN(p->spec->gather + 1, p->spec->n_stages),
                       .n_opened = first};
}

bool flow_is_empty(const struct flow *f)
{
    return f->first >= f->end;
}

static bool gathers(const struct flow *f, size_t stage)
{
    return stage == f->pipeline->spec->gather;
}

/* Once, with the first rows or at the end. */
static int open_all(struct flow *f, struct error *e)
{
    const struct spec *spec = f->pipeline->spec;
    for (; f->n_opened < f->end; f->n_opened++) {
        const size_t i = f->n_opened;
        f->made[i] = spec->stages[i].engine->columns(spec->stages[i].compiled);
        const int rc = f->made[i] ? f->pipeline->kinds[i]->open(spec->stages[i].compiled, f->blobs,
                                                                &f->states[i], e)
                                  : error_set(e, ERR_NOMEM, "no memory for the rows");
        if (rc != ERR_OK) {
            batch_free(TAKE_PTR(f->made[i]));
            return rc;
        }
    }
    return ERR_OK;
}

static int pass_on(struct flow *f, size_t stage, struct error *e);

static int take(struct flow *f, size_t stage, const struct batch *rows, struct error *e)
{
    const int rc =
        f->pipeline->kinds[stage]->process(f->states[stage], rows, f->o, f->made[stage], e);
    return rc == ERR_OK ? pass_on(f, stage, e) : rc;
}

/* What the stage has made goes to the next one, or out. */
static int pass_on(struct flow *f, size_t stage, struct error *e)
{
    struct batch *rows = f->made[stage];
    int rc = ERR_OK;
    if (rows->n_rows == 0 || (stage + 1 == f->end && !f->text))
        return ERR_OK;
    if (stage + 1 < f->end) {
        rc = take(f, stage + 1, rows, e);
    } else {
        f->o->text_rows += rows->n_rows;
        rc = f->text->rows(f->text->user, rows, e);
    }
    batch_clear(rows);
    return rc;
}

int flow_rows(struct flow *f, const struct batch *rows, struct error *e)
{
    const int rc = open_all(f, e);
    if (rc != ERR_OK || rows->n_rows == 0)
        return rc;
    return take(f, f->first, rows, e);
}

int flow_end(struct flow *f, struct error *e)
{
    int rc = open_all(f, e);
    for (size_t i = f->first; i < f->end && rc == ERR_OK; i++) {
        const struct pipeline_kind *kind = f->pipeline->kinds[i];
        rc = gathers(f, i) ? kind->save(f->states[i], &f->o->partial, e)
                           : kind->end(f->states[i], f->o, f->made[i], e);
        if (rc == ERR_OK)
            rc = pass_on(f, i, e);
    }
    if (rc != ERR_OK)
        return rc;
    batch_free(f->o->rows);
    f->o->rows = TAKE_PTR(f->made[f->end - 1]);
    return ERR_OK;
}

void flow_done(struct flow *f)
{
    for (size_t i = f->first; i < f->n_opened; i++) {
        f->pipeline->kinds[i]->close(f->states[i]);
        batch_free(f->made[i]);
    }
    f->n_opened = f->first;
}
