/*
 * rowfile.h: a file of lines that several threads append to, with a buffer in between. The first
 * error sticks; appending goes on without effect, and rowfile_close tells.
 *
 * Thread rule: any thread, except for open and close.
 */
#ifndef DROVER_ROWFILE_H
#define DROVER_ROWFILE_H

#include <pthread.h>

#include "common/buf.h"
#include "common/err.h"

enum { ROWFILE_BUFFER_BYTES = 256 * 1024 };

struct rowfile {
    const char *path; /* borrowed; NULL: nothing is written */
    int fd;
    pthread_mutex_t lock;
    struct buf pending;
    int error; /* errno of the first failure; 0: none */
};

/* "-": standard output. NULL: everything is dropped. IO. */
int rowfile_open(struct rowfile *f, const char *path, struct error *e) MUST_CHECK;
/* Whole lines. Waits while the file takes no more (a pipe): that is the back-pressure. */
void rowfile_append(struct rowfile *f, struct span lines);
void rowfile_flush(struct rowfile *f);
bool rowfile_failed(struct rowfile *f);
int rowfile_close(struct rowfile *f, struct error *e) MUST_CHECK;

#endif
