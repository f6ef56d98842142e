#include "blob_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DISK_KEPT_BYTES (UINT64_C(256) << 20) /* of the file system, for others */
enum { DISK_KEPT_SHARE = 16 /* of a small file system this share is kept instead */ };

static const char PART[] = ".part";
enum { FILE_LEN = BLOB_TEXT_LEN + sizeof(PART) };

/* A part whose file is open. */
struct part {
    struct blob_name name;
    int fd; /* -1: the slot is free */
    uint64_t bytes, total;
    bool inherited; /* some of it is an earlier process's, which may have lost what it wrote */
    struct blob_hash *hash;
    uint64_t used; /* when, by the counter */
};

struct blob_files {
    int dir;
    bool durable, foreign;
    char *folder; /* for messages */
    uint64_t counter;
    struct part parts[BLOB_FILES_OPEN_MAX];
};

static const char *file_of(const struct blob_name *name, bool part, char ret[FILE_LEN])
{
    blob_name_text(name, ret);
    if (part)
        memcpy(ret + BLOB_TEXT_LEN, PART, sizeof(PART));
    return ret;
}

static int failed(const struct blob_files *f, const char *doing, const char *file, int os,
                  struct error *e)
{
    if (os == ENOSPC || os == EDQUOT || os == EFBIG)
        return error_set(e, ERR_STORE_FULL, "the disk of %s is full", f->folder);
    return error_set(e, ERR_IO, "cannot %s %s/%s: %s", doing, f->folder, file, strerror(os));
}

/* ---- life ---- */

enum { DURABLE = 1, FOREIGN = 2 };

static int open_folder(const char *folder, int flags, struct blob_files **ret, struct error *e)
{
    struct blob_files *f = calloc(1, sizeof(*f));
    if (f)
        f->folder = strdup(folder);
    if (!f || !f->folder) {
        free(f);
        return error_set(e, ERR_NOMEM, "no memory for the blobs");
    }
    for (size_t i = 0; i < ARRAY_LEN(f->parts); i++)
        f->parts[i].fd = -1;
    f->dir = -1;
    f->durable = flags & DURABLE;
    f->foreign = flags & FOREIGN;
    if (f->foreign || mkdir(folder, 0700) == 0 || errno == EEXIST)
        f->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->dir < 0) {
        int rc = error_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                           "cannot use the folder %s: %s", folder, strerror(errno));
        blob_files_close(f);
        return rc;
    }
    *ret = f;
    return ERR_OK;
}

int blob_files_open(const char *folder, bool durable, struct blob_files **ret, struct error *e)
{
    return open_folder(folder, durable ? DURABLE : 0, ret, e);
}

int blob_files_find(const char *folder, struct blob_files **ret, struct error *e)
{
    return open_folder(folder, FOREIGN, ret, e);
}

static void part_close(struct part *p)
{
    if (p->fd >= 0)
        close(p->fd);
    blob_hash_free(p->hash);
    *p = (struct part){.fd = -1};
}

void blob_files_close(struct blob_files *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < ARRAY_LEN(f->parts); i++)
        part_close(&f->parts[i]);
    if (f->dir >= 0)
        close(f->dir);
    free(f->folder);
    free(f);
}

/* ---- walking ---- */

static bool file_read(const char *name, struct blob_file *ret)
{
    struct span text = span_str(name);
    ret->part = text.len == BLOB_TEXT_LEN + strlen(PART) && !strcmp(name + BLOB_TEXT_LEN, PART);
    if (ret->part)
        text.len = BLOB_TEXT_LEN;
    return blob_name_parse(text, &ret->name, NULL) == ERR_OK;
}

int blob_files_walk(struct blob_files *f, blob_files_fn *fn, void *user, struct error *e)
{
    int fd = openat(f->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = ERR_OK;
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        rc = failed(f, "read", ".", errno, e);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    for (struct dirent *entry; rc == ERR_OK && (entry = readdir(d));) {
        struct blob_file file;
        struct stat st;
        if (!file_read(entry->d_name, &file) ||
            fstatat(f->dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
            continue;
        file.bytes = (uint64_t)st.st_size;
        file.changed_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
        rc = fn(user, &file);
    }
    closedir(d);
    return rc;
}

/* ---- parts ---- */

static void part_drop(struct blob_files *f, struct part *p)
{
    char file[FILE_LEN];
    unlinkat(f->dir, file_of(&p->name, true, file), 0);
    part_close(p);
}

/* Hashes what the file holds; *ret: how much that was. An errno, or 0. */
static int hash_file(int fd, struct blob_hash *hash, uint64_t *ret)
{
    uint8_t *piece = malloc(BLOB_CHUNK_BYTES);
    ssize_t n = 1;
    int os = piece ? 0 : ENOMEM;
    *ret = 0;
    while (os == 0 && n > 0) {
        n = pread(fd, piece, BLOB_CHUNK_BYTES, (off_t)*ret);
        if (n > 0)
            blob_hash_add(hash, piece, (size_t)n);
        *ret += n > 0 ? (uint64_t)n : 0;
        os = n < 0 && errno != EINTR ? errno : 0;
    }
    free(piece);
    return os;
}

/* What an earlier process wrote, for the hash. */
static int part_inherit(struct blob_files *f, struct part *p, struct error *e)
{
    char file[FILE_LEN];
    int os = hash_file(p->fd, p->hash, &p->bytes);
    p->inherited = p->bytes > 0;
    return os ? failed(f, "read", file_of(&p->name, true, file), os, e) : ERR_OK;
}

/* Room for the rest of it, so that the disk is found full before anything was sent; some of the disk
 * is left to others. A file system that cannot reserve is asked for its free bytes only. */
static int part_reserve(struct blob_files *f, struct part *p, struct error *e)
{
    char file[FILE_LEN];
    struct statvfs fs;
    if (p->total == p->bytes)
        return ERR_OK;
    if (fallocate(p->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)p->total) != 0 && errno != EOPNOTSUPP)
        return failed(f, "make room for", file_of(&p->name, true, file), errno, e);
    if (fstatvfs(p->fd, &fs) != 0)
        return ERR_OK;
    uint64_t all = (uint64_t)fs.f_blocks * fs.f_frsize,
             unused = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (unused >= MIN(DISK_KEPT_BYTES, all / DISK_KEPT_SHARE))
        return ERR_OK;
    return error_set(e, ERR_STORE_FULL,
                     "the disk of %s is nearly full; what is left is not for blobs", f->folder);
}

static int part_open(struct blob_files *f, struct part *p, const struct blob_name *name,
                     uint64_t total, struct error *e)
{
    char file[FILE_LEN];
    struct stat st;
    *p = (struct part){.name = *name, .total = total};
    p->fd = openat(f->dir, file_of(name, true, file), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (p->fd < 0 || fstat(p->fd, &st) != 0)
        return failed(f, "open", file, errno, e);
    p->hash = blob_hash_new();
    if (!p->hash)
        return error_set(e, ERR_NOMEM, "no memory for a blob");
    int rc = ERR_OK;
    if ((uint64_t)st.st_size <= total)
        rc = part_inherit(f, p, e);
    else if (ftruncate(p->fd, 0) != 0)
        rc = failed(f, "empty", file, errno, e);
    return rc ? rc : part_reserve(f, p, e);
}

static struct part *part_find(struct blob_files *f, const struct blob_name *name)
{
    for (size_t i = 0; i < ARRAY_LEN(f->parts); i++)
        if (f->parts[i].fd >= 0 && blob_name_eq(&f->parts[i].name, name))
            return &f->parts[i];
    return NULL;
}

/* The part, open; another one is closed where there are too many. */
static int part_get(struct blob_files *f, const struct blob_name *name, uint64_t total,
                    struct part **ret, struct error *e)
{
    struct part *p = part_find(f, name);
    if (p && p->total != total) { /* one of the two is wrong; the hash will tell */
        part_drop(f, p);
        p = NULL;
    }
    if (!p) {
        p = &f->parts[0];
        for (size_t i = 0; i < ARRAY_LEN(f->parts) && p->fd >= 0; i++)
            if (f->parts[i].fd < 0 || f->parts[i].used < p->used)
                p = &f->parts[i];
        part_close(p);
        int rc = part_open(f, p, name, total, e);
        if (rc) {
            part_drop(f, p);
            return rc;
        }
    }
    p->used = ++f->counter;
    *ret = p;
    return ERR_OK;
}

static int part_write(struct blob_files *f, struct part *p, struct span data, struct error *e)
{
    char file[FILE_LEN];
    for (size_t at = 0; at < data.len;) {
        ssize_t n = pwrite(p->fd, data.p + at, data.len - at, (off_t)(p->bytes + at));
        if (n < 0 && errno != EINTR)
            return failed(f, "write", file_of(&p->name, true, file), errno, e);
        at += n > 0 ? (size_t)n : 0;
    }
    blob_hash_add(p->hash, data.p, data.len);
    p->bytes += data.len;
    return ERR_OK;
}

/* ---- putting ---- */

static int put_whole(struct blob_files *f, struct part *p, struct blob_put *ret, struct error *e)
{
    char part[FILE_LEN], file[FILE_LEN];
    struct blob_name is;
    blob_hash_end(p->hash, &is);
    if (!blob_name_eq(&is, &p->name)) {
        bool again = p->inherited;
        file_of(&p->name, false, file);
        part_drop(f, p);
        *ret = (struct blob_put){.gone = true};
        if (again) /* from the beginning: the sender is not to blame */
            return ERR_OK;
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "the bytes of blob %s hash to %s: they changed on the way, or while they "
                         "were read",
                         file, blob_name_text(&is, part));
    }
    file_of(&p->name, true, part);
    file_of(&p->name, false, file);
    if ((f->durable && fsync(p->fd) != 0) || renameat(f->dir, part, f->dir, file) != 0 ||
        (f->durable && fsync(f->dir) != 0)) {
        int rc = failed(f, "keep", file, errno, e);
        unlinkat(f->dir, file, 0);
        part_drop(f, p);
        *ret = (struct blob_put){.gone = true};
        return rc;
    }
    part_close(p);
    ret->whole = true;
    return ERR_OK;
}

int blob_files_put(struct blob_files *f, const struct blob_name *name, uint64_t offset,
                   uint64_t total, struct span data, struct blob_put *ret, struct error *e)
{
    char file[FILE_LEN];
    struct stat st;
    struct part *p = NULL;
    *ret = (struct blob_put){0};
    if (!part_find(f, name) && fstatat(f->dir, file_of(name, false, file), &st, 0) == 0) {
        *ret = (struct blob_put){.bytes = (uint64_t)st.st_size, .whole = true};
        return ERR_OK;
    }
    int rc = part_get(f, name, total, &p, e);
    if (rc) {
        ret->gone = true;
        return rc;
    }
    bool next = offset <= p->bytes && offset + data.len >= p->bytes;
    if (next) {
        size_t known = (size_t)(p->bytes - offset);
        rc = part_write(f, p, (struct span){data.p + known, data.len - known}, e);
    }
    if (rc) { /* what could not be written takes no room from others */
        part_drop(f, p);
        ret->gone = true;
        return rc;
    }
    ret->bytes = p->bytes;
    return p->bytes == total ? put_whole(f, p, ret, e) : ERR_OK;
}

/* ---- reading, removing ---- */

int blob_files_fd(struct blob_files *f, const struct blob_name *name, int *ret, struct error *e)
{
    char file[FILE_LEN];
    int fd = openat(f->dir, file_of(name, false, file), O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return error_set(e, ERR_NOT_FOUND, "there is no file %s/%s", f->folder, file);
    if (fd < 0)
        return failed(f, "read", file, errno, e);
    *ret = fd;
    return ERR_OK;
}

int blob_files_map(int fd, uint64_t bytes, struct span *ret, struct error *e)
{
    void *p = bytes > 0 ? mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    if (p == MAP_FAILED)
        return error_set(e, ERR_IO, "a file cannot be read: %s", strerror(errno));
    *ret = (struct span){p ? p : "", bytes};
    return ERR_OK;
}

void blob_files_unmap(struct span bytes)
{
    if (bytes.len > 0)
        munmap((void *)(uintptr_t)bytes.p, bytes.len);
}

int blob_files_verify(struct blob_files *f, const struct blob_name *name, uint64_t *ret_bytes,
                      struct error *e)
{
    char file[FILE_LEN];
    struct blob_name is;
    uint64_t bytes;
    int fd = -1, rc = blob_files_fd(f, name, &fd, e);
    if (rc)
        return rc;
    struct blob_hash *hash = blob_hash_new();
    int os = hash ? hash_file(fd, hash, &bytes) : ENOMEM;
    close(fd);
    file_of(name, false, file);
    if (os) {
        rc = failed(f, "read", file, os, e);
    } else {
        blob_hash_end(hash, &is);
        if (!blob_name_eq(&is, name)) {
            if (!f->foreign)
                unlinkat(f->dir, file, 0);
            rc = error_set(e, ERR_NOT_FOUND, "%s/%s holds other bytes than its name says",
                           f->folder, file);
        }
    }
    blob_hash_free(hash);
    if (rc == ERR_OK)
        *ret_bytes = bytes;
    return rc;
}

int blob_files_read(struct blob_files *f, const struct blob_name *name, uint64_t offset, size_t max,
                    struct buf *out, uint64_t *ret_total, struct error *e)
{
    char file[FILE_LEN];
    struct stat st;
    int fd = -1, rc = blob_files_fd(f, name, &fd, e);
    if (rc)
        return rc;
    file_of(name, false, file);
    if (fstat(fd, &st) != 0)
        rc = failed(f, "read", file, errno, e);
    uint64_t size = rc ? 0 : (uint64_t)st.st_size;
    size_t want = offset < size ? (size_t)MIN(size - offset, (uint64_t)max) : 0;
    uint8_t *to = rc ? NULL : buf_reserve(out, want);
    if (!rc && want && !to)
        rc = error_set(e, ERR_NOMEM, "no memory for a blob");
    for (size_t at = 0; rc == ERR_OK && at < want;) {
        ssize_t n = pread(fd, to + at, want - at, (off_t)(offset + at));
        if (n == 0 || (n < 0 && errno != EINTR))
            rc = failed(f, "read", file, n ? errno : EIO, e);
        at += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    if (rc)
        return rc;
    out->len += want;
    *ret_total = size;
    return ERR_OK;
}

int blob_files_remove(struct blob_files *f, const struct blob_name *name, struct error *e)
{
    char file[FILE_LEN];
    struct part *p = part_find(f, name);
    if (p)
        part_close(p);
    for (int part = 0; part < 2; part++)
        if (unlinkat(f->dir, file_of(name, part, file), 0) != 0 && errno != ENOENT)
            return failed(f, "remove", file, errno, e);
    return ERR_OK;
}
