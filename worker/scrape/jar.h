/*
 * jar.h: what the requests of one job share in one loop: the cookies that servers set, and the
 * request headers ready for curl. Jobs never see each other's cookies.
 *
 * A jar outlives its tasks, since a job comes in many, until JARS_IDLE_MAX other jobs were here.
 *
 * Thread rule: one thread (the loop's).
 */
#ifndef DROVER_JAR_H
#define DROVER_JAR_H

#include <curl/curl.h>

#include "spec.h"

enum {
    JARS_IDLE_MAX = 64,
    JAR_COOKIE_BYTES_MAX = 1024 * 1024 /* of a job in a loop; above it the cookies are dropped */
};

struct jar {
    uint64_t job_id;
    uint64_t options;                 /* digest of the spec's http options */
    uint64_t serial;                  /* never used twice in a loop */
    CURLSH *cookies;                  /* NULL: the spec wants none kept */
    size_t cookie_bytes;              /* that came in since the last look at the whole */
    char *cookie_header;              /* the spec's own cookies, or NULL */
    struct curl_slist *headers;       /* for the host that a task names */
    struct curl_slist *guest_headers; /* after a redirect to another host: without credentials */
    uint32_t refs;
    struct jar *next;
};

struct jars {
    struct jar *first; /* the last used first */
    uint64_t serial;
};

/* Called before a jar is freed, so that whoever holds its lists lets go. */
typedef void jar_forget_fn(void *user, const struct jar *jar);

/* The jar of a job, made when it is new. jar_put gives it back. NULL: no memory. */
struct jar *jar_get(struct jars *all, uint64_t job_id, const struct scrape_spec *s) MUST_CHECK;
void jar_put(struct jars *all, struct jar *j, jar_forget_fn *forget, void *user);
void jars_done(struct jars *all, jar_forget_fn *forget, void *user); /* none is in use any more */

/* Counts what Set-Cookie headers brought; says whether the whole is to be looked at now. */
bool jar_count(struct jar *j, size_t bytes);

/* Drops the cookies when they are above the limit. easy uses the jar. */
void jar_trim(struct jar *j, CURL *easy);

#endif
