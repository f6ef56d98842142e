/*
 * download.h: a file of a web server, or a part of it, as a temporary file without a name. Addresses are
 * judged and certificates verified as for pages (scrape/guard.h, scrape/trust.h); redirects are
 * followed, each of them judged again.
 *
 * A part lies in its file where it lies in the whole, behind the first DOWNLOAD_HEAD_BYTES of it; what is
 * between is a hole. So whoever reads it need not know that it is a part. It is asked for under the
 * condition that the file is still the one that was cut.
 *
 * It retries nothing and knows nothing of what is in the file.
 *
 * Thread rule: any thread; a call waits for the network.
 */
#ifndef DROVER_DOWNLOAD_H
#define DROVER_DOWNLOAD_H

#include <stdatomic.h>

#include "common/buf.h"
#include "common/err.h"

struct downloads;

enum {
    DOWNLOAD_HEAD_BYTES = 128 * 1024, /* that a part has of the beginning: the names of columns */
    DOWNLOAD_VERSION_LEN = 200,       /* bytes of what tells versions of a file apart */
    DOWNLOAD_REDIRECTS_MAX = 10,
    DOWNLOAD_CONNECT_MS = 20 * 1000,
    DOWNLOAD_STALLED_S = 60, /* less than a byte a second for so long: given up */
    DOWNLOAD_BUFFER_BYTES = 128 * 1024
};

struct downloads_config {
    const char *const *allow_nets; /* as in struct scrape_config, as are the next three */
    const char *ca_file, *proxy, *user_agent;
    const char *dir;    /* where temporary files are; NULL: TMPDIR, or /tmp */
    uint64_t bytes_max; /* of one file (input_bytes_max) */
};

/* What is pointed to is borrowed. CONFIG, NOMEM. */
int downloads_new(const struct downloads_config *config, struct downloads **ret,
                  struct error *e) MUST_CHECK;
void downloads_free(struct downloads *d); /* takes NULL */

struct download_part {
    uint64_t begin, end; /* end UINT64_MAX: to the end of the file */
    struct span version; /* that the file must still have: "etag=..." or "modified=..." */
};

struct download {
    int fd; /* the caller closes it */
    /* What it has to be asked for with to get parts of this very file; "": the server gives no parts. */
    char version[DOWNLOAD_VERSION_LEN + 1];
};

/* part NULL: the whole file. cancelled: may be NULL. The detail of each error begins with the URL.
 * UNAVAILABLE: may succeed later (5xx, 429, a connection that broke). NOT_FOUND, AUTH (401, 403, an address
 * that is not allowed), LIMIT, WRONG_STATE (another version), INVALID_ARGUMENT (another status), IO, STALE
 * (cancelled). */
int downloads_get(struct downloads *d, const char *url, const struct download_part *part,
                  const atomic_bool *cancelled, struct download *ret, struct error *e) MUST_CHECK;

/* How versions begin. */
#define DOWNLOAD_ETAG "etag="
#define DOWNLOAD_MODIFIED "modified="

static inline bool download_version_has(struct span text, const char *beginning)
{
    const size_t n = strlen(beginning);
    return text.len > n && memcmp(text.p, beginning, n) == 0;
}

/* Whether a text can be a version, as downloads_get tells. Here, because who only checks names of inputs
 * needs no HTTP. */
static inline bool download_version_ok(struct span text)
{
    bool good = text.len <= DOWNLOAD_VERSION_LEN && (download_version_has(text, DOWNLOAD_ETAG) ||
                                                     download_version_has(text, DOWNLOAD_MODIFIED));
    for (size_t i = 0; i < text.len && good; i++)
        good = (uint8_t)text.p[i] >= ' ' && (uint8_t)text.p[i] <= '~';
    return good;
}

#endif
