#include "models.h"

#include <pthread.h>
#include <stdio.h>

#include "common/spec.h"

enum loading { MODEL_NONE, MODEL_LOADING, MODEL_HERE };

struct entry {
    enum loading state;
    struct models_ref ref;
    struct score_model *model;
    uint64_t used; /* when, as a count */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct entry entries[MODELS_MAX];
    uint64_t clock;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* ---- descriptions ---- */

int models_ref_read(const json_t *value, const char *path, struct models_ref *ret, struct error *e)
{
    static const char *const keys[] = {"blob", "sample", "tolerance"};
    char inner[200];
    struct models_ref r = {.tolerance = VERIFY_TOLERANCE};
    if (!json_is_object(value))
        return error_set(e, ERR_INVALID_SPEC, "%s: {\"blob\": SHA256} is wanted here", path);
    int rc = spec_check_keys(value, path, keys, ARRAY_LEN(keys), e);
    const json_t *sample = json_object_get(value, "sample");
    const json_t *tolerance = json_object_get(value, "tolerance");
    json_t *only = json_pack("{s:O?}", "blob", json_object_get(value, "blob"));
    if (rc == ERR_OK)
        rc = spec_read_blob(only, path, &r.model, e);
    json_decref(only);
    snprintf(inner, sizeof(inner), "%s.sample", path);
    r.has_sample = sample && !json_is_null(sample);
    if (rc == ERR_OK && r.has_sample)
        rc = spec_read_blob(sample, inner, &r.sample, e);
    if (rc == ERR_OK && tolerance && !json_is_null(tolerance)) {
        r.tolerance = json_number_value(tolerance);
        if (!json_is_number(tolerance) || !(r.tolerance >= 0 && r.tolerance <= 1))
            rc = error_set(e, ERR_INVALID_SPEC, "%s.tolerance: a number from 0 to 1 is wanted here",
                           path);
    }
    if (rc == ERR_OK)
        *ret = r;
    return rc;
}

static bool ref_eq(const struct models_ref *a, const struct models_ref *b)
{
    return blob_name_eq(&a->model, &b->model) && a->has_sample == b->has_sample &&
           (!a->has_sample || (blob_name_eq(&a->sample, &b->sample) &&
                               !(a->tolerance < b->tolerance) && !(a->tolerance > b->tolerance)));
}

/* ---- loading ---- */

static int find_map(const struct blobset *blobs, const struct blob_name *name, struct span *ret,
                    struct error *e)
{
    const struct blobset_item *item = NULL;
    const int rc = blobset_need(blobs, name, &item, e);
    return rc == ERR_OK ? blob_files_map(item->fd, item->bytes, ret, e) : rc;
}

static int prove(const struct models_ref *ref, struct score_model *m, const struct blobset *blobs,
                 struct error *e)
{
    struct span sample = {NULL, 0};
    int rc = find_map(blobs, &ref->sample, &sample, e);
    if (rc != ERR_OK)
        return rc;
    rc = score_verify(m, sample, ref->tolerance, 0, e);
    blob_files_unmap(sample);
    return rc;
}

static int load(const struct models_ref *ref, const struct blobset *blobs, struct score_model **ret,
                struct error *e)
{
    struct span file;
    struct score_model *m = NULL;
    int rc = find_map(blobs, &ref->model, &file, e);
    if (rc != ERR_OK)
        return rc;
    rc = score_load(file, &(struct score_options){0}, &m, e);
    blob_files_unmap(file);
    if (rc == ERR_OK && ref->has_sample)
        rc = prove(ref, m, blobs, e);
    if (rc == ERR_OK)
        *ret = m;
    else
        score_unref(m);
    return rc;
}

/* ---- the table ---- */

static struct entry *find(const struct models_ref *ref)
{
    for (size_t i = 0; i < MODELS_MAX; i++)
        if (all.entries[i].state != MODEL_NONE && ref_eq(&all.entries[i].ref, ref))
            return &all.entries[i];
    return NULL;
}

static void drop(struct entry *x)
{
    score_unref(x->model);
    *x = (struct entry){0};
}

static struct entry *oldest(void)
{
    struct entry *found = NULL;
    for (size_t i = 0; i < MODELS_MAX; i++)
        if (all.entries[i].state == MODEL_HERE && (!found || all.entries[i].used < found->used))
            found = &all.entries[i];
    return found;
}

static uint64_t bytes_kept(void)
{
    uint64_t n = 0;
    for (size_t i = 0; i < MODELS_MAX; i++)
        if (all.entries[i].state == MODEL_HERE)
            n += all.entries[i].model->file_bytes;
    return n;
}

/* A free place; NULL: all are being loaded. */
static struct entry *make_room(void)
{
    while (bytes_kept() > MODELS_BYTES_MAX)
        drop(oldest());
    for (size_t i = 0; i < MODELS_MAX; i++)
        if (all.entries[i].state == MODEL_NONE)
            return &all.entries[i];
    struct entry *x = oldest();
    if (x)
        drop(x);
    return x;
}

int models_get(const struct models_ref *ref, const struct blobset *blobs, struct score_model **ret,
               struct error *e)
{
    pthread_mutex_lock(&all.lock);
    struct entry *x;
    while ((x = find(ref)) && x->state == MODEL_LOADING)
        pthread_cond_wait(&all.changed, &all.lock);
    if (x) {
        x->used = ++all.clock;
        *ret = score_ref(x->model);
        pthread_mutex_unlock(&all.lock);
        return ERR_OK;
    }
    x = make_room();
    if (x)
        *x = (struct entry){.state = MODEL_LOADING, .ref = *ref};
    pthread_mutex_unlock(&all.lock);
    struct score_model *m = NULL;
    const int rc = load(ref, blobs, &m, e);
    pthread_mutex_lock(&all.lock);
    if (x && rc == ERR_OK) {
        x->model = score_ref(m);
        x->state = MODEL_HERE;
        x->used = ++all.clock;
    } else if (x) {
        x->state = MODEL_NONE;
    }
    pthread_cond_broadcast(&all.changed);
    pthread_mutex_unlock(&all.lock);
    if (rc == ERR_OK)
        *ret = m;
    return rc;
}

bool models_has(const struct models_ref *ref)
{
    pthread_mutex_lock(&all.lock);
    const struct entry *x = find(ref);
    const bool here = x && x->state == MODEL_HERE;
    pthread_mutex_unlock(&all.lock);
    return here;
}
