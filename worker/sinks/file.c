/*
 * file.c: the kind `file`: each task's rows as one file in a folder of the worker, NDJSON or CSV. A
 * file is whole or not there: it is written under another name, made durable, renamed, and then
 * noted in the manifest (file_folder.h), which is what makes it count.
 *
 * Files are on the worker's machine (or on what is mounted there): what the coordinator can ask,
 * fits and job_end, says nothing of it.
 *
 * Thread rule: as sink.h says.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/batch_csv.h"
#include "common/clock.h"
#include "file_folder.h"

enum {
    GROUP_MAX = 64, /* files that are open at once, and durable with few journal commits */
    PIECE_BYTES = 256 * 1024, /* of text in memory */
    TEMPORARY_LEN = FILE_NAME_LEN + 24,
    SHA256_LEN = 32
};

struct files {
    char *root;
    uint64_t nonce; /* of temporary names */
    struct buf text, cell, lines;
};

/* One file on its way. */
struct incoming {
    struct landing *l;
    int fd;
    char temporary[TEMPORARY_LEN];
    uint64_t bytes;
    uint8_t sha256[SHA256_LEN];
};

static struct files *of(struct sink_conn *c)
{
    return (struct files *)c;
}

/* ---- settings ---- */

/* The path of file:///path, or NULL. */
static const char *root_of(const char *url)
{
    static const char scheme[] = "file://";
    const size_t n = sizeof(scheme) - 1;
    return url && strncmp(url, scheme, n) == 0 && url[n] == '/' ? url + n : NULL;
}

static int file_check(const struct sink_settings *s, struct error *e)
{
    const char *root = root_of(s->url);
    if (!root)
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "url: file:///path of a folder on the workers is wanted here, an absolute "
                         "path and no host");
    if (strlen(root) > FILE_PATH_LEN / 2)
        return error_set(e, ERR_INVALID_ARGUMENT, "url: a path of more than %d bytes",
                         FILE_PATH_LEN / 2);
    if (strpbrk(root, "?#%"))
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "url: the path is taken as it stands: it cannot have ? # or %%");
    return ERR_OK;
}

static void file_close(struct sink_conn *c)
{
    struct files *f = of(c);
    if (!f)
        return;
    free(f->root);
    buf_done(&f->text);
    buf_done(&f->cell);
    buf_done(&f->lines);
    free(f);
}

static int file_open(const struct sink_settings *s, uint32_t timeout_ms UNUSED,
                     struct sink_conn **ret, struct error *e)
{
    if (file_check(s, e)) {
        if (e)
            e->code = ERR_UNAVAILABLE;
        return ERR_UNAVAILABLE;
    }
    struct files *f = calloc(1, sizeof(*f));
    if (f)
        f->root = strdup(root_of(s->url));
    if (!f || !f->root || getrandom(&f->nonce, sizeof(f->nonce), 0) != (ssize_t)sizeof(f->nonce)) {
        file_close((struct sink_conn *)f);
        return error_set(e, ERR_UNAVAILABLE, "no memory for a sink of files");
    }
    *ret = (struct sink_conn *)f;
    return ERR_OK;
}

/* ---- one file ---- */

static void put_ndjson_row(struct files *f, const struct batch *b, uint32_t row)
{
    for (size_t i = 0; i < b->n_columns; i++) {
        buf_byte(&f->text, i ? ',' : '{');
        buf_json_str(&f->text, span_str(b->columns[i].name));
        buf_byte(&f->text, ':');
        const size_t from = f->text.len;
        batch_write_cell(b, i, row, &f->text);
        if (b->columns[i].type == COL_JSON) /* between its tokens there may be line breaks */
            for (size_t k = from; k < f->text.len; k++)
                if (f->text.data[k] == '\n' || f->text.data[k] == '\r')
                    f->text.data[k] = ' ';
    }
    buf_str(&f->text, b->n_columns ? "}\n" : "{}\n");
}

static void put_row(struct files *f, const struct landing *l, uint32_t row)
{
    if (l->target->mode == SPEC_SINK_CSV)
        batch_csv_row(l->rows, row, BATCH_CSV_RFC4180, &f->cell, &f->text);
    else
        put_ndjson_row(f, l->rows, row);
}

/* Writes what is in f->text. 0, or errno. */
static int flush_text(struct files *f, struct incoming *in, EVP_MD_CTX *sha)
{
    size_t at = 0;
    if (!buf_ok(&f->text) || !buf_ok(&f->cell) ||
        EVP_DigestUpdate(sha, f->text.data, f->text.len) != 1)
        return ENOMEM;
    while (at < f->text.len) {
        const ssize_t n = write(in->fd, f->text.data + at, f->text.len - at);
        if (n < 0 && errno != EINTR)
            return errno;
        at += n > 0 ? (size_t)n : 0;
    }
    in->bytes += f->text.len;
    buf_clear(&f->text);
    return 0;
}

static int write_text(struct files *f, struct incoming *in, EVP_MD_CTX *sha)
{
    const struct batch *b = in->l->rows;
    int why = EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1 ? 0 : ENOMEM;
    buf_clear(&f->text);
    if (in->l->target->mode == SPEC_SINK_CSV)
        batch_csv_header(b, BATCH_CSV_RFC4180, &f->text);
    for (uint32_t row = 0; row < b->n_rows && !why; row++) {
        put_row(f, in->l, row);
        if (f->text.len >= PIECE_BYTES)
            why = flush_text(f, in, sha);
    }
    if (!why)
        why = flush_text(f, in, sha);
    unsigned n = 0;
    if (!why && EVP_DigestFinal_ex(sha, in->sha256, &n) != 1)
        why = ENOMEM;
    return why;
}

/* The file under its temporary name, not durable yet. */
static int write_one(struct files *f, const struct file_folder *folder, struct incoming *in,
                     struct error *e)
{
    char name[FILE_NAME_LEN];
    file_folder_name(name, in->l->task, in->l->target->mode);
    snprintf(in->temporary, sizeof(in->temporary), ".%s.tmp-%016llx", name,
             (unsigned long long)f->nonce++);
    in->bytes = 0;
    in->fd = openat(folder->fd, in->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    0666);
    if (in->fd < 0) {
        in->temporary[0] = '\0';
        return file_folder_failed(folder, name, errno, e);
    }
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    const int why = sha ? write_text(f, in, sha) : ENOMEM;
    EVP_MD_CTX_free(sha);
    return why ? file_folder_failed(folder, name, why, e) : ERR_OK;
}

/* ---- a group of one folder ---- */

static void put_line(struct files *f, const struct incoming *in, const char *name)
{
    buf_printf(&f->lines, "{\"file\":\"%s\",\"task\":%llu,\"rows\":%u,\"bytes\":%llu,\"sha256\":\"",
               name, (unsigned long long)in->l->task, in->l->rows->n_rows,
               (unsigned long long)in->bytes);
    for (size_t i = 0; i < SHA256_LEN; i++)
        buf_printf(&f->lines, "%02x", in->sha256[i]);
    buf_str(&f->lines, "\"}\n");
}

/* Which of the files are there with their line; a file without one is of an attempt that ended
 * before it counted. The manifests are only read when there is such a file. */
static int find_duplicates(const struct file_folder *folder, const char (*names)[FILE_NAME_LEN],
                           size_t n, bool *ret, struct error *e)
{
    bool any = false;
    struct stat st;
    for (size_t i = 0; i < n; i++) {
        ret[i] = false;
        any |= fstatat(folder->fd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0;
    }
    return any ? file_folder_listed(folder, names, n, ret, e) : ERR_OK;
}

/* With the manifest locked: what is new gets its name and its line. */
static int publish(struct files *f, struct file_folder *folder, struct incoming *in, size_t n,
                   struct error *e)
{
    char names[GROUP_MAX][FILE_NAME_LEN];
    bool there[GROUP_MAX];
    for (size_t i = 0; i < n; i++)
        file_folder_name(names[i], in[i].l->task, in[i].l->target->mode);
    int rc = find_duplicates(folder, names, n, there, e);
    buf_clear(&f->lines);
    for (size_t i = 0; i < n && rc == ERR_OK; i++) {
        for (size_t k = 0; k < i; k++) /* the same task twice in a group */
            there[i] |= strcmp(names[i], names[k]) == 0;
        if (there[i])
            continue;
        if (renameat(folder->fd, in[i].temporary, folder->fd, names[i]) != 0)
            rc = file_folder_failed(folder, names[i], errno, e);
        else
            in[i].temporary[0] = '\0';
        put_line(f, &in[i], names[i]);
    }
    if (rc == ERR_OK && !buf_ok(&f->lines))
        rc = file_folder_failed(folder, folder->manifest, ENOMEM, e);
    if (rc == ERR_OK && f->lines.len > 0)
        rc = file_folder_append(folder, buf_span(&f->lines), e);
    for (size_t i = 0; i < n && rc == ERR_OK; i++) {
        in[i].l->verdict = there[i] ? LANDING_DUPLICATE : LANDING_DONE;
        in[i].l->n_written = there[i] ? 0 : in[i].l->rows->n_rows;
    }
    return rc;
}

static int write_group(struct files *f, struct file_folder *folder, struct incoming *in, size_t n,
                       uint64_t deadline_ms, struct error *e)
{
    int rc = ERR_OK;
    for (size_t i = 0; i < n && rc == ERR_OK; i++)
        rc = clock_ms() > deadline_ms
                 ? error_set(e, ERR_UNAVAILABLE, "%.300s: not written in time", folder->path)
                 : write_one(f, folder, &in[i], e);
    for (size_t i = 0; i < n && rc == ERR_OK; i++)
        if (fsync(in[i].fd) != 0)
            rc = file_folder_failed(folder, in[i].temporary, errno, e);
    if (rc == ERR_OK)
        rc = file_folder_lock(folder, deadline_ms, e);
    if (rc == ERR_OK)
        rc = publish(f, folder, in, n, e);
    file_folder_unlock(folder);
    for (size_t i = 0; i < n; i++) {
        if (in[i].fd >= 0)
            close(in[i].fd);
        if (in[i].temporary[0])
            unlinkat(folder->fd, in[i].temporary, 0);
    }
    return rc;
}

/* ---- the kind ---- */

static bool same_folder(const struct landing *a, const struct landing *b)
{
    const char *one = a->target->prefix, *other = b->target->prefix;
    return memcmp(a->uid, b->uid, SINK_UID_LEN) == 0 &&
           (one == other || (one && other && strcmp(one, other) == 0));
}

/* The first landing that waits and those after it for the same folder, up to GROUP_MAX. */
static size_t next_group(struct landing **list, size_t n, struct incoming *ret)
{
    size_t found = 0;
    for (size_t i = 0; i < n && found < GROUP_MAX; i++)
        if (list[i]->verdict == LANDING_UNDECIDED && (found == 0 || same_folder(ret[0].l, list[i])))
            ret[found++] = (struct incoming){.l = list[i], .fd = -1};
    return found;
}

static int file_write(struct sink_conn *c, struct landing **list, size_t n, uint32_t timeout_ms,
                      struct error *e)
{
    struct files *f = of(c);
    const uint64_t deadline_ms = clock_ms() + timeout_ms;
    struct incoming group[GROUP_MAX];
    size_t found;
    int rc = ERR_OK;
    for (size_t i = 0; i < n; i++)
        list[i]->verdict = LANDING_UNDECIDED;
    while (rc == ERR_OK && (found = next_group(list, n, group)) > 0) {
        struct file_folder folder;
        rc = file_folder_open(f->root, group[0].l->target->prefix, group[0].l->uid, &folder, e);
        if (rc)
            break;
        rc = write_group(f, &folder, group, found, deadline_ms, e);
        file_folder_close(&folder);
    }
    return rc;
}

static int file_fits(struct sink_conn *c UNUSED, const struct spec_sink *target UNUSED,
                     const struct batch *columns UNUSED, uint32_t timeout_ms UNUSED,
                     struct error *e UNUSED)
{
    return ERR_OK;
}

static int file_job_end(struct sink_conn *c UNUSED, const struct spec_sink *target UNUSED,
                        const uint8_t uid[SINK_UID_LEN] UNUSED, uint64_t generation UNUSED,
                        bool fenced UNUSED, const char *state UNUSED, uint32_t timeout_ms UNUSED,
                        struct error *e UNUSED)
{
    return ERR_OK;
}

const struct sink_kind sink_file = {.kind = SPEC_SINK_FILE,
                                    .check = file_check,
                                    .open = file_open,
                                    .write = file_write,
                                    .close = file_close,
                                    .fits = file_fits,
                                    .job_end = file_job_end};
