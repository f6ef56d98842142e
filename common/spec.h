/*
 * spec.h: the job description (JSON, docs/PROTOCOL.md), checked and compiled.
 *
 * Every error is INVALID_SPEC with the path of the offending value ("stages[0].extract.price.regex,
 * character 5: ..."); unknown keys are errors that name the nearest known one. What a stage may say
 * is its engine's business: engines come in as a table, so that this file depends on none.
 *
 * Thread rule: a struct spec is immutable after spec_parse and may be shared by threads.
 */
#ifndef DROVER_SPEC_H
#define DROVER_SPEC_H

#include <jansson.h>

#include "batch.h"
#include "blob.h"
#include "buf.h"
#include "err.h"
#include "hash.h"
#include "spec_sink.h"

enum {
    SPEC_TEXT_MAX = 1024 * 1024,            /* bytes of a description without input */
    SPEC_TEXT_INPUT_MAX = 64 * 1024 * 1024, /* bytes of one with its input inside */
    SPEC_DEPTH_MAX = 32,                    /* nesting */
    SPEC_STAGES_MAX = 16,
    SPEC_NAME_MAX = 100,      /* [A-Za-z][A-Za-z0-9._:-]*, not "last" */
    SPEC_ITEM_MAX = 64 * 1024 /* bytes of one packed input item */
};

/* The only item of the task that brings together what the others came to (struct spec: gather). No engine
 * takes it as an input. */
#define SPEC_GATHER_ITEM "gather:"

/* Hears of one blob; what it returns other than OK ends the listing and is returned. */
typedef int spec_blob_fn(void *user, const struct blob_name *name);

/* The bytes of blobs that a description names, while it is completed. */
struct spec_files {
    int (*map)(void *user, const struct blob_name *name, struct span *ret, struct error *e);
    void (*unmap)(void *user, struct span bytes);
    void *user;
};

/* What the rest of drover needs to know of an engine before a worker runs it. */
struct spec_engine {
    const char *name; /* "scrape": the stage's "kind" */
    uint32_t kind;    /* bit of wire_kind */
    bool source;      /* takes items: can be the first stage */
    bool follows;     /* takes rows: can come after another */
    /* Compiles the stage object (with its "kind"). input: the columns of the rows that come from the
     * stage before, NULL for the first one. The detail of an error begins with the path inside the stage,
     * without a leading dot; spec.c puts "stages[n]." in front. */
    int (*compile)(const json_t *stage, const struct batch *input, void **ret, struct error *e);
    void (*free)(void *compiled);
    /* Before it is compiled for the first time: writes into the stage what only its blobs tell, such as the
     * columns that a model makes, so that whoever compiles it later needs none of them. Errors as for
     * compile. NULL: there is nothing. */
    int (*complete)(json_t *stage, const struct batch *input, const struct spec_files *files,
                    struct error *e);
    /* The blobs that complete reads, all of them before it is called. There when complete is. */
    int (*wants)(const json_t *stage, spec_blob_fn *fn, void *user, struct error *e);
    /* An empty batch with the columns of the rows that the stage makes; NULL: no memory. */
    struct batch *(*columns)(const void *compiled);
    /* One input: text as the client gives it (a URL) into its packed form (appended to out), the key
     * that limits and shards by (hash), and the hash of its canonical form. depth: 0 for a client's
     * input, more for what was found on the way. INVALID_ARGUMENT says what is wrong with it. */
    int (*item)(const void *compiled, struct span text, uint32_t depth, struct buf *out,
                uint64_t *ret_key, struct hash128 *ret_unique, struct error *e);
    bool (*unique)(const void *compiled);        /* inputs seen before are dropped (crawls) */
    uint32_t (*key_limit)(const void *compiled); /* concurrent uses of a key, fleet-wide; 0: none */
    uint32_t (*key_delay_ms)(const void *compiled); /* between two uses of a key */
    uint32_t (*key_use_ms)(const void *compiled);   /* the longest that one use can take */
    uint64_t (*items_max)(const void *compiled);    /* inputs in all, found ones too; 0: no limit */
    /* Its tasks come to parts of an answer, which have to be brought together. sinks_merge: all sinks of
     * the job add up the rows of one key by themselves. NULL: never. */
    bool (*gathers)(const void *compiled, bool sinks_merge);
    /* So many rejects of the job as a whole end it as failed; -1: any number is good. NULL: -1. */
    int64_t (*rejects_max)(const void *compiled);
    /* The blobs that must be at hand before a task runs: those that the stage itself names (a model,
     * tables) when item.p is NULL, else those of one packed item. NULL: none. */
    int (*blobs)(const void *compiled, struct span item, spec_blob_fn *fn, void *user);
    /* Lines that say what will be done, for people. NULL: its name says it. */
    void (*explain)(const void *compiled, struct buf *out);
};

struct spec_stage {
    const struct spec_engine *engine;
    void *compiled; /* the engine's */
};

struct spec {
    char *name;              /* NULL: none */
    uint8_t priority;        /* 0 to 9, higher sooner; default 5 */
    uint32_t attempts;       /* 1 to 100; default 4 */
    uint32_t backoff_ms;     /* default 1000 */
    uint32_t backoff_max_ms; /* default 60000; at least backoff_ms */
    uint32_t task_items;     /* inputs a task at most: 1 to 10000; default 64 */
    uint32_t run_timeout_ms; /* of one attempt; 0: none */
    uint64_t ttl_ms;         /* results live so long after the job's end; default 7 days */
    uint64_t items_max;      /* inputs in all, found ones too; 0: no limit */
    int64_t rejects_max;     /* the least of the stages'; more rejects fail the job; -1: no limit */
    uint32_t kinds;          /* bits of wire_kind that a worker must have */
    bool unique;             /* of the first stage's engine, as are the next three */
    uint32_t key_limit, key_delay_ms, key_use_ms;
    struct spec_stage *stages;
    size_t n_stages; /* at least 1 */
    size_t
        gather; /* the stage at which tasks end with a part of the answer, which one task more brings
                      together before it goes on with the stages after it; n_stages: none */
    struct batch *columns; /* of the rows that the last stage makes; no rows in it */
    struct spec_sink *sinks;
    size_t n_sinks;         /* at least 1 */
    uint32_t retry_percent; /* retries at most so many for each 100 first attempts; default 10 */
    const json_t *input;    /* array of texts, or NULL; only with with_input */
    json_t *root;           /* private: owns input */
    const struct spec_engine *engines; /* private, as are all that follow: until it is compiled */
    size_t n_engines;
    bool with_input;
    const struct spec_files *files; /* while it is completed */
    bool completed;                 /* some stage was */
};

/* with_input: the description may hold "input" ({"urls": [...]} or {"items": [...]}) and be up to
 * SPEC_TEXT_INPUT_MAX long; otherwise "input" is an error. */
int spec_parse(struct span text, const struct spec_engine *engines, size_t n_engines,
               bool with_input, struct spec **ret, struct error *e) MUST_CHECK;
void spec_free(struct spec *s);

/* The same in steps, for a description that was not seen before: its stages are completed
 * (spec_engine.complete) as well, which may take long. *ret knows no more than its text. */
int spec_open(struct span text, const struct spec_engine *engines, size_t n_engines,
              bool with_input, struct spec **ret, struct error *e) MUST_CHECK;
/* The blobs that it will be completed from; none: it is complete. What fn returns other than OK ends the
 * listing and is returned. */
int spec_wants(const struct spec *s, spec_blob_fn *fn, void *user, struct error *e) MUST_CHECK;
/* files: NULL for one that is complete. *ret_text, which may be NULL: the description from now on, without
 * its input; nothing when it stays as it is. After an error s is good for spec_free alone. Any thread. */
int spec_compile(struct spec *s, const struct spec_files *files, struct buf *ret_text,
                 struct error *e) MUST_CHECK;

/* One input item by the first stage's engine: see spec_engine.item. */
int spec_item(const struct spec *s, struct span text, uint32_t depth, struct buf *out,
              uint64_t *ret_key, struct hash128 *ret_unique, struct error *e) MUST_CHECK;

/* The blobs that every task of the job needs, and those of one packed item: see spec_engine.blobs. A blob
 * may come more than once. */
int spec_blobs(const struct spec *s, spec_blob_fn *fn, void *user) MUST_CHECK;
int spec_item_blobs(const struct spec *s, struct span item, spec_blob_fn *fn,
                    void *user) MUST_CHECK;
/* Whether its tasks may need some, so that they may have to wait for them on their worker. */
bool spec_may_need_blobs(const struct spec *s);

/* What each stage will do, what is gathered or merged where, and the columns of the rows; for people. */
void spec_explain(const struct spec *s, struct buf *out);

/* {"blob": SHA256}, where a stage names a blob. INVALID_SPEC; path: of the value in the stage. For
 * engines. */
int spec_read_blob(const json_t *value, const char *path, struct blob_name *ret,
                   struct error *e) MUST_CHECK;

/* Fails with INVALID_SPEC, naming path and the nearest key, when the object has a key that is not in
 * the list. path "": the root. For engines too. */
int spec_check_keys(const json_t *object, const char *path, const char *const *keys, size_t n,
                    struct error *e) MUST_CHECK;

#endif
