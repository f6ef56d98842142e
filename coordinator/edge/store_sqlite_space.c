/* store_sqlite_space.c: the reserve for a full disk. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store_sqlite.h"

/*
 * A coordinator on a full disk must still be able to finish work, since that is what makes room. So
 * a file of some megabytes is kept in reserve. When a write finds the disk full, the file is cut to
 * nothing, inputs are refused, and completions use what it held. With twice its size free again on
 * the disk or within the database, inputs are taken.
 *
 * The log is emptied by copying it into the database, which may grow by as much. So the log is kept
 * shorter than half of the reserve.
 */

enum {
    RESERVE_MAX_BYTES = 64 * 1024 * 1024,
    RESERVE_MIN_BYTES = 1024 * 1024,
    SHARE = 16, /* of the free space at most */
    PAGE_BYTES = 4096,
    LOG_PAGES_MAX = 4000, /* 16 MiB; longer pays little and makes checkpoints felt */
    LOG_PAGES_MIN = 250,
};

uint64_t store_sqlite_space_free(const struct store_sqlite *s)
{
    struct statvfs fs;
    return statvfs(s->directory, &fs) ? 0 : (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* fallocate and not posix_fallocate: that one would write zeros where the call is missing. */
static bool reserve(struct store_sqlite *s)
{
    if (s->space.fd < 0 || s->space.goal_bytes == 0)
        return true;
    if (fallocate(s->space.fd, 0, 0, (off_t)s->space.goal_bytes) == 0)
        return true;
    (void)!ftruncate(s->space.fd, 0);
    return false;
}

void store_sqlite_space_open(struct store_sqlite *s)
{
    char path[4096];
    uint64_t share = store_sqlite_space_free(s) / SHARE;
    snprintf(path, sizeof path, "%s/reserve", s->directory);
    s->space.goal_bytes = MIN(share, (uint64_t)RESERVE_MAX_BYTES);
    if (s->space.goal_bytes < RESERVE_MIN_BYTES)
        s->space.goal_bytes = 0;
    uint64_t pages = s->space.goal_bytes / 2 / PAGE_BYTES;
    s->space.log_pages = (int)MIN(MAX(pages, (uint64_t)LOG_PAGES_MIN), (uint64_t)LOG_PAGES_MAX);
    s->checkpoint_pages = s->space.log_pages;
    s->space.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    (void)reserve(s);
}

void store_sqlite_space_close(struct store_sqlite *s)
{
    if (s->space.fd >= 0)
        close(s->space.fd);
    s->space.fd = -1;
}

void store_sqlite_space_full(struct store_sqlite *s)
{
    s->space.refusing = s->space.full = true;
    if (s->space.fd >= 0)
        (void)!ftruncate(s->space.fd, 0);
}

uint64_t store_sqlite_space_unused(struct store_sqlite *s)
{
    SQ(q, s, UNUSED);
    if (sq_step(&q) != SQLITE_ROW)
        return 0;
    uint64_t pages = sq_get_u64(&q);
    return pages * sq_get_u64(&q);
}

int store_sqlite_space_check(struct store_sqlite *s, struct error *e)
{
    if (!s->space.refusing)
        return 0;
    uint64_t need = 2 * MAX(s->space.goal_bytes, (uint64_t)RESERVE_MIN_BYTES);
    uint64_t now = store_sqlite_space_free(s), unused = store_sqlite_space_unused(s);
    if (now >= need && reserve(s)) {
        s->space.refusing = false;
        return 0;
    }
    /* What was deleted lies within the database file, and serves as a reserve as well. */
    if (unused >= need)
        return 0;
    return error_set(e, ERR_STORE_FULL,
                     "the disk of %s is full: %llu MiB free and %llu MiB unused in the store; "
                     "inputs are taken again from %llu MiB",
                     s->directory, (unsigned long long)(now >> 20),
                     (unsigned long long)(unused >> 20), (unsigned long long)(need >> 20));
}
