/*
 * inputs.h: the files that tasks read: how an input names one, or a part of it, and opening it.
 *
 *     /data/sales-1.csv                         a file of the worker, under one of its input_roots
 *     /data/sales-*.csv                         several: the shell's patterns
 *     https://example.org/sales.csv             a file of a web server (download.h)
 *     {"blob": SHA256, ...}                     one that the client has sent, or a slice (slice.h)
 *     /data/sales-1.csv#bytes=4096-8191,line=77 a part: from byte 4096 to before byte 8191 (nothing
 *                                               after the "-": to the end), where line 77 begins
 *     https://...#bytes=...,line=...,etag="x"   a part of this very version of the file
 *
 * It does not know what is in the files.
 *
 * Thread rule: any thread; a struct inputs is immutable while it is used.
 */
#ifndef DROVER_INPUTS_H
#define DROVER_INPUTS_H

#include <stdatomic.h>

#include "common/slice.h"
#include "worker/download.h"

struct blobset;

enum { INPUTS_FILES_MAX = 100000 /* that one pattern may match */ };

enum input_kind { INPUT_PATH, INPUT_URL, INPUT_BLOB };

struct input_ref {
    enum input_kind kind;
    struct span name; /* the path, the URL, or the text of the slice; borrowed from the text */
    struct blob_name blob;
    char file[SLICE_FILE_LEN]; /* the name of the slice's file, for people; "": not known */
    bool part;
    uint64_t begin, end; /* bytes; end UINT64_MAX: to the end of the file */
    uint64_t line;       /* where it begins, from 1 */
    struct span version; /* of a part of a URL (download.h); borrowed from the text */
};

/* INVALID_ARGUMENT says what is wrong with the text. */
int input_ref_parse(struct span text, struct input_ref *ret, struct error *e) MUST_CHECK;
void input_ref_text(const struct input_ref *r, struct buf *out);
bool input_ref_is_pattern(const struct input_ref *r);

struct inputs {
    const char *const *roots; /* folders that files may be in; NULL: anywhere */
    size_t n_roots;
    bool whole;                  /* files are not to be cut into parts */
    const char *temporary;       /* folder of files that are downloaded; NULL: TMPDIR, or /tmp */
    uint64_t download_bytes_max; /* of one of them (input_bytes_max) */
    /* downloads_get, and what it takes; NULL: nothing is downloaded. A pointer, so that the coordinator,
     * which checks names alone, needs no HTTP. */
    int (*get)(struct downloads *d, const char *url, const struct download_part *part,
               const atomic_bool *cancelled, struct download *ret, struct error *e);
    struct downloads *downloads;
};

struct input_file {
    int fd;     /* for reading by offset; the caller closes it */
    bool parts; /* what it is to its end may be cut: parts of it can be opened later */
    char version[DOWNLOAD_VERSION_LEN + 1]; /* that they have to name; "": none */
};

/* NOT_FOUND, AUTH (not in one of the roots), IO, and what downloads_get says. The text of the error names the
 * file. cancelled: may be NULL. */
int inputs_open(const struct inputs *in, const struct blobset *blobs, const struct input_ref *r,
                const atomic_bool *cancelled, struct input_file *ret, struct error *e) MUST_CHECK;

/* The files of a pattern, in order, each told of once. NOT_FOUND: none. LIMIT: too many. */
typedef void inputs_file_fn(void *user, struct span path);
int inputs_match(const struct input_ref *r, inputs_file_fn *fn, void *user,
                 struct error *e) MUST_CHECK;

#endif
