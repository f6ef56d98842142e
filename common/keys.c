#include "keys.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "buf.h"
#include "log.h"
#include "wire.h"

enum { KEY_FILE_MAX = 4096, LIST_FILE_MAX = 16 * 1024 * 1024, KEY_BYTES = 32 };

struct keys_allow {
    pthread_mutex_t lock; /* everything below */
    char *path;
    struct keys_entry *entries;
    size_t n;
    struct stat seen; /* of the file when it was read; st_ino 0: there was none */
};

static const struct {
    enum keys_role role;
    const char *name;
} roles[] = {{KEYS_WORKER, "worker"}, {KEYS_CLIENT, "client"}, {KEYS_ADMIN, "admin"}};

const char *keys_role_name(enum keys_role role)
{
    for (size_t i = 0; i < ARRAY_LEN(roles); i++)
        if (roles[i].role == role)
            return roles[i].name;
    return "none";
}

bool keys_role_parse(struct span text, enum keys_role *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        if (span_eq(text, span_str(roles[i].name))) {
            *ret = roles[i].role;
            return true;
        }
    }
    return false;
}

bool keys_name_valid(struct span name)
{
    return wire_name_valid(name);
}

bool keys_public_valid(struct span z85)
{
    char text[KEYS_Z85_LEN + 1];
    uint8_t key[KEY_BYTES];
    if (z85.len != KEYS_Z85_LEN || memchr(z85.p, '\0', z85.len))
        return false;
    memcpy(text, z85.p, KEYS_Z85_LEN);
    text[KEYS_Z85_LEN] = '\0';
    return zmq_z85_decode(key, text) != NULL;
}

/* ---- files ---- */

/* A whole file into out. secret: refuse one that others may read. */
static int read_file(const char *path, bool secret, size_t max, struct buf *out, struct stat *st,
                     struct error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_CONFIG, "%s: %s", path,
                         strerror(errno));
    int rc = ERR_OK;
    if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))
        rc = error_set(e, ERR_CONFIG, "%s is not a file", path);
    else if (secret && (st->st_mode & (S_IWGRP | S_IRWXO)))
        rc = error_set(e, ERR_CONFIG, "others may read %s: chmod 600 %s", path, path);
    else if ((size_t)st->st_size > max)
        rc = error_set(e, ERR_CONFIG, "%s is larger than %zu bytes", path, max);
    while (rc == ERR_OK) {
        uint8_t *room = buf_reserve(out, 4096);
        ssize_t got = room ? read(fd, room, 4096) : -1;
        if (got < 0 && room && errno == EINTR)
            continue;
        if (got < 0 || out->len + (size_t)got > max)
            rc = error_set(e, ERR_IO, "%s: %s", path, room ? strerror(errno) : "too large");
        if (got <= 0)
            break;
        out->len += (size_t)got;
    }
    close(fd);
    return rc;
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        p += put;
        n -= (size_t)put;
    }
    return fsync(fd);
}

/* So that a rename or a new name in it survives a loss of power. */
static int sync_folder(const char *path)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync(fd);
    close(fd);
    return rc;
}

static int write_new(const char *path, mode_t mode, struct span text, struct error *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0 && errno == EEXIST)
        return error_set(e, ERR_WRONG_STATE, "%s exists; it is not overwritten", path);
    if (fd < 0)
        return error_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    int rc = ERR_OK;
    if (write_all(fd, text.p, text.len) < 0)
        rc = error_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    close(fd);
    if (rc)
        unlink(path);
    return rc;
}

/* The next line without its newline; false at the end. */
static bool next_line(struct span *rest, struct span *ret)
{
    if (rest->len == 0)
        return false;
    const char *nl = memchr(rest->p, '\n', rest->len);
    size_t len = nl ? (size_t)(nl - rest->p) : rest->len;
    *ret = (struct span){rest->p, len};
    rest->p += nl ? len + 1 : len;
    rest->len -= nl ? len + 1 : len;
    if (ret->len && ret->p[ret->len - 1] == '\r')
        ret->len--;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Splits at blanks into at most max words; the number there are (max + 1: more). */
static size_t split(struct span line, struct span *words, size_t max)
{
    size_t n = 0, i = 0;
    for (;;) {
        while (i < line.len && is_blank(line.p[i]))
            i++;
        if (i == line.len)
            return n;
        size_t start = i;
        while (i < line.len && !is_blank(line.p[i]))
            i++;
        if (n == max)
            return max + 1;
        words[n++] = (struct span){line.p + start, i - start};
    }
}

/* ---- key pairs ---- */

int keys_generate(struct keys_pair *ret, struct error *e)
{
    if (zmq_curve_keypair(ret->public_z85, ret->secret_z85) < 0)
        return error_set(e, ERR_INTERNAL, "key pair: %s", zmq_strerror(zmq_errno()));
    return ERR_OK;
}

int keys_save(const char *path, const struct keys_pair *pair, struct error *e)
{
    char public_path[PATH_MAX], text[256];
    if ((size_t)snprintf(public_path, sizeof public_path, "%s.pub", path) >= sizeof public_path)
        return error_set(e, ERR_INVALID_ARGUMENT, "the path is too long");
    if (access(public_path, F_OK) == 0)
        return error_set(e, ERR_WRONG_STATE, "%s exists; it is not overwritten", public_path);
    snprintf(text, sizeof text,
             "# drover: secret key, for its owner alone\npublic = %s\nsecret = %s\n",
             pair->public_z85, pair->secret_z85);
    int rc = write_new(path, 0600, span_str(text), e);
    explicit_bzero(text, sizeof text);
    if (rc)
        return rc;
    snprintf(text, sizeof text, "# drover: public key\npublic = %s\n", pair->public_z85);
    rc = write_new(public_path, 0644, span_str(text), e);
    if (rc == ERR_OK && sync_folder(path) < 0)
        rc = error_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    return rc;
}

/* Reads "public = Z85" and "secret = Z85" lines; what is missing stays empty. False: something else
 * is there. (A key may hold "=" itself, but no blank.) */
static bool parse_pair(struct span text, struct keys_pair *ret)
{
    struct span line, words[3];
    memset(ret, 0, sizeof *ret);
    while (next_line(&text, &line)) {
        if (line.len && line.p[0] == '#')
            continue;
        size_t n = split(line, words, 3);
        if (n == 0)
            continue;
        if (n != 3 || !span_eq(words[1], SPAN("=")) || !keys_public_valid(words[2]))
            return false;
        if (span_eq(words[0], SPAN("public")))
            memcpy(ret->public_z85, words[2].p, KEYS_Z85_LEN);
        else if (span_eq(words[0], SPAN("secret")))
            memcpy(ret->secret_z85, words[2].p, KEYS_Z85_LEN);
        else
            return false;
    }
    return true;
}

int keys_load(const char *path, struct keys_pair *ret, struct error *e)
{
    struct buf text;
    struct stat st;
    struct keys_pair pair;
    char public_z85[KEYS_Z85_LEN + 1];
    buf_init(&text, 2 * KEY_FILE_MAX);
    int rc = read_file(path, true, KEY_FILE_MAX, &text, &st, e);
    if (rc == ERR_OK) {
        if (!parse_pair(buf_span(&text), &pair) || !pair.secret_z85[0])
            rc = error_set(e, ERR_CONFIG, "%s is not a secret key file of drover", path);
        else if (zmq_curve_public(public_z85, pair.secret_z85) < 0 ||
                 strcmp(public_z85, pair.public_z85) != 0)
            rc = error_set(e, ERR_CONFIG, "%s: its two keys do not belong together", path);
        else
            *ret = pair;
        explicit_bzero(&pair, sizeof pair);
    }
    if (text.data)
        explicit_bzero(text.data, text.len);
    buf_done(&text);
    return rc;
}

int keys_load_public(const char *path_or_z85, char ret[KEYS_Z85_LEN + 1], struct error *e)
{
    struct buf text;
    struct stat st;
    struct keys_pair pair;
    if (keys_public_valid(span_str(path_or_z85))) {
        memcpy(ret, path_or_z85, KEYS_Z85_LEN + 1);
        return ERR_OK;
    }
    buf_init(&text, 2 * KEY_FILE_MAX);
    int rc = read_file(path_or_z85, false, KEY_FILE_MAX, &text, &st, e);
    if (rc == ERR_OK && (!parse_pair(buf_span(&text), &pair) || !pair.public_z85[0]))
        rc = error_set(e, ERR_CONFIG, "%s is not a key file of drover", path_or_z85);
    if (rc == ERR_OK)
        memcpy(ret, pair.public_z85, sizeof pair.public_z85);
    explicit_bzero(&pair, sizeof pair);
    if (text.data)
        explicit_bzero(text.data, text.len);
    buf_done(&text);
    return rc;
}

/* ---- the list ---- */

static int parse_entry(struct span line, struct keys_entry *ret)
{
    struct span words[3];
    if (split(line, words, 3) != 3 || !keys_role_parse(words[0], &ret->role) ||
        !keys_name_valid(words[1]) || !keys_public_valid(words[2]))
        return ERR_CONFIG;
    memset(ret->name, 0, sizeof ret->name);
    memset(ret->public_z85, 0, sizeof ret->public_z85);
    memcpy(ret->name, words[1].p, words[1].len);
    memcpy(ret->public_z85, words[2].p, words[2].len);
    return ERR_OK;
}

static const struct keys_entry *find(const struct keys_entry *entries, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(entries[i].public_z85, key) == 0)
            return &entries[i];
    return NULL;
}

static bool push(struct keys_entry **entries, size_t *n, const struct keys_entry *entry)
{
    if ((*n & (*n - 1)) == 0) { /* doubles at powers of two */
        struct keys_entry *more = realloc(*entries, (*n ? 2 * *n : 1) * sizeof *more);
        if (!more)
            return false;
        *entries = more;
    }
    (*entries)[(*n)++] = *entry;
    return true;
}

static int parse_list(const char *path, struct span text, struct keys_entry **ret, size_t *ret_n,
                      struct error *e)
{
    struct keys_entry *entries = NULL, entry;
    size_t n = 0;
    struct span line, word;
    int rc = ERR_OK;
    for (unsigned number = 1; rc == ERR_OK && next_line(&text, &line); number++) {
        if ((line.len && line.p[0] == '#') || split(line, &word, 1) == 0)
            continue;
        if (parse_entry(line, &entry))
            rc =
                error_set(e, ERR_CONFIG, "%s, line %u: not \"role name public-key\"", path, number);
        else if (n == KEYS_LIST_MAX)
            rc = error_set(e, ERR_CONFIG, "%s: more than %d keys", path, KEYS_LIST_MAX);
        else if (!push(&entries, &n, &entry))
            rc = error_set(e, ERR_NOMEM, "%s", path);
    }
    if (rc) {
        free(entries);
        return rc;
    }
    *ret = entries;
    *ret_n = n;
    return ERR_OK;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Reads the file when it is another than the one seen. With the lock held. */
static int follow(struct keys_allow *a, struct error *e)
{
    struct stat st;
    struct keys_entry *entries = NULL;
    size_t n = 0;
    struct buf text;
    memset(&st, 0, sizeof st);
    if (stat(a->path, &st) < 0) {
        if (errno != ENOENT)
            return error_set(e, ERR_CONFIG, "%s: %s", a->path, strerror(errno));
        memset(&st, 0, sizeof st);
    }
    if (same_file(&st, &a->seen))
        return ERR_OK;
    buf_init(&text, LIST_FILE_MAX + 8192);
    int rc = ERR_OK;
    if (st.st_ino) {
        rc = read_file(a->path, false, LIST_FILE_MAX, &text, &st, e);
        if (rc == ERR_OK && (st.st_mode & S_IWOTH))
            rc = error_set(e, ERR_CONFIG, "anyone may change %s: chmod o-w %s", a->path, a->path);
        if (rc == ERR_OK)
            rc = parse_list(a->path, buf_span(&text), &entries, &n, e);
    }
    buf_done(&text);
    if (rc)
        return rc;
    free(a->entries);
    a->entries = entries;
    a->n = n;
    a->seen = st;
    return ERR_OK;
}

int keys_allow_open(const char *path, struct keys_allow **ret, struct error *e)
{
    struct keys_allow *a = calloc(1, sizeof *a);
    if (!a || !(a->path = strdup(path))) {
        free(a);
        return error_set(e, ERR_NOMEM, "%s", path);
    }
    pthread_mutex_init(&a->lock, NULL);
    int rc = follow(a, e);
    if (rc) {
        keys_allow_free(a);
        return rc;
    }
    *ret = a;
    return ERR_OK;
}

void keys_allow_free(struct keys_allow *a)
{
    if (!a)
        return;
    pthread_mutex_destroy(&a->lock);
    free(a->entries);
    free(a->path);
    free(a);
}

int keys_allow_reload(struct keys_allow *a, struct error *e)
{
    pthread_mutex_lock(&a->lock);
    int rc = follow(a, e);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

/* Writes entries in place of the file, keeping its mode. With the lock held. */
static int replace_file(struct keys_allow *a, const struct keys_entry *entries, size_t n,
                        struct error *e)
{
    char temporary[PATH_MAX];
    struct buf text;
    struct error ignored = {0};
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.new.%ld", a->path, (long)getpid()) >=
        sizeof temporary)
        return error_set(e, ERR_INVALID_ARGUMENT, "the path is too long");
    buf_init(&text, LIST_FILE_MAX);
    buf_str(&text, "# drover: who may connect. One line each: role (worker, client, admin), name, "
                   "public key.\n");
    for (size_t i = 0; i < n; i++)
        buf_printf(&text, "%s %s %s\n", keys_role_name(entries[i].role), entries[i].name,
                   entries[i].public_z85);
    unlink(temporary); /* of a process of our id that died here */
    int rc = buf_ok(&text) ? write_new(temporary, a->seen.st_ino ? a->seen.st_mode & 0777 : 0644,
                                       buf_span(&text), e)
                           : error_set(e, ERR_NOMEM, "%s", a->path);
    buf_done(&text);
    if (rc)
        return rc;
    if (rename(temporary, a->path) < 0 || sync_folder(a->path) < 0) {
        rc = error_set(e, ERR_IO, "%s: %s", a->path, strerror(errno));
        unlink(temporary);
        return rc;
    }
    return follow(a, &ignored);
}

/* Holds off other processes that change the list. The lock file stays: removing it would let two in. */
static int lock_file(const struct keys_allow *a, struct error *e)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s.lock", a->path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX) == 0)
        return fd;
    error_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static int add_locked(struct keys_allow *a, const struct keys_entry *entry, struct error *e)
{
    int rc = follow(a, e);
    if (rc)
        return rc;
    const struct keys_entry *there = find(a->entries, a->n, entry->public_z85);
    if (there && there->role == entry->role && strcmp(there->name, entry->name) == 0)
        return ERR_OK;
    if (there)
        return error_set(e, ERR_INVALID_ARGUMENT, "the key is authorized already, as %s %s",
                         keys_role_name(there->role), there->name);
    if (a->n >= KEYS_LIST_MAX)
        return error_set(e, ERR_LIMIT, "%s holds %d keys at most", a->path, KEYS_LIST_MAX);
    struct keys_entry *more = malloc((a->n + 1) * sizeof *more);
    if (!more)
        return error_set(e, ERR_NOMEM, "%s", a->path);
    if (a->n)
        memcpy(more, a->entries, a->n * sizeof *more);
    more[a->n] = *entry;
    rc = replace_file(a, more, a->n + 1, e);
    free(more);
    return rc;
}

int keys_allow_add(struct keys_allow *a, const struct keys_entry *entry, struct error *e)
{
    enum keys_role role;
    if (!keys_role_parse(span_str(keys_role_name(entry->role)), &role))
        return error_set(e, ERR_INVALID_ARGUMENT, "a role is worker, client or admin");
    if (!keys_name_valid(span_str(entry->name)))
        return error_set(e, ERR_INVALID_ARGUMENT, "a name has 1 to %d of A-Z a-z 0-9 . _ -",
                         KEYS_NAME_MAX);
    if (!keys_public_valid(span_str(entry->public_z85)))
        return error_set(e, ERR_INVALID_ARGUMENT, "a public key has %d characters of Z85",
                         KEYS_Z85_LEN);
    pthread_mutex_lock(&a->lock);
    int fd = lock_file(a, e), rc = ERR_IO;
    if (fd >= 0) {
        rc = add_locked(a, entry, e);
        close(fd);
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}

static int revoke_locked(struct keys_allow *a, const char *name, const char *key, size_t *ret_n,
                         struct error *e)
{
    int rc = follow(a, e);
    if (rc)
        return rc;
    struct keys_entry *kept = malloc(MAX(a->n, (size_t)1) * sizeof *kept);
    size_t n = 0;
    if (!kept)
        return error_set(e, ERR_NOMEM, "%s", a->path);
    for (size_t i = 0; i < a->n; i++) {
        const struct keys_entry *k = &a->entries[i];
        if ((name && strcmp(k->name, name) != 0) || (key && strcmp(k->public_z85, key) != 0))
            kept[n++] = *k;
    }
    size_t removed = a->n - n;
    if (removed == 0)
        rc = error_set(e, ERR_NOT_FOUND, "no such key");
    else
        rc = replace_file(a, kept, n, e);
    free(kept);
    if (rc == ERR_OK)
        *ret_n = removed;
    return rc;
}

int keys_allow_revoke(struct keys_allow *a, const char *name, const char *public_z85, size_t *ret_n,
                      struct error *e)
{
    if (!name && !public_z85)
        return error_set(e, ERR_INVALID_ARGUMENT, "revoke by name or public key");
    pthread_mutex_lock(&a->lock);
    int fd = lock_file(a, e), rc = ERR_IO;
    if (fd >= 0) {
        rc = revoke_locked(a, name, public_z85, ret_n, e);
        close(fd);
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}

/* A list that someone broke by hand must not lock everyone out: the last good one goes on. */
static void follow_or_log(struct keys_allow *a)
{
    struct error e = {0};
    if (follow(a, &e))
        LOG_ERROR("list of authorized keys is not readable; the last one stays", log_err(&e));
}

bool keys_allow_find(struct keys_allow *a, const char *public_z85, struct keys_entry *ret)
{
    pthread_mutex_lock(&a->lock);
    follow_or_log(a);
    const struct keys_entry *k = find(a->entries, a->n, public_z85);
    if (k)
        *ret = *k;
    pthread_mutex_unlock(&a->lock);
    return k != NULL;
}

bool keys_allow_named(struct keys_allow *a, enum keys_role role, struct span name)
{
    bool found = false;
    pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < a->n && !found; i++)
        found = a->entries[i].role == role && span_eq(span_str(a->entries[i].name), name);
    pthread_mutex_unlock(&a->lock);
    return found;
}

struct keys_entry *keys_allow_list(struct keys_allow *a, size_t *ret_n)
{
    pthread_mutex_lock(&a->lock);
    follow_or_log(a);
    size_t n = a->n;
    struct keys_entry *copy = n ? malloc(n * sizeof *copy) : NULL;
    if (copy)
        memcpy(copy, a->entries, n * sizeof *copy);
    pthread_mutex_unlock(&a->lock);
    *ret_n = copy ? n : 0;
    return copy;
}
