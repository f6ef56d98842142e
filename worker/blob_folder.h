/*
 * blob_folder.h: the folder of a worker's cache of blobs: one that is configured and stays, locked
 * against other workers, or a private one for temporary files, which is removed at the end. Those that
 * killed workers left behind are removed at the next start of one that needs such a folder.
 *
 * Thread rule: one owner.
 */
#ifndef DROVER_BLOB_FOLDER_H
#define DROVER_BLOB_FOLDER_H

#include "common/blob_files.h"

struct blob_folder {
    char *path;  /* NULL: not open */
    int lock_fd; /* held while it is open */
    bool temporary;
};

void blob_folder_init(struct blob_folder *f);
/* path NULL: a temporary one. CONFIG: it cannot be used, or another worker uses it. */
int blob_folder_open(struct blob_folder *f, const char *path, struct blob_files **ret,
                     struct error *e) MUST_CHECK;
void blob_folder_close(struct blob_folder *f); /* after its files */

#endif
