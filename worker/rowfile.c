#include "rowfile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

int rowfile_open(struct rowfile *f, const char *path, struct error *e)
{
    *f = (struct rowfile){.path = path, .fd = -1};
    pthread_mutex_init(&f->lock, NULL);
    buf_init(&f->pending, 0);
    if (!path)
        return ERR_OK;
    const bool standard = strcmp(path, "-") == 0;
    f->fd = standard ? STDOUT_FILENO : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (f->fd < 0)
        return error_set(e, ERR_IO, "cannot write %s: %s", path, strerror(errno));
    return ERR_OK;
}

static void write_all(struct rowfile *f, const uint8_t *p, size_t n)
{
    while (n > 0 && f->error == 0) {
        const ssize_t done = write(f->fd, p, n);
        if (done >= 0) {
            p += done;
            n -= (size_t)done;
        } else if (errno == EAGAIN) {
            struct pollfd item = {.fd = f->fd, .events = POLLOUT};
            poll(&item, 1, -1);
        } else if (errno != EINTR) {
            f->error = errno;
        }
    }
}

static void flush_locked(struct rowfile *f)
{
    write_all(f, f->pending.data, f->pending.len);
    buf_clear(&f->pending);
}

void rowfile_append(struct rowfile *f, struct span lines)
{
    if (!f->path || lines.len == 0)
        return;
    pthread_mutex_lock(&f->lock);
    if (f->pending.len + lines.len > ROWFILE_BUFFER_BYTES)
        flush_locked(f);
    if (lines.len > ROWFILE_BUFFER_BYTES / 2)
        write_all(f, (const uint8_t *)lines.p, lines.len);
    else
        buf_append(&f->pending, lines.p, lines.len);
    if (!buf_ok(&f->pending))
        f->error = ENOMEM;
    pthread_mutex_unlock(&f->lock);
}

void rowfile_flush(struct rowfile *f)
{
    pthread_mutex_lock(&f->lock);
    flush_locked(f);
    pthread_mutex_unlock(&f->lock);
}

bool rowfile_failed(struct rowfile *f)
{
    pthread_mutex_lock(&f->lock);
    const bool failed = f->error != 0;
    pthread_mutex_unlock(&f->lock);
    return failed;
}

int rowfile_close(struct rowfile *f, struct error *e)
{
    if (f->fd >= 0)
        rowfile_flush(f);
    if (f->fd > STDOUT_FILENO && close(f->fd) < 0 && f->error == 0)
        f->error = errno;
    f->fd = -1;
    buf_done(&f->pending);
    pthread_mutex_destroy(&f->lock);
    if (f->error != 0)
        return error_set(e, ERR_IO, "cannot write %s: %s",
                         strcmp(f->path, "-") == 0 ? "standard output" : f->path,
                         strerror(f->error));
    return ERR_OK;
}
