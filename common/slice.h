/*
 * slice.h: a slice of a file as an item of a job: a blob, how many bytes it has, and which line of the
 * file it begins with, so that what is wrong in it can be named. As text, which is what clients send
 * and what rejects name, it is
 *     {"blob": "SHA256", "bytes": 4194304, "line": 120001, "file": "sales.csv"}
 * with any spaces and order. Packed it is that text, as slice_write writes it.
 *
 * It knows nothing of what is in a file.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_SLICE_H
#define DROVER_SLICE_H

#include "blob.h"
#include "buf.h"

enum { SLICE_FILE_LEN = 256 /* bytes of the name of its file, with the NUL */ };

struct slice {
    struct blob_name blob;
    uint64_t bytes;            /* of the blob; 0: not known */
    uint64_t first_line;       /* from 1; 1 where nothing else is known */
    char file[SLICE_FILE_LEN]; /* where it is from, for people; "": not known */
};

/* INVALID_ARGUMENT says what is wrong with it. */
int slice_parse(struct span text, struct slice *ret, struct error *e) MUST_CHECK;
void slice_write(const struct slice *s, struct buf *out);

#endif
