#include "engine_score.h"

#include <pthread.h>

#include "worker/models.h"
#include "worker/output.h"

struct stage {
    struct models_ref ref;
    json_t *json;                 /* without what score_stage_compile does not know */
    struct batch *input;          /* the columns of the stage before */
    struct batch *columns;        /* of the results */
    pthread_mutex_t lock;         /* of what follows */
    struct score_stage *compiled; /* NULL: not yet */
};

/* ---- descriptions ---- */

/* As the engine knows a stage. NULL: no memory. */
static json_t *engine_json(const json_t *stage)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)stage);
    json_t *model =
        json_pack("{s:O?}", "blob", json_object_get(json_object_get(stage, "model"), "blob"));
    if (copy)
        json_object_del(copy, "columns");
    if (copy && model)
        json_object_set(copy, "model", model);
    json_decref(model);
    return copy;
}

static json_t *columns_json(const struct batch *b)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < b->n_columns; i++)
        json_array_append_new(list, json_pack("[s,s]", b->columns[i].name,
                                              col_type_name(b->columns[i].type)));
    return list;
}

static bool column_type(const char *name, enum col_type *ret)
{
    for (enum col_type t = COL_BOOL; t <= COL_TIMESTAMP; t++)
        if (name && strcmp(col_type_name(t), name) == 0) {
            *ret = t;
            return true;
        }
    return false;
}

static int read_columns(const json_t *list, struct batch **ret, struct error *e)
{
    struct batch *b = batch_new();
    int rc = b ? ERR_OK : error_set(e, ERR_NOMEM, "no memory for the job");
    if (rc == ERR_OK && (!json_is_array(list) || json_array_size(list) == 0))
        rc = error_set(
            e, ERR_INVALID_SPEC,
            "columns: they are written by whoever takes the job in; the model is not known");
    for (size_t i = 0; rc == ERR_OK && i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *name = json_string_value(json_array_get(one, 0));
        enum col_type type = COL_TEXT;
        if (!name || !column_type(json_string_value(json_array_get(one, 1)), &type))
            rc = error_set(e, ERR_INVALID_SPEC, "columns[%zu]: [name, type] is wanted here", i);
        else
            rc = batch_add_column(b, name, type);
    }
    if (rc == ERR_OK)
        *ret = b;
    else
        batch_free(b);
    return rc;
}

static int tell_blobs(const struct models_ref *ref, spec_blob_fn *fn, void *user)
{
    const int rc = fn(user, &ref->model);
    return rc == ERR_OK && ref->has_sample ? fn(user, &ref->sample) : rc;
}

int engine_score_wants(const json_t *stage, spec_blob_fn *fn, void *user, struct error *e)
{
    struct models_ref ref;
    const int rc = models_ref_read(json_object_get(stage, "model"), "model", &ref, e);
    return rc == ERR_OK ? tell_blobs(&ref, fn, user) : rc;
}

/* Fails as a worker would, which does it once more: another processor may compute otherwise. */
static int prove(struct score_model *m, const struct models_ref *ref,
                 const struct spec_files *files, struct error *e)
{
    struct span sample = {NULL, 0};
    struct error why = {0};
    int rc = files->map(files->user, &ref->sample, &sample, e);
    if (rc != ERR_OK)
        return rc;
    rc = score_verify(m, sample, ref->tolerance, VERIFY_SUBMIT_MAX_MS, &why);
    files->unmap(files->user, sample);
    if (rc == ERR_OK)
        return ERR_OK;
    return error_set(e, rc == ERR_NOMEM ? ERR_NOMEM : ERR_INVALID_SPEC, "%s%s",
                     strncmp(why.detail, "sample", 6) == 0 ? "model." : "", why.detail);
}

static int load_checked(const struct models_ref *ref, const struct spec_files *files,
                        struct score_model **ret, struct error *e)
{
    const struct score_options options = {.kernel = "walk"}; /* measures nothing */
    struct score_model *m = NULL;
    struct span file = {NULL, 0};
    int rc = files->map(files->user, &ref->model, &file, e);
    if (rc != ERR_OK)
        return rc;
    rc = score_load(file, &options, &m, e);
    files->unmap(files->user, file);
    if (rc == ERR_OK && ref->has_sample)
        rc = prove(m, ref, files, e);
    if (rc == ERR_OK)
        *ret = m;
    else
        score_unref(m);
    return rc;
}

int engine_score_complete(json_t *stage, const struct batch *input, const struct spec_files *files,
                          struct error *e)
{
    struct models_ref ref;
    struct score_model *model = NULL;
    struct score_stage *s = NULL;
    if (!input)
        return error_set(e, ERR_INVALID_SPEC, "kind: a model needs rows: a stage before it");
    int rc = models_ref_read(json_object_get(stage, "model"), "model", &ref, e);
    if (rc == ERR_OK)
        rc = load_checked(&ref, files, &model, e);
    if (rc != ERR_OK)
        return rc;
    json_t *json = engine_json(stage);
    rc = json ? score_stage_compile(json, model, input, &s, e)
              : error_set(e, ERR_NOMEM, "no memory for the job");
    score_unref(model);
    json_decref(json);
    struct batch *columns = rc == ERR_OK ? score_stage_columns(s) : NULL;
    if (rc == ERR_OK &&
        (!columns || json_object_set_new(stage, "columns", columns_json(columns)) != 0))
        rc = error_set(e, ERR_NOMEM, "no memory for the job");
    batch_free(columns);
    score_stage_free(s);
    return rc;
}

/* Names and types, without rows. */
static struct batch *copy_columns(const struct batch *from)
{
    struct batch *b = batch_new();
    for (size_t i = 0; b && i < from->n_columns; i++)
        if (batch_add_column(b, from->columns[i].name, from->columns[i].type) != ERR_OK) {
            batch_free(b);
            return NULL;
        }
    return b;
}

int engine_score_compile(const json_t *json, const struct batch *input, void **ret, struct error *e)
{
    static const char *const keys[] = {"kind", "model", "inputs", "outputs", "keep", "columns"};
    if (!input)
        return error_set(e, ERR_INVALID_SPEC, "kind: a model needs rows: a stage before it");
    struct stage *s = calloc(1, sizeof(*s));
    if (!s)
        return error_set(e, ERR_NOMEM, "no memory for the job");
    pthread_mutex_init(&s->lock, NULL);
    int rc = spec_check_keys(json, "", keys, ARRAY_LEN(keys), e);
    if (rc == ERR_OK)
        rc = models_ref_read(json_object_get(json, "model"), "model", &s->ref, e);
    if (rc == ERR_OK)
        rc = read_columns(json_object_get(json, "columns"), &s->columns, e);
    if (rc == ERR_OK) {
        s->json = engine_json(json);
        s->input = copy_columns(input);
        if (!s->json || !s->input)
            rc = error_set(e, ERR_NOMEM, "no memory for the job");
    }
    if (rc == ERR_OK)
        *ret = s;
    else
        engine_score_free(s);
    return rc;
}

void engine_score_free(void *compiled)
{
    struct stage *s = compiled;
    if (!s)
        return;
    score_stage_free(s->compiled);
    json_decref(s->json);
    batch_free(s->input);
    batch_free(s->columns);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

struct batch *engine_score_columns(const void *compiled)
{
    return copy_columns(((const struct stage *)compiled)->columns);
}

int engine_score_blobs(const void *compiled, struct span item, spec_blob_fn *fn, void *user)
{
    const struct stage *s = compiled;
    if (item.p) /* its items are the first stage's matter */
        return ERR_OK;
    return tell_blobs(&s->ref, fn, user);
}

/* ---- running ---- */

struct state {
    const struct score_stage *stage;
    struct score_scratch scratch;
};

static bool same_columns(const struct batch *a, const struct batch *b)
{
    bool same = a->n_columns == b->n_columns;
    for (size_t i = 0; same && i < a->n_columns; i++)
        same = a->columns[i].type == b->columns[i].type &&
               strcmp(a->columns[i].name, b->columns[i].name) == 0;
    return same;
}

/* Once for the job, when its first task has the model at hand. */
static int compile_once(struct stage *s, const struct blobset *blobs, struct error *e)
{
    struct score_model *model = NULL;
    struct score_stage *made = NULL;
    int rc = models_get(&s->ref, blobs, &model, e);
    if (rc != ERR_OK)
        return rc;
    rc = score_stage_compile(s->json, model, s->input, &made, e);
    score_unref(model);
    struct batch *columns = rc == ERR_OK ? score_stage_columns(made) : NULL;
    if (rc == ERR_OK && !columns)
        rc = error_set(e, ERR_NOMEM, "no memory for the rows");
    else if (rc == ERR_OK && !same_columns(columns, s->columns))
        rc = error_set(e, ERR_INVALID_SPEC,
                       "the model makes other columns than the description says");
    batch_free(columns);
    if (rc == ERR_OK)
        s->compiled = made;
    else
        score_stage_free(made);
    return rc;
}

int engine_score_open(const void *compiled, const struct blobset *blobs, void **ret_state,
                      struct error *e)
{
    struct stage *s = (struct stage *)(uintptr_t)compiled;
    pthread_mutex_lock(&s->lock);
    const int rc = s->compiled ? ERR_OK : compile_once(s, blobs, e);
    pthread_mutex_unlock(&s->lock);
    if (rc != ERR_OK)
        return rc;
    struct state *state = calloc(1, sizeof(*state));
    if (!state)
        return error_set(e, ERR_NOMEM, "no memory for the rows");
    state->stage = s->compiled;
    score_scratch_init(&state->scratch);
    *ret_state = state;
    return ERR_OK;
}

int engine_score_process(void *state, const struct batch *in, struct output *o UNUSED,
                         struct batch *out, struct error *e)
{
    struct state *s = state;
    const int rc = score_stage_run(s->stage, &s->scratch, in, out, e);
    s->scratch.rows_before += in->n_rows;
    return rc;
}

int engine_score_end(void *state, struct output *o, struct batch *out UNUSED,
                     struct error *e UNUSED)
{
    output_stat(o, "scored_rows", (int64_t)((const struct state *)state)->scratch.rows_before);
    return ERR_OK;
}

void engine_score_close(void *state)
{
    struct state *s = state;
    if (!s)
        return;
    score_scratch_done(&s->scratch);
    free(s);
}
