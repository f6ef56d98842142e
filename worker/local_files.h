/*
 * local_files.h: files of this machine where the description of a job that runs alone has blobs:
 * {"file": "churn.onnx"} for a model, its sample or a lookup table becomes {"blob": SHA256}, and the open
 * file is at hand under that name.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_LOCAL_FILES_H
#define DROVER_LOCAL_FILES_H

#include <jansson.h>

#include "common/spec.h"
#include "worker/blobset.h"

struct local_files {
    struct blobset set;        /* the files that the description names */
    struct blob_files *folder; /* of `run --blobs`; NULL: none */
};

/* blobs: that folder; NULL: none. NOT_FOUND, IO. */
int local_files_open(struct local_files *l, const char *blobs, struct error *e) MUST_CHECK;
void local_files_close(struct local_files *l);

/* *ret_changed: there were some. IO, NOMEM: which file, and why. */
int local_files_take(struct local_files *l, json_t *root, bool *ret_changed,
                     struct error *e) MUST_CHECK;
/* One file; its name as a blob. */
int local_files_add(struct local_files *l, const char *path, struct blob_name *ret,
                    struct error *e) MUST_CHECK;
/* What completes a description (spec_compile); borrows l. */
struct spec_files local_files_for_spec(struct local_files *l);

#endif
