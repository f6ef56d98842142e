#include "blob_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char PREFIX[] = "drover-blobs-";

void blob_folder_init(struct blob_folder *f)
{
    *f = (struct blob_folder){.lock_fd = -1};
}

/* The lock of a folder; -1 with errno: EWOULDBLOCK: another process has it. */
static int take_lock(const char *path, int flags)
{
    char file[4096];
    if ((size_t)snprintf(file, sizeof(file), "%s/lock", path) >= sizeof(file)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open(file, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int os = errno;
        close(fd);
        errno = os;
        fd = -1;
    }
    return fd;
}

/* A flat folder with all that is in it. */
static void remove_folder(const char *path)
{
    DIR *d = opendir(path);
    if (!d)
        return;
    for (struct dirent *entry; (entry = readdir(d));)
        unlinkat(dirfd(d), entry->d_name, 0);
    closedir(d);
    rmdir(path);
}

/* ---- temporary ones ---- */

static const char *temporary_root(void)
{
    const char *root = getenv("TMPDIR");
    return root && root[0] == '/' ? root : "/tmp";
}

/* Ours, and nobody holds its lock: its worker was killed. */
static void remove_left_behind(const char *root)
{
    char path[4096];
    struct stat st;
    DIR *d = opendir(root);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 ||
            (size_t)snprintf(path, sizeof(path), "%s/%s", root, entry->d_name) >= sizeof(path) ||
            lstat(path, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
            continue;
        int lock = take_lock(path, 0);
        if (lock >= 0) {
            remove_folder(path);
            close(lock);
        }
    }
    if (d)
        closedir(d);
}

static int open_temporary(struct blob_folder *f, struct error *e)
{
    char path[4096];
    const char *root = temporary_root();
    remove_left_behind(root);
    if ((size_t)snprintf(path, sizeof(path), "%s/%sXXXXXX", root, PREFIX) >= sizeof(path))
        return error_set(e, ERR_CONFIG, "TMPDIR: the path is too long");
    if (!mkdtemp(path))
        return error_set(e, ERR_CONFIG, "no folder for blobs can be made in %s: %s (set cache_dir)",
                         root, strerror(errno));
    f->temporary = true;
    f->path = strdup(path);
    f->lock_fd = take_lock(path, O_CREAT);
    if (f->path && f->lock_fd >= 0)
        return ERR_OK;
    rmdir(path);
    return error_set(e, ERR_CONFIG, "%s cannot be used: %s (set cache_dir)", path, strerror(errno));
}

/* ---- a configured one ---- */

static int open_kept(struct blob_folder *f, const char *path, struct error *e)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return error_set(e, ERR_CONFIG, "cache_dir: cannot make %s: %s", path, strerror(errno));
    f->path = strdup(path);
    f->lock_fd = take_lock(path, O_CREAT);
    if (f->path && f->lock_fd >= 0)
        return ERR_OK;
    if (errno == EWOULDBLOCK)
        return error_set(e, ERR_CONFIG,
                         "cache_dir: another worker uses %s; give each a folder of its own", path);
    return error_set(e, ERR_CONFIG, "cache_dir: cannot write in %s: %s", path, strerror(errno));
}

int blob_folder_open(struct blob_folder *f, const char *path, struct blob_files **ret,
                     struct error *e)
{
    int rc = path ? open_kept(f, path, e) : open_temporary(f, e);
    if (rc == ERR_OK)
        rc = blob_files_open(f->path, false, ret, e);
    if (rc)
        blob_folder_close(f);
    return rc;
}

void blob_folder_close(struct blob_folder *f)
{
    if (f->path && f->temporary)
        remove_folder(f->path);
    if (f->lock_fd >= 0)
        close(f->lock_fd);
    free(f->path);
    blob_folder_init(f);
}
