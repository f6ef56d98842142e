#include "local_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int local_files_open(struct local_files *l, const char *blobs, struct error *e)
{
    *l = (struct local_files){0};
    return blobs ? blob_files_find(blobs, &l->folder, e) : ERR_OK;
}

void local_files_close(struct local_files *l)
{
    blobset_done(&l->set);
    blob_files_close(l->folder);
    *l = (struct local_files){0};
}

/* ---- mapping ---- */

static void unmap(void *user UNUSED, struct span bytes)
{
    blob_files_unmap(bytes);
}

static int map_blob(void *user, const struct blob_name *name, struct span *ret, struct error *e)
{
    struct local_files *l = user;
    char text[BLOB_TEXT_LEN + 1];
    if (!blobset_find(&l->set, name)) {
        if (!l->folder)
            return error_set(e, ERR_NOT_FOUND,
                             "blob %s is needed: say with --blobs DIR in which folder it is",
                             blob_name_text(name, text));
        const int rc = blobset_add(&l->set, l->folder, name, e);
        if (rc != ERR_OK)
            return rc;
    }
    const struct blobset_item *item = blobset_find(&l->set, name);
    return blob_files_map(item->fd, item->bytes, ret, e);
}

struct spec_files local_files_for_spec(struct local_files *l)
{
    return (struct spec_files){map_blob, unmap, l};
}

/* ---- taking files ---- */

static int hash(int fd, uint64_t bytes, struct blob_name *ret, struct error *e)
{
    struct span all = {NULL, 0};
    int rc = blob_files_map(fd, bytes, &all, e);
    if (rc == ERR_OK && !blob_hash_of(all.p, all.len, ret))
        rc = error_set(e, ERR_NOMEM, "no memory to hash a file");
    if (rc == ERR_OK)
        blob_files_unmap(all);
    return rc;
}

int local_files_add(struct local_files *l, const char *path, struct blob_name *ret, struct error *e)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = ERR_OK;
    if (fd < 0 || fstat(fd, &st) != 0)
        rc = error_set(e, ERR_IO, "cannot read %s: %s", path, strerror(errno));
    else
        rc = hash(fd, (uint64_t)st.st_size, ret, e);
    if (rc == ERR_OK && !blobset_find(&l->set, ret)) {
        struct blobset_item *grown = realloc(l->set.items, (l->set.n + 1) * sizeof(*grown));
        if (grown) {
            l->set.items = grown;
            grown[l->set.n++] = (struct blobset_item){*ret, fd, (uint64_t)st.st_size};
            return ERR_OK;
        }
        rc = error_set(e, ERR_NOMEM, "no memory for a file");
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

/* The object, where it has "file", names a blob instead. */
static int take(struct local_files *l, json_t *object, bool *changed, struct error *e)
{
    struct blob_name name;
    char text[BLOB_TEXT_LEN + 1];
    const char *path = json_string_value(json_object_get(object, "file"));
    if (!path)
        return ERR_OK;
    const int rc = local_files_add(l, path, &name, e);
    if (rc != ERR_OK)
        return rc;
    *changed = true;
    json_object_del(object, "file");
    return json_object_set_new(object, "blob", json_string(blob_name_text(&name, text))) == 0
               ? ERR_OK
               : error_set(e, ERR_NOMEM, "no memory for the job");
}

int local_files_take(struct local_files *l, json_t *root, bool *ret_changed, struct error *e)
{
    json_t *stages = json_object_get(root, "stages");
    int rc = ERR_OK;
    *ret_changed = false;
    for (size_t i = 0; i < json_array_size(stages) && rc == ERR_OK; i++) {
        const json_t *stage = json_array_get(stages, i);
        json_t *model = json_object_get(stage, "model"), *table;
        const char *name;
        rc = take(l, model, ret_changed, e);
        if (rc == ERR_OK)
            rc = take(l, json_object_get(model, "sample"), ret_changed, e);
        json_object_foreach(json_object_get(stage, "tables"), name, table) if (rc == ERR_OK) rc =
            take(l, table, ret_changed, e);
    }
    return rc;
}
