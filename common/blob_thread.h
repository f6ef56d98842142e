/*
 * blob_thread.h: the files of blobs on a thread of their own, since a disk blocks: pieces that come
 * in, pieces that go out, files to remove. One queue, first come first served; each request is one
 * piece, so that nobody waits long for another one's file.
 *
 * A request is made by the owner's thread and owned by it again when it comes back through
 * blob_thread_poll(); between, it and what it points to belong to the thread.
 *
 * Thread rule: all functions from one thread, the owner's.
 */
#ifndef DROVER_BLOB_THREAD_H
#define DROVER_BLOB_THREAD_H

#include "blob_files.h"

struct blob_thread;

enum blob_do { BLOB_PUT, BLOB_READ, BLOB_VERIFY, BLOB_REMOVE };

struct blob_request {
    struct blob_request *next; /* the queue's */
    enum blob_do what;
    struct blob_name name;
    uint64_t offset;                                  /* PUT, READ */
    uint64_t total;                                   /* PUT: given; READ, VERIFY: answered */
    struct span data;                                 /* PUT; borrowed */
    size_t max;                                       /* READ */
    struct buf out;                                   /* READ: the bytes; the owner's */
    struct blob_put put;                              /* PUT: answered */
    void (*done)(struct blob_request *r, void *user); /* owner's thread; owns r again */
    int rc;
    struct error error;
};

/* Takes the files, also when it fails. */
int blob_thread_new(struct blob_files *files_take, struct blob_thread **ret,
                    struct error *e) MUST_CHECK;
/* Finishes the request that is in work and hands back all others with UNAVAILABLE through `done`. */
void blob_thread_free(struct blob_thread *t, void *user);

int blob_thread_fd(const struct blob_thread *t); /* readable when poll has something */
void blob_thread_submit(struct blob_thread *t, struct blob_request *r);
void blob_thread_poll(struct blob_thread *t, void *user); /* calls done of what came back */
size_t blob_thread_bytes(const struct blob_thread *t);    /* of PUTs that have not come back */

#endif
