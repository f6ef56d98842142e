/*
 * spec.h: the compiled scrape stage, as the parts of the engine see it (scrape.h is for the rest
 * of the worker). spec.c compiles the stage; spec_field.c the extraction; nothing else writes one.
 *
 * Thread rule: immutable after scrape_spec_compile, shared by any number of threads.
 */
#ifndef DROVER_SCRAPE_SPEC_H
#define DROVER_SCRAPE_SPEC_H

#include "common/arena.h"
#include "scrape.h"

struct field;    /* extraction: field.h */
struct pattern;  /* a compiled regular expression: pattern.h */
struct selector; /* a compiled CSS selector: select.h */

/* Limits of a stage. One that is passed is an INVALID_SPEC that names it. */
enum {
    SPEC_FIELDS_MAX = 1600,    /* of all levels together; also the columns of a batch */
    SPEC_NAME_BYTES_MAX = 128, /* of a field's name */
    SPEC_DEPTH_MAX = 8,        /* "fields" in "fields" */
    SPEC_SELECTOR_BYTES_MAX = 4096,
    SPEC_COMPOUNDS_MAX = 16, /* compound selectors in one complex selector */
    SPEC_REGEX_BYTES_MAX = 4096,
    SPEC_REGEXES_MAX = 256,
    SPEC_LIST_MAX = 10000,        /* entries of any array or object in the stage */
    SPEC_STRING_BYTES_MAX = 65536 /* any other string */
};

struct spec_pair {
    const char *name, *value;
};

/* What the fetcher needs to know. Strings belong to the spec. */
struct scrape_http_options {
    const char *user_agent; /* NULL: the loop's */
    const char *proxy;      /* NULL: the loop's */
    const struct spec_pair *headers;
    size_t n_headers;
    bool cookies;                        /* keep what servers set, per job */
    const struct spec_pair *cookie_list; /* sent from the first request on */
    size_t n_cookies;
    bool robots; /* obey robots.txt */
    bool tls_verify;
    bool autothrottle;
    uint32_t concurrency; /* requests under way per host */
    uint32_t delay_ms;    /* between the starts of two requests to one host */
    uint32_t timeout_ms;  /* of one request, all of it */
    uint32_t connect_timeout_ms;
    uint32_t redirects_max;     /* 0: a redirect is not followed */
    uint32_t min_speed_bytes_s; /* 0: no lower limit */
    uint32_t min_speed_s;       /* slower than min_speed for so long: SLOW */
    size_t body_max_bytes;      /* after decompression */
    uint32_t retry_times;       /* further attempts after the first */
    const uint16_t *retry_statuses;
    size_t n_retry_statuses;
    uint32_t retry_backoff_ms;  /* before the first retry; doubles */
    uint32_t retry_wait_max_ms; /* cap of the back-off and of Retry-After */
    bool conditional;           /* ask with the validators that the worker remembers */
    int64_t modified_since_s;   /* If-Modified-Since for URLs without validator; 0: none */
};

struct spec_follow {
    bool enabled;
    const struct selector *const *selectors; /* NULL-terminated */
    uint32_t depth_max;
    uint64_t pages_max; /* 0: no limit; the coordinator counts */
    bool same_host;
    bool nofollow;        /* heed rel=nofollow and <meta name=robots content=nofollow> */
    bool skip_extensions; /* leave out links to images, archives, ... by their file extension */
    const char *const *domains;                 /* lower case, punycode; NULL-terminated or NULL */
    struct pattern *const *allow, *const *deny; /* NULL-terminated or NULL */
    bool sitemap;                               /* read sitemaps */
    const char *const
        *sitemap_urls; /* NULL-terminated, canonical; NULL: robots.txt or /sitemap.xml */
};

struct scrape_spec {
    struct arena arena;
    const struct field *fields; /* "extract" */
    size_t n_top_fields;
    const struct field *rows; /* the field that gives one row for each element, or NULL */
    size_t n_columns;
    uint32_t n_fields; /* of all levels; field->id is below it */
    struct spec_follow follow;
    struct scrape_http_options http;
    const char *const
        *types; /* accepted media types, lower case, NULL-terminated; "x/" for "x/<any>" */
    struct pattern *patterns[SPEC_REGEXES_MAX]; /* owned */
    size_t n_patterns;
};

const struct scrape_http_options *scrape_spec_http(const struct scrape_spec *s);

/* Whether a page of this Content-Type may be read (an empty one may). With sitemaps on, XML, plain
 * text and gzip are let through too. */
bool scrape_spec_type_ok(const struct scrape_spec *s, struct span content_type);

#endif
