/*
 * file_folder.h: the folder of one job under a sink's root, and its manifests: which files are
 * whole.
 *
 *     ROOT/[DIRECTORY/]UID/TASK.ndjson            (or .csv)
 *     ROOT/[DIRECTORY/]UID/manifest-HOST.ndjson   a line for each file that this machine landed
 *
 * The root must be there: it may be the place of a disk that is not mounted. The folders below are
 * made, and never followed when they are symbolic links.
 *
 * Thread rule: belongs to one thread; the manifest's lock keeps other threads and processes out.
 */
#ifndef DROVER_FILE_FOLDER_H
#define DROVER_FILE_FOLDER_H

#include "common/buf.h"
#include "sink.h"

enum { FILE_PATH_LEN = 4096, FILE_HOST_LEN = 65, FILE_NAME_LEN = 40, FILE_LOCK_POLL_MS = 2 };

struct file_folder {
    int fd, manifest_fd;
    char path[FILE_PATH_LEN]; /* for messages */
    char manifest[FILE_HOST_LEN + 20];
};

/* UNAVAILABLE, naming the path and what to do. */
int file_folder_open(const char *root, const char *directory, const uint8_t uid[SINK_UID_LEN],
                     struct file_folder *ret, struct error *e) MUST_CHECK;
void file_folder_close(struct file_folder *f);

/* "12.ndjson" */
void file_folder_name(char ret[FILE_NAME_LEN], uint64_t task, enum spec_sink_mode mode);
/* Says what failed on a file of the folder (NULL: the folder itself). Returns UNAVAILABLE. */
int file_folder_failed(const struct file_folder *f, const char *name, int error_number,
                       struct error *e);

/* Opens and locks this machine's manifest. What a power cut left of a last line is cut off. */
int file_folder_lock(struct file_folder *f, uint64_t deadline_ms, struct error *e) MUST_CHECK;
void file_folder_unlock(struct file_folder *f);

/* Which of n names have a line in a manifest, this machine's or another's: sets ret[i]. */
int file_folder_listed(const struct file_folder *f, const char (*names)[FILE_NAME_LEN], size_t n,
                       bool *ret, struct error *e) MUST_CHECK;
/* Makes the files in the folder durable, then appends lines to the manifest in one write, durably.
 * */
int file_folder_append(struct file_folder *f, struct span lines, struct error *e) MUST_CHECK;

#endif
