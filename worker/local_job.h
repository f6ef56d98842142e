/*
 * local_job.h: the job of `drover-worker run`: a description in a file, or one that is made of SQL and
 * the names of files. The columns of a transform's first file are looked up before it is compiled, so
 * that `*` is possible and a column that is not there is found at once.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_LOCAL_JOB_H
#define DROVER_LOCAL_JOB_H

#include "local_files.h"
#include "pipeline.h"

struct local_job {
    const char *job; /* file of a description; "-": standard input; NULL: made of the following */
    const char *sql;
    const char *const *files; /* paths or patterns, relative to where the program runs */
    size_t n_files;
    const char
        *delimiter; /* of the files' columns: one character, or "tab"; NULL: by their names */
};

/* blobs: files that the description names are added. INVALID_SPEC, or what is wrong with a file. */
int local_job_load(const struct local_job *j, struct local_files *blobs, struct pipeline **ret,
                   struct error *e) MUST_CHECK;

/* An input as tasks take it: the name of a file becomes an absolute path, in room. Others stay as they
 * are. */
struct span local_job_input(struct span text, struct buf *room);

#endif
