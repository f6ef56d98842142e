#include "blobset.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

void blobset_done(struct blobset *s)
{
    for (size_t i = 0; i < s->n; i++)
        close(s->items[i].fd);
    free(s->items);
    *s = (struct blobset){0};
}

const struct blobset_item *blobset_find(const struct blobset *s, const struct blob_name *name)
{
    for (; s; s = s->base)
        for (size_t i = 0; i < s->n; i++)
            if (blob_name_eq(&s->items[i].name, name))
                return &s->items[i];
    return NULL;
}

int blobset_need(const struct blobset *s, const struct blob_name *name,
                 const struct blobset_item **ret, struct error *e)
{
    char text[BLOB_TEXT_LEN + 1];
    *ret = blobset_find(s, name);
    return *ret ? ERR_OK
                : error_set(e, ERR_NOT_FOUND, "blob %s is not here", blob_name_text(name, text));
}

int blobset_add(struct blobset *s, struct blob_files *from, const struct blob_name *name,
                struct error *e)
{
    struct stat st;
    int fd;
    if (blobset_find(s, name))
        return ERR_OK;
    struct blobset_item *grown = realloc(s->items, (s->n + 1) * sizeof(*grown));
    if (!grown)
        return error_set(e, ERR_NOMEM, "no memory for the blobs of a task");
    s->items = grown;
    int rc = blob_files_fd(from, name, &fd, e);
    if (rc)
        return rc;
    if (fstat(fd, &st) != 0) {
        close(fd);
        return error_set(e, ERR_IO, "cannot read a blob: %s", strerror(errno));
    }
    s->items[s->n++] = (struct blobset_item){*name, fd, (uint64_t)st.st_size};
    return ERR_OK;
}
