#include "model_check.h"

#include "common/blob_files.h"

static void unmap(struct span *file)
{
    blob_files_unmap(*file);
}

static int prove(const struct model_check *c, struct score_model *m, struct error *e)
{
    CLEANUP(unmap) struct span sample = {"", 0};
    int rc = looks_map(c->look.owner, &c->blobs[1], &sample, e);
    return rc ? rc : score_verify(m, sample, c->tolerance, VERIFY_SUBMIT_MAX_MS, e);
}

static int run(struct look *look, struct error *e)
{
    struct model_check *c = (struct model_check *)look;
    CLEANUP(unmap) struct span file = {"", 0};
    const struct score_options options = {.kernel = c->explain ? NULL : "walk"};
    struct score_model *m = NULL;
    int rc = looks_map(look->owner, &c->blobs[0], &file, e);
    if (rc == ERR_OK)
        rc = score_load(file, &options, &m, e);
    if (rc)
        return rc;
    if (c->has_sample)
        rc = prove(c, m, e);
    if (rc == ERR_OK && c->explain)
        score_explain(m, &c->text);
    else if (rc == ERR_OK)
        rc = model_info_new(m, c->names, c->n_names, &c->info, e);
    score_unref(m);
    return rc;
}

int model_check_submit(struct looks *l, struct model_check *c, const struct blob_name *model,
                       const struct blob_name *sample, void (*done)(struct look *), struct error *e)
{
    c->blobs[0] = *model;
    c->has_sample = sample != NULL;
    if (sample)
        c->blobs[1] = *sample;
    c->look.blobs = c->blobs;
    c->look.n_blobs = c->has_sample ? 2 : 1;
    c->look.run = run;
    c->look.done = done;
    return looks_submit(l, &c->look, e);
}
