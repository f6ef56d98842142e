#include "admin/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PUT_WAIT_MS = 30000, RETRY_MS = 500 };

static void unmap(struct span *file)
{
    if (file->len)
        munmap((void *)(uintptr_t)file->p, file->len);
}

static int map_file(const char *path, struct span *ret, struct error *e)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        int saved = errno;
        if (fd >= 0)
            close(fd);
        return error_set(e, ERR_INVALID_ARGUMENT, "%s: %s", path, strerror(saved));
    }
    int rc = ERR_OK;
    void *p = NULL;
    if (!S_ISREG(st.st_mode))
        rc = error_set(e, ERR_INVALID_ARGUMENT, "%s is no regular file", path);
    else if ((uint64_t)st.st_size > BLOB_BYTES_MAX)
        rc = error_set(e, ERR_INVALID_ARGUMENT, "%s has %lld bytes; the limit of a blob is %llu",
                       path, (long long)st.st_size, (unsigned long long)BLOB_BYTES_MAX);
    else if (st.st_size > 0 &&
             (p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
        rc = error_set(e, ERR_INVALID_ARGUMENT, "%s: %s", path, strerror(errno));
    close(fd);
    if (rc == ERR_OK)
        *ret = (struct span){p ? p : "", (size_t)st.st_size};
    return rc;
}

/* One piece; *ret_at: where to go on. A full coordinator is waited for. */
static int put(struct ctl *ctl, const char *name, struct span file, size_t *ret_at, bool *ret_whole,
               struct error *e)
{
    for (;;) {
        CTL_JSON answer = NULL;
        size_t n = MIN(file.len - *ret_at, (size_t)BLOB_CHUNK_BYTES);
        ctl_args(ctl, 4);
        ctl_arg_str(ctl, "sha", name);
        ctl_arg_u64(ctl, "offset", *ret_at);
        ctl_arg_u64(ctl, "total", file.len);
        pack_cstr(&ctl->args, "data");
        pack_bin(&ctl->args, (struct span){file.p + *ret_at, n});
        int rc = ctl_call(ctl, "blob.put", PUT_WAIT_MS, &answer, e);
        if (rc == ERR_OK) {
            *ret_at = (size_t)json_integer_value(json_object_get(answer, "bytes"));
            *ret_whole = json_is_true(json_object_get(answer, "whole"));
            return *ret_at <= file.len ? ERR_OK
                                       : error_set(e, ERR_MALFORMED, "blob.put: a wrong answer");
        }
        if (rc != ERR_QUEUE_FULL || *ctl->stop)
            return rc;
        client_pause(ctl->client, MAX(client_retry_after_ms(ctl->client), (uint32_t)RETRY_MS));
    }
}

int upload_file(struct ctl *ctl, const char *path, char ret_name[BLOB_TEXT_LEN + 1],
                struct error *e)
{
    CLEANUP(unmap) struct span file = {"", 0};
    CTL_JSON answer = NULL;
    struct blob_name name;
    int rc = map_file(path, &file, e);
    if (rc)
        return rc;
    if (!blob_hash_of(file.p, file.len, &name))
        return error_set(e, ERR_NOMEM, "no memory to hash %s", path);
    blob_name_text(&name, ret_name);
    ctl_args(ctl, 1);
    pack_cstr(&ctl->args, "shas");
    pack_array(&ctl->args, 1);
    pack_cstr(&ctl->args, ret_name);
    rc = ctl_call(ctl, "blob.have", 0, &answer, e);
    bool whole = json_array_size(json_object_get(answer, "missing")) == 0;
    for (size_t at = 0; rc == ERR_OK && !whole;)
        rc = put(ctl, ret_name, file, &at, &whole, e);
    return rc;
}
