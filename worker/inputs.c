#include "inputs.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blobset.h"
#include "scrape/scrape.h"

static const struct span part_mark = {"#bytes=", 7};

/* ---- texts ---- */

/* A number at *p, which goes on behind it. */
static bool number(const char **p, const char *end, uint64_t *ret)
{
    const char *start = *p;
    uint64_t v = 0;
    for (; *p < end && **p >= '0' && **p <= '9'; (*p)++)
        if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
            __builtin_add_overflow(v, (uint64_t)(**p - '0'), &v))
            return false;
    *ret = v;
    return *p > start;
}

static bool literal(const char **p, const char *end, const char *text)
{
    const size_t n = strlen(text);
    if ((size_t)(end - *p) < n || memcmp(*p, text, n) != 0)
        return false;
    *p += n;
    return true;
}

/* bytes=BEGIN-END,line=LINE, where END may be missing; behind that, for a URL, its version */
static bool part(const char *p, const char *end, struct input_ref *r)
{
    r->end = UINT64_MAX;
    if (!literal(&p, end, part_mark.p) || !number(&p, end, &r->begin) || !literal(&p, end, "-"))
        return false;
    if (p < end && *p != ',' && !number(&p, end, &r->end))
        return false;
    if (!literal(&p, end, ",line=") || !number(&p, end, &r->line))
        return false;
    if (r->kind == INPUT_URL) {
        if (!literal(&p, end, ","))
            return false;
        r->version = (struct span){p, (size_t)(end - p)};
        p = end;
        if (!download_version_ok(r->version))
            return false;
    }
    return p == end && r->line > 0 && r->begin <= r->end;
}

static int parse_slice(struct span text, struct input_ref *ret, struct error *e)
{
    struct slice slice;
    const int rc = slice_parse(text, &slice, e);
    if (rc != ERR_OK)
        return rc;
    *ret = (struct input_ref){.kind = INPUT_BLOB,
                              .name = text,
                              .blob = slice.blob,
                              .end = UINT64_MAX,
                              .line = slice.first_line};
    memcpy(ret->file, slice.file, sizeof(ret->file));
    return ERR_OK;
}

static bool is_url(struct span text)
{
    return (text.len > 7 && memcmp(text.p, "http://", 7) == 0) ||
           (text.len > 8 && memcmp(text.p, "https://", 8) == 0);
}

static int check_url(struct span name, struct error *e)
{
    struct buf canonical;
    struct error why = {0};
    size_t key_len;
    buf_init(&canonical, 0);
    const int rc = scrape_url_canonical(name, &canonical, &key_len, &why);
    buf_done(&canonical);
    return rc == ERR_OK ? ERR_OK
                        : error_set(e, (enum err)rc, "\"%.*s\": %.200s",
                                    (int)MIN(name.len, (size_t)250), name.p, why.detail);
}

int input_ref_parse(struct span text, struct input_ref *ret, struct error *e)
{
    struct input_ref r = {.name = text, .end = UINT64_MAX, .line = 1};
    const char *mark = text.len ? memmem(text.p, text.len, part_mark.p, part_mark.len) : NULL;
    if (text.len > 0 && text.p[0] == '{')
        return parse_slice(text, ret, e);
    r.kind = is_url(text) ? INPUT_URL : INPUT_PATH;
    if (mark) {
        r.part = true;
        r.name.len = (size_t)(mark - text.p);
        if (!part(mark, text.p + text.len, &r))
            return error_set(e, ERR_INVALID_ARGUMENT,
                             "\"%.*s\": a part is #bytes=BEGIN-END,line=LINE",
                             (int)MIN(text.len, (size_t)300), text.p);
    }
    if (r.kind == INPUT_URL) {
        const int rc = check_url(r.name, e);
        if (rc == ERR_OK)
            *ret = r;
        return rc;
    }
    if (r.name.len == 0 || r.name.p[0] != '/' || memchr(r.name.p, 0, r.name.len) ||
        r.name.len >= PATH_MAX)
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "\"%.*s\": an input is the absolute path of a file (or a pattern such as "
                         "/data/*.csv), an http(s) URL, or {\"blob\": SHA256}",
                         (int)MIN(text.len, (size_t)300), text.p);
    *ret = r;
    return ERR_OK;
}

void input_ref_text(const struct input_ref *r, struct buf *out)
{
    buf_append(out, r->name.p, r->name.len);
    if (!r->part)
        return;
    buf_printf(out, "#bytes=%llu-", (unsigned long long)r->begin);
    if (r->end != UINT64_MAX)
        buf_printf(out, "%llu", (unsigned long long)r->end);
    buf_printf(out, ",line=%llu", (unsigned long long)r->line);
    if (r->version.len > 0) {
        buf_byte(out, ',');
        buf_append(out, r->version.p, r->version.len);
    }
}

bool input_ref_is_pattern(const struct input_ref *r)
{
    for (size_t i = 0; i < r->name.len && r->kind == INPUT_PATH && !r->part; i++)
        if (strchr("*?[", r->name.p[i]))
            return true;
    return false;
}

/* ---- files ---- */

static bool is_inside(const char *path, const char *root)
{
    char real[PATH_MAX];
    if (!realpath(root, real))
        return false;
    const size_t n = strlen(real);
    return strncmp(path, real, n) == 0 && (path[n] == '/' || path[n] == 0 || n == 1);
}

/* By what was opened, and not by its name: links may lead elsewhere. */
static int check_root(const struct inputs *in, int fd, const char *name, struct error *e)
{
    char link[64], path[PATH_MAX];
    if (!in->roots)
        return ERR_OK;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = 0;
    for (size_t i = 0; i < in->n_roots && n > 0; i++)
        if (is_inside(path, in->roots[i]))
            return ERR_OK;
    return error_set(e, ERR_AUTH, "%s: this worker's input_roots do not allow it", name);
}

static int open_path(const struct inputs *in, const char *name, int *ret_fd, struct error *e)
{
    struct stat st;
    /* Not to wait for the other end of a pipe. */
    const int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set(e,
                         errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND
                         : errno == EACCES                   ? ERR_AUTH
                                                             : ERR_IO,
                         "%s: %s", name, strerror(errno));
    int rc = check_root(in, fd, name, e);
    if (rc == ERR_OK && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)))
        rc = error_set(e, ERR_INVALID_ARGUMENT, "%s: not a regular file", name);
    if (rc != ERR_OK)
        close(fd);
    else
        *ret_fd = fd;
    return rc;
}

static int open_blob(const struct blobset *blobs, const struct blob_name *name, int *ret_fd,
                     struct error *e)
{
    char text[BLOB_TEXT_LEN + 1];
    const struct blobset_item *item = NULL;
    const int rc = blobset_need(blobs, name, &item, e);
    if (rc != ERR_OK)
        return rc;
    *ret_fd = fcntl(item->fd, F_DUPFD_CLOEXEC, 0);
    return *ret_fd >= 0
               ? ERR_OK
               : error_set(e, ERR_IO, "blob %s: %s", blob_name_text(name, text), strerror(errno));
}

static int open_url(const struct inputs *in, const struct input_ref *r,
                    const atomic_bool *cancelled, struct input_file *ret, struct error *e)
{
    struct download got;
    const struct download_part part = {r->begin, r->end, r->version};
    char *url = strndup(r->name.p, r->name.len);
    if (!url)
        return error_set(e, ERR_NOMEM, "no memory for a URL");
    int rc = in->get ? in->get(in->downloads, url, r->part ? &part : NULL, cancelled, &got, e)
                     : error_set(e, ERR_AUTH, "%s: nothing is downloaded here", url);
    free(url);
    if (rc != ERR_OK)
        return rc;
    ret->fd = got.fd;
    ret->parts = !r->part && got.version[0];
    memcpy(ret->version, got.version, sizeof(ret->version));
    return ERR_OK;
}

int inputs_open(const struct inputs *in, const struct blobset *blobs, const struct input_ref *r,
                const atomic_bool *cancelled, struct input_file *ret, struct error *e)
{
    char name[PATH_MAX];
    *ret = (struct input_file){.fd = -1};
    if (r->kind == INPUT_BLOB)
        return open_blob(blobs, &r->blob, &ret->fd, e);
    if (r->kind == INPUT_URL)
        return open_url(in, r, cancelled, ret, e);
    snprintf(name, sizeof(name), "%.*s", (int)r->name.len, r->name.p);
    ret->parts = r->end == UINT64_MAX;
    return open_path(in, name, &ret->fd, e);
}

int inputs_match(const struct input_ref *r, inputs_file_fn *fn, void *user, struct error *e)
{
    char pattern[PATH_MAX];
    glob_t found;
    snprintf(pattern, sizeof(pattern), "%.*s", (int)r->name.len, r->name.p);
    const int rc = glob(pattern, 0, NULL, &found);
    if (rc == GLOB_NOMATCH)
        return error_set(e, ERR_NOT_FOUND, "%s: no file is called like that", pattern);
    if (rc != 0)
        return error_set(e, rc == GLOB_NOSPACE ? ERR_NOMEM : ERR_IO,
                         "%s: the folder cannot be read", pattern);
    const size_t n = found.gl_pathc;
    for (size_t i = 0; i < n && n <= INPUTS_FILES_MAX; i++)
        fn(user, span_str(found.gl_pathv[i]));
    globfree(&found);
    return n <= INPUTS_FILES_MAX ? ERR_OK
                                 : error_set(e, ERR_LIMIT, "%s: %zu files; at most %d are possible",
                                             pattern, n, INPUTS_FILES_MAX);
}
