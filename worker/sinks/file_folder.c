#include "file_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"

enum { READ_BYTES = 64 * 1024, LINE_MAX_BYTES = 1024 };

static const char manifest_prefix[] = "manifest-", manifest_suffix[] = ".ndjson";

/* ---- messages ---- */

static const char *advice(int error_number)
{
    switch (error_number) {
    case ENOSPC:
        return ": the disk is full";
    case EDQUOT:
        return ": the quota is used up";
    case EROFS:
        return ": it is mounted read-only";
    case EACCES:
    case EPERM:
        return ": the worker's user may not write there";
    case ELOOP:
    case ENOTDIR:
        return ": it is no folder (a symbolic link is not followed)";
    case EMFILE:
    case ENFILE:
        return ": raise the limit on open files";
    default:
        return "";
    }
}

int file_folder_failed(const struct file_folder *f, const char *name, int error_number,
                       struct error *e)
{
    return error_set(e, ERR_UNAVAILABLE, "%.300s%s%s: %s%s", f->path, name ? "/" : "",
                     name ? name : "", strerror(error_number), advice(error_number));
}

/* ---- opening ---- */

static void host_name(char ret[FILE_HOST_LEN])
{
    if (gethostname(ret, FILE_HOST_LEN) != 0 || !ret[0])
        snprintf(ret, FILE_HOST_LEN, "unnamed");
    ret[FILE_HOST_LEN - 1] = '\0';
    for (char *p = ret; *p; p++) {
        const bool good = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                          (*p >= '0' && *p <= '9') || *p == '-' || *p == '_' || *p == '.';
        *p = good ? *p : '_';
    }
}

/* Goes into a folder below, which is made when it is not there. */
static int enter(struct file_folder *f, const char *name, struct error *e)
{
    const size_t n = strlen(f->path);
    snprintf(f->path + n, sizeof(f->path) - n, "/%s", name);
    if (mkdirat(f->fd, name, 0777) == 0) {
        if (fsync(f->fd) != 0)
            return file_folder_failed(f, NULL, errno, e);
    } else if (errno != EEXIST) {
        return file_folder_failed(f, NULL, errno, e);
    }
    const int fd = openat(f->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return file_folder_failed(f, NULL, errno, e);
    close(f->fd);
    f->fd = fd;
    return ERR_OK;
}

int file_folder_open(const char *root, const char *directory, const uint8_t uid[SINK_UID_LEN],
                     struct file_folder *ret, struct error *e)
{
    struct file_folder f = {.fd = -1, .manifest_fd = -1};
    char host[FILE_HOST_LEN], name[2 * SINK_UID_LEN + 1];
    int rc = ERR_OK;
    host_name(host);
    snprintf(f.manifest, sizeof(f.manifest), "%s%s%s", manifest_prefix, host, manifest_suffix);
    snprintf(f.path, sizeof(f.path), "%s", root);
    for (size_t i = 0; i < SINK_UID_LEN; i++)
        snprintf(name + 2 * i, 3, "%02x", uid[i]);
    f.fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f.fd < 0 && errno == ENOENT)
        return error_set(
            e, ERR_UNAVAILABLE,
            "%.300s: the sink's folder is not there on this machine: make it, or mount "
            "its disk",
            root);
    if (f.fd < 0)
        return file_folder_failed(&f, NULL, errno, e);
    if (directory)
        rc = enter(&f, directory, e);
    if (rc == ERR_OK)
        rc = enter(&f, name, e);
    if (rc)
        file_folder_close(&f);
    else
        *ret = f;
    return rc;
}

void file_folder_close(struct file_folder *f)
{
    file_folder_unlock(f);
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

void file_folder_name(char ret[FILE_NAME_LEN], uint64_t task, enum spec_sink_mode mode)
{
    snprintf(ret, FILE_NAME_LEN, "%llu.%s", (unsigned long long)task, spec_sink_mode_name(mode));
}

/* ---- the manifest ---- */

/* Cuts off what follows the last line: it was never acknowledged. */
static int mend(struct file_folder *f, struct error *e)
{
    char bytes[LINE_MAX_BYTES];
    const off_t end = lseek(f->manifest_fd, 0, SEEK_END);
    if (end < 0)
        return file_folder_failed(f, f->manifest, errno, e);
    const off_t from = end > LINE_MAX_BYTES ? end - LINE_MAX_BYTES : 0;
    const ssize_t n = pread(f->manifest_fd, bytes, sizeof(bytes), from);
    if (n < 0)
        return file_folder_failed(f, f->manifest, errno, e);
    if (n == 0 || bytes[n - 1] == '\n')
        return ERR_OK;
    const char *newline = memrchr(bytes, '\n', (size_t)n);
    if (!newline && from > 0)
        return error_set(e, ERR_UNAVAILABLE,
                         "%.300s/%s: it ends in a line of more than %d bytes, which is not the "
                         "sink's: move the file away",
                         f->path, f->manifest, LINE_MAX_BYTES);
    if (ftruncate(f->manifest_fd, newline ? from + (newline - bytes) + 1 : 0) != 0)
        return file_folder_failed(f, f->manifest, errno, e);
    return ERR_OK;
}

int file_folder_lock(struct file_folder *f, uint64_t deadline_ms, struct error *e)
{
    f->manifest_fd =
        openat(f->fd, f->manifest, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (f->manifest_fd < 0)
        return file_folder_failed(f, f->manifest, errno, e);
    while (flock(f->manifest_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return file_folder_failed(f, f->manifest, errno, e);
        if (clock_ms() >= deadline_ms)
            return error_set(e, ERR_UNAVAILABLE, "%.300s/%s: another process holds its lock",
                             f->path, f->manifest);
        poll(NULL, 0, FILE_LOCK_POLL_MS);
    }
    return mend(f, e);
}

void file_folder_unlock(struct file_folder *f)
{
    if (f->manifest_fd >= 0)
        close(f->manifest_fd);
    f->manifest_fd = -1;
}

/* ---- reading manifests ---- */

struct search {
    const char (*names)[FILE_NAME_LEN];
    size_t n;
    bool *found;
};

/* A line begins as file_write.c writes it. */
static void search_line(const struct search *s, struct span line)
{
    const struct span head = SPAN("{\"file\":\"");
    if (line.len <= head.len || memcmp(line.p, head.p, head.len) != 0)
        return;
    const char *name = line.p + head.len;
    const char *end = memchr(name, '"', line.len - head.len);
    if (!end)
        return;
    for (size_t i = 0; i < s->n; i++)
        if (span_eq(span_str(s->names[i]), (struct span){name, (size_t)(end - name)}))
            s->found[i] = true;
}

/* False: it cannot be read (errno). */
static bool search_fd(const struct search *s, int fd)
{
    char bytes[READ_BYTES];
    size_t kept = 0;
    off_t at = 0;
    for (;;) {
        const ssize_t n = pread(fd, bytes + kept, sizeof(bytes) - kept, at);
        if (n <= 0)
            return n == 0;
        at += n;
        struct span left = {bytes, kept + (size_t)n};
        const char *newline;
        while (left.len > 0 && (newline = memchr(left.p, '\n', left.len))) {
            const size_t len = (size_t)(newline - left.p);
            search_line(s, (struct span){left.p, len});
            left = (struct span){newline + 1, left.len - len - 1};
        }
        kept = left.len == sizeof(bytes) ? 0 : left.len; /* no line of ours is so long */
        memmove(bytes, left.p, kept);
    }
}

static bool is_manifest(const char *name)
{
    const size_t n = strlen(name), first = sizeof(manifest_prefix) - 1,
                 last = sizeof(manifest_suffix) - 1;
    return n > first + last && strncmp(name, manifest_prefix, first) == 0 &&
           strcmp(name + n - last, manifest_suffix) == 0;
}

int file_folder_listed(const struct file_folder *f, const char (*names)[FILE_NAME_LEN], size_t n,
                       bool *ret, struct error *e)
{
    const struct search s = {names, n, ret};
    const int fd = openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        const int rc = file_folder_failed(f, NULL, errno, e);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    int rc = ERR_OK;
    for (struct dirent *entry; rc == ERR_OK && (entry = readdir(folder));) {
        if (!is_manifest(entry->d_name))
            continue;
        const int one = openat(f->fd, entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (one < 0 || !search_fd(&s, one))
            rc = file_folder_failed(f, entry->d_name, errno, e);
        if (one >= 0)
            close(one);
    }
    closedir(folder);
    return rc;
}

int file_folder_append(struct file_folder *f, struct span lines, struct error *e)
{
    if (fsync(f->fd) != 0)
        return file_folder_failed(f, NULL, errno, e);
    const ssize_t n = write(f->manifest_fd, lines.p, lines.len);
    if (n != (ssize_t)lines.len)
        return file_folder_failed(f, f->manifest, n < 0 ? errno : ENOSPC, e);
    if (fsync(f->manifest_fd) != 0)
        return file_folder_failed(f, f->manifest, errno, e);
    return ERR_OK;
}
