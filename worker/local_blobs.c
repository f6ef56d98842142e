#include "local_blobs.h"

/* Where the blobs are put that are listed. */
struct opening {
    struct local_blobs *from;
    struct blobset *set;
    struct error *e;
};

static int open_one(void *user, const struct blob_name *name)
{
    const struct opening *o = user;
    char text[BLOB_TEXT_LEN + 1];
    uint64_t bytes;
    if (blobset_find(o->set, name))
        return ERR_OK;
    if (!o->from->files)
        return error_set(o->e, ERR_NOT_FOUND,
                         "blob %s is needed: say with --blobs DIR in which folder it is",
                         blob_name_text(name, text));
    int rc = blob_files_verify(o->from->files, name, &bytes, o->e);
    return rc ? rc : blobset_add(o->set, o->from->files, name, o->e);
}

int local_blobs_open(struct local_blobs *l, const struct local_files *files,
                     const struct pipeline *p, struct error *e)
{
    *l = (struct local_blobs){.files = files->folder, .job.base = &files->set};
    return spec_blobs(p->spec, open_one, &(struct opening){l, &l->job, e});
}

void local_blobs_close(struct local_blobs *l)
{
    blobset_done(&l->job);
}

int local_blobs_task(struct local_blobs *l, const struct pipeline *p, struct span items,
                     struct blobset *ret, struct error *e)
{
    *ret = (struct blobset){.base = &l->job};
    return pipeline_blobs(p, items, open_one, &(struct opening){l, ret, e});
}
