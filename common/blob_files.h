/*
 * blob_files.h: blobs as files in a folder, named by their SHA-256. A blob that is on its way in is
 * a file NAME.part, which becomes NAME when all of it is there, its bytes hash to its name, and it is
 * on the disk (fsync of file and folder): so a file without .part is always whole.
 *
 *     first piece           last piece, hash right, fsync, rename
 *    -------------> NAME.part ----------------------------------> NAME
 *                      |
 *                      +--> gone: wrong hash, disk full, removed
 *
 * The coordinator keeps its blobs so, and a worker its cache, which need not survive a crash of the
 * machine and is not synced. It decides neither what is taken nor what is removed. A part that a
 * process left behind is gone on with; its bytes are hashed anew.
 *
 * Thread rule: one owner at a time; blob_files_fd may be called beside it. Calls block on the disk.
 */
#ifndef DROVER_BLOB_FILES_H
#define DROVER_BLOB_FILES_H

#include "blob.h"
#include "buf.h"

enum { BLOB_FILES_OPEN_MAX = 32 /* parts with an open file; others are opened again */ };

struct blob_files;

/* Makes the folder where it is missing. durable: what is whole survives a crash of the machine. IO. */
int blob_files_open(const char *folder, bool durable, struct blob_files **ret,
                    struct error *e) MUST_CHECK;
/* A folder that is somebody else's: it must be there, and nothing in it is changed. NOT_FOUND, IO. */
int blob_files_find(const char *folder, struct blob_files **ret, struct error *e) MUST_CHECK;
void blob_files_close(struct blob_files *f);

/* Every blob and part in the folder; other files are left alone. */
struct blob_file {
    struct blob_name name;
    bool part;
    uint64_t bytes;
    int64_t changed_ms; /* Unix */
};
typedef int blob_files_fn(void *user, const struct blob_file *file);
/* What fn returns other than 0 ends the walk and is returned. */
int blob_files_walk(struct blob_files *f, blob_files_fn *fn, void *user,
                    struct error *e) MUST_CHECK;

struct blob_put {
    uint64_t bytes; /* that are there, from the first without a gap */
    bool whole;
    bool gone; /* nothing of it is there (any more) */
};

/* A piece of a blob of `total` bytes. It is taken when it goes on where the others end; otherwise
 * nothing happens, and ret->bytes says where to go on. *ret is valid after an error too.
 * INVALID_ARGUMENT: it is whole, and its hash is another one. STORE_FULL: the disk, of which some is
 * kept for others. IO, NOMEM. */
int blob_files_put(struct blob_files *f, const struct blob_name *name, uint64_t offset,
                   uint64_t total, struct span data, struct blob_put *ret,
                   struct error *e) MUST_CHECK;

/* Appends up to max bytes of a whole blob. NOT_FOUND, IO, NOMEM. */
int blob_files_read(struct blob_files *f, const struct blob_name *name, uint64_t offset, size_t max,
                    struct buf *out, uint64_t *ret_total, struct error *e) MUST_CHECK;

/* The file of a whole blob, to be read by offset; the caller closes it. NOT_FOUND, IO. */
int blob_files_fd(struct blob_files *f, const struct blob_name *name, int *ret,
                  struct error *e) MUST_CHECK;
/* The bytes of an open file, to be read alone; give back by blob_files_unmap. IO. */
int blob_files_map(int fd, uint64_t bytes, struct span *ret, struct error *e) MUST_CHECK;
void blob_files_unmap(struct span bytes);

/* Hashes a whole blob; one that is not what its name says is removed (unless the folder is
 * somebody else's), and NOT_FOUND. IO, NOMEM. */
int blob_files_verify(struct blob_files *f, const struct blob_name *name, uint64_t *ret_bytes,
                      struct error *e) MUST_CHECK;

/* The blob and its part; OK when they are not there. IO. */
int blob_files_remove(struct blob_files *f, const struct blob_name *name,
                      struct error *e) MUST_CHECK;

#endif
