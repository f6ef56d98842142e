/*
 * model_table.h: the named models, as the store has them: name and version, the blobs, the columns. Names are
 * 1 to 64 of A-Z a-z 0-9 . _ - ; a version is a number from 1 on, and the newest is meant when none is
 * said. What is asked of a model is predict.h's.
 *
 * Thread rule: the loop thread.
 */
#ifndef DROVER_MODEL_TABLE_H
#define DROVER_MODEL_TABLE_H

#include "coordinator/edge/model_info.h"
#include "coordinator/edge/predict_stats.h"
#include "coordinator/edge/store.h"

enum { MODEL_NAME_MAX = 64, MODEL_VERSION_MAX = 1000 * 1000 * 1000 };

struct predict_queue;

struct model {
    char name[MODEL_NAME_MAX + 1];
    uint64_t version;
    struct blob_name blob;
    bool has_sample;
    struct blob_name sample;
    double tolerance;
    int64_t created_ms;
    struct model_info *info;
    struct predict_queue *queue; /* predict.c's */
    struct predict_stats stats;
};

struct model_table;

struct model_table *model_table_new(void) MUST_CHECK; /* NULL: no memory */
void model_table_free(struct model_table *t);         /* after predict_free */

/* Adds one that the store has now. The pointer is valid until it is removed. NOMEM, MALFORMED. */
int model_table_add(struct model_table *t, const struct store_model *from, struct model **ret,
                    struct error *e) MUST_CHECK;
/* Forgets it and frees it. */
void model_table_remove(struct model_table *t, struct model *m);

/* version 0: the newest. NULL: there is none. */
struct model *model_table_find(const struct model_table *t, struct span name, uint64_t version);
/* The same as an error: NOT_FOUND, which names what there is. */
int model_table_need(const struct model_table *t, struct span name, uint64_t version,
                     struct model **ret, struct error *e) MUST_CHECK;
/* In order of names and versions; NULL at the end. */
struct model *model_table_at(const struct model_table *t, size_t i);
bool model_table_is_newest(const struct model_table *t, size_t i); /* of its name */

#endif
