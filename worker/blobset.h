/*
 * blobset.h: the blobs that are at hand for a task, as open files: what the blob cache (cache.h) or the
 * folder of `run --blobs` gives to the stages.
 *
 * Thread rule: immutable while a task runs, and shared by threads then: files are read by offset
 * (pread, mmap), never by their position.
 */
#ifndef DROVER_BLOBSET_H
#define DROVER_BLOBSET_H

#include "common/blob_files.h"

struct blobset_item {
    struct blob_name name;
    int fd;
    uint64_t bytes;
};

struct blobset {
    struct blobset_item *items; /* owned, with their files */
    size_t n;
    const struct blobset *base; /* searched after its own; borrowed; NULL: none */
};

void blobset_done(struct blobset *s);
/* NULL: it is not there (or s is NULL). */
const struct blobset_item *blobset_find(const struct blobset *s, const struct blob_name *name);
/* The same where it has to be there: NOT_FOUND names it. */
int blobset_need(const struct blobset *s, const struct blob_name *name,
                 const struct blobset_item **ret, struct error *e) MUST_CHECK;
/* Opens a whole blob of the folder, unless it is there already. NOT_FOUND, IO, NOMEM. */
int blobset_add(struct blobset *s, struct blob_files *from, const struct blob_name *name,
                struct error *e) MUST_CHECK;

#endif
