/*
 * url.h: URLs by the WHATWG rules (https://url.spec.whatwg.org), through lexbor: canonical form,
 * resolution of relative references, host and key. Implements scrape_url_canonical of scrape.h.
 *
 * Thread rule: a url_ctx belongs to one thread.
 */
#ifndef DROVER_URL_H
#define DROVER_URL_H

#include "common/buf.h"
#include "common/err.h"

enum { URL_BYTES_MAX = 8192 }; /* of a URL, before and after it is made canonical */

struct url_ctx;

struct url_ctx *url_ctx_new(void) MUST_CHECK; /* NULL: no memory */
void url_ctx_free(struct url_ctx *u);

/* The base that url_resolve uses until the next call. False: not an absolute URL (no base then). */
bool url_base_set(struct url_ctx *u, struct span absolute);

/* Resolves reference against the base. The result is serialised with its fragment when keep_fragment
 * is set, and lives until the next call on u. False: it does not parse. */
bool url_resolve(struct url_ctx *u, struct span reference, bool keep_fragment,
                 struct span *ret) MUST_CHECK;

/* scrape_url_canonical with a context: the result lives until the next call on u. */
int url_canonical(struct url_ctx *u, struct span url, struct span *ret, size_t *ret_key_len,
                  struct error *e) MUST_CHECK;

/* Of a canonical http(s) URL: the length of "scheme://host[:port]"; 0 when it is not one. */
size_t url_key_len(struct span canonical);
/* Of a canonical http(s) URL: the host, without port and brackets kept. Empty: not one. */
struct span url_host(struct span canonical);
/* Of a canonical http(s) URL: from the "/" after the key on. */
struct span url_path_and_query(struct span canonical);

/* Whether host is domain or below it ("a.example.com" is below "example.com"). Both lower case. */
bool url_host_in_domain(struct span host, struct span domain);

#endif
