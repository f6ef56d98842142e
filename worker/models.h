/*
 * models.h: models that are loaded, each once for the process, however many jobs and threads use it;
 * the least recently used go when there are too many. A model that comes with a sample is proved
 * right by it before anybody gets it.
 *
 * Thread rule: any thread. Those who ask for one model at the same time wait for the one who loads it.
 */
#ifndef DROVER_MODELS_H
#define DROVER_MODELS_H

#include "worker/blobset.h"
#include "worker/score/score.h"

enum {
    MODELS_MAX = 64,                      /* kept */
    MODELS_BYTES_MAX = 1024 * 1024 * 1024 /* of their files, kept */
};

/* What a stage or a named model says of a model. */
struct models_ref {
    struct blob_name model;
    bool has_sample;
    struct blob_name sample;
    double tolerance;
};

/* {"blob": SHA256, "sample": {"blob": SHA256}, "tolerance": 1e-5}. INVALID_SPEC; path: of the value. */
int models_ref_read(const json_t *value, const char *path, struct models_ref *ret,
                    struct error *e) MUST_CHECK;

/* A reference, which the caller gives back by score_unref. blobs has the model and the sample.
 * INVALID_SPEC, INVALID_ARGUMENT (the sample comes out differently), LIMIT, NOMEM, IO. */
int models_get(const struct models_ref *ref, const struct blobset *blobs, struct score_model **ret,
               struct error *e) MUST_CHECK;
/* Whether it is loaded: then blobs may be NULL in models_get, as long as nobody else asks for others. */
bool models_has(const struct models_ref *ref);

#endif
