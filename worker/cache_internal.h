/*
 * cache_internal.h: what the files of the cache share. Nobody else includes it.
 *
 *   cache.c        blobs, needs, the disk, the bound
 *   cache_fetch.c  questions and answers
 *
 * Thread rule: as cache.h.
 */
#ifndef DROVER_CACHE_INTERNAL_H
#define DROVER_CACHE_INTERNAL_H

#include "cache.h"
#include "worker/blob_folder.h"

enum { CACHE_BUCKETS = 1024 };

enum cache_entry_state {
    ENTRY_FOUND,
    ENTRY_PART,
    ENTRY_VERIFYING,
    ENTRY_WANTED,
    ENTRY_HERE,
    ENTRY_FAILED
};

/* COMING is WANTED with its total known. */
struct cache_entry {
    struct blob_name name;
    enum cache_entry_state state;
    uint32_t refs;   /* of needs */
    uint32_t asks;   /* questions without an answer */
    uint32_t writes; /* requests on the disk */
    bool resumes; /* WANTED: an earlier process had begun; the first write tells how far it came */
    bool total_known;
    uint64_t bytes;      /* HERE; WANTED: when the total is known */
    uint64_t asked, got; /* WANTED: asked for, and answered, up to there */
    uint64_t best;       /* the farthest that `got` has been */
    uint32_t tries;      /* failures since then */
    uint64_t pause_until_ms;
    struct error error; /* FAILED */
    struct cache_entry *chain;
    struct cache_entry *prev, *next; /* in the list of its kind: unused, or wanted */
    struct cache_list *list;         /* NULL: in none */
};

struct cache_list {
    struct cache_entry *first, *last;
};

struct cache_need {
    struct cache *owner;
    struct blobset set;
    struct cache_need *prev, *next; /* oldest first */
    size_t n;
    struct cache_entry *entries[];
};

struct cache_flight {
    struct blob_name name;
    uint64_t offset, at_ms;
    uint32_t max;
};

struct cache {
    struct cache_config config;
    struct blob_folder folder;
    struct blob_thread *thread; /* NULL: no folder yet */
    struct blob_files *files;   /* the thread's; here files are opened by it */
    struct cache_entry *buckets[CACHE_BUCKETS];
    struct cache_list unused; /* FOUND and HERE without needs, least recently used first */
    struct cache_list wanted; /* in the order of asking */
    struct cache_need *oldest, *newest;
    uint64_t bytes; /* of all entries whose total is known */
    struct cache_flight flights[CACHE_ASKS_MAX];
    size_t n_flights;
    uint32_t window; /* bytes asked for at a time */
    uint64_t fetched_bytes;
    uint64_t now_ms; /* of the last call that told it */
};

/* One piece on its way to the disk, or another request. */
struct cache_disk {
    struct blob_request request; /* first: what comes back is cast */
    char bytes[];
};

struct cache_entry *cache_find(struct cache *c, const struct blob_name *name);
void cache_set_total(struct cache *c, struct cache_entry *one, uint64_t bytes);
/* Nothing of it is on the disk; it is to be fetched from the beginning. */
void cache_want(struct cache *c, struct cache_entry *one);
/* Where it belongs when it lost its last need, or its last request came back. */
void cache_settle(struct cache *c, struct cache_entry *one);
/* Room for n more bytes, as far as there is something unused. */
void cache_make_room(struct cache *c, uint64_t n);
void cache_fail(struct cache_entry *one, enum err code, const char *detail);
/* After a pause it is tried again, until it has failed too often. */
void cache_failed_once(struct cache *c, struct cache_entry *one, const char *detail);
/* A request of the blob thread, with room for n bytes. NULL: no memory. */
struct cache_disk *cache_disk_new(const struct cache_entry *one, enum blob_do what, size_t n);
void cache_disk_submit(struct cache *c, struct cache_entry *one, struct cache_disk *d);

#endif
