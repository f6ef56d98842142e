/*
 * upload.h: a file as a blob on the coordinator: hashed, and sent piece by piece as far as it is missing.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_UPLOAD_H
#define DROVER_UPLOAD_H

#include "admin/ctl.h"
#include "common/blob.h"

/* ret_name: the SHA-256 as text. INVALID_ARGUMENT: the file cannot be read, or is larger than a blob may be;
 * errors of the coordinator. */
int upload_file(struct ctl *ctl, const char *path, char ret_name[BLOB_TEXT_LEN + 1],
                struct error *e) MUST_CHECK;

#endif
