/*
 * pipeline.h: a job's stages, ready to run: the seam where the rows of one stage become the input of
 * the next, inside one worker and without a shuffle.
 *
 *     items -> [source] -> rows -> [stage] -> rows -> [stage] -> rows -> runner -> sinks
 *
 * A source takes a task's items. One whose place is PIPELINE_INLINE is a function that is called; one
 * whose place is PIPELINE_POOL computes for long, and the runner calls it on a thread of its pool; one
 * whose place is PIPELINE_LOOP waits for the network, and the runner drives it on its loops. Every
 * other stage makes rows of its own from those before it, a piece after the other (flow.h). A new
 * stage is one row in the table of kinds. The sink `store` needs no code here: the rows go back in the task's RESULT.
 *
 * A stage may gather (GROUP BY, ORDER BY): then its tasks come to partial states instead of rows, and
 * when all are done, one more task (or `run`, at its end) brings the states together and goes on with
 * the stages after it:
 *
 *     task 1 -> [source] -> [gathering stage] -> partial --.
 *     task 2 -> [source] -> [gathering stage] -> partial ---+--> pipeline_gather_* -> [stage] -> rows
 *
 * It knows nothing of sessions, threads, or where the rows go.
 *
 * Thread rule: a pipeline is immutable and may be used by any number of threads; references are
 * counted by one thread.
 */
#ifndef DROVER_PIPELINE_H
#define DROVER_PIPELINE_H

#include <stdatomic.h>

#include "common/spec.h"

struct blobset;
struct flow;
struct inputs;
struct output;

enum pipeline_place { PIPELINE_INLINE, PIPELINE_POOL, PIPELINE_LOOP };

/* Takes text that is ready, e.g. whole lines; called by one thread at a time. */
typedef int pipeline_text_fn(void *user, const void *p, size_t n, struct error *e);

/* Where the last stage's rows go at once, instead of into the output. */
struct pipeline_text {
    bool csv;              /* else NDJSON */
    pipeline_text_fn *put; /* of a source, which makes the text itself */
    int (*rows)(void *user, const struct batch *rows, struct error *e); /* of a later stage */
    void *user;
};

/* What a source that is called gets, beside its stage. */
struct pipeline_call {
    struct span items;                /* a packed array */
    const struct blobset *blobs;      /* all that the job and the items need; NULL: none */
    const struct inputs *inputs;      /* files that may be read; NULL: none */
    const atomic_bool *cancelled;     /* NULL: never. When true, it ends soon, with STALE */
    bool partial;                     /* the stage gathers: fill o->partial, and make no rows */
    const struct pipeline_text *text; /* NULL: rows go into o->rows */
    struct flow *flow;                /* takes rows early, in pieces (flow_rows); NULL: nobody */
};

struct pipeline_kind {
    uint32_t kind; /* bit of wire_kind */

    /* ---- as the first stage ---- */
    enum pipeline_place place;
    bool parts; /* what a task comes to may be other at another attempt, or only a part of it */
    /* INLINE, POOL: runs the task. NULL: it cannot be the first, unless its place is LOOP. */
    int (*run)(const void *compiled, const struct pipeline_call *call, struct output *o,
               struct error *e);

    /* ---- as any other stage, and to gather: open, process, end, close; once for each task, on the
     * task's thread. open NULL: it can only be the first. ---- */
    int (*open)(const void *compiled, const struct blobset *blobs, void **ret_state,
                struct error *e);
    /* Takes rows in, and appends to out what it has (rejects and stats go to o). Once for each piece. */
    int (*process)(void *state, const struct batch *in, struct output *o, struct batch *out,
                   struct error *e);
    int (*end)(void *state, struct output *o, struct batch *out, struct error *e);
    void (*close)(void *state);

    /* ---- a stage that may gather (spec_engine.gathers) ---- */
    int (*save)(void *state, struct buf *partial, struct error *e); /* instead of end */
    int (*load)(void *state, struct span partial, struct error *e); /* MALFORMED, LIMIT */
};

/* The kinds of this build. */
extern const struct pipeline_kind pipeline_kinds[];
extern const size_t pipeline_n_kinds;

struct pipeline {
    struct spec *spec;                                  /* owned */
    const struct pipeline_kind *kinds[SPEC_STAGES_MAX]; /* of the stages, in order */
    uint32_t references;
    /* What names the job in sinks; set by who made the pipeline, before the first task. */
    uint8_t uid[16];
    uint64_t generation;
};

/* Takes the spec (also when it fails). INVALID_SPEC: a stage of a kind that is not in the table. */
int pipeline_new(struct spec *spec_take, const struct pipeline_kind *kinds, size_t n_kinds,
                 struct pipeline **ret, struct error *e) MUST_CHECK;
/* From the text of a job's description. with_input: as for spec_parse. files: it was not seen before
 * (spec_compile); NULL: it was. */
int pipeline_parse(struct span text, bool with_input, const struct spec_files *files,
                   struct pipeline **ret, struct error *e) MUST_CHECK;
struct pipeline *pipeline_ref(struct pipeline *p);
void pipeline_unref(struct pipeline *p); /* takes NULL */

enum pipeline_place pipeline_place(const struct pipeline *p);
bool pipeline_parts(const struct pipeline *p);         /* of the source */
const void *pipeline_source(const struct pipeline *p); /* the first stage, compiled */

/* Whether tasks come to partial states, which have to be brought together. */
bool pipeline_gathers(const struct pipeline *p);
/* Whether these are the items of the task that does it. */
bool pipeline_is_gather(const struct pipeline *p, struct span items);

/* A new output with the source's columns. NULL: no memory. */
struct output *pipeline_output(const struct pipeline *p) MUST_CHECK;

/* Runs a source that is called, then the stages after it. */
void pipeline_run(const struct pipeline *p, const struct pipeline_call *call, struct output *o);
/* Runs the stages after the source over what the source made, up to one that gathers. An error is noted
 * in the output; nothing is done when there is one already. */
void pipeline_follow(const struct pipeline *p, const struct blobset *blobs, struct output *o);

/* Every blob that a task with these items needs: see spec_blobs. MALFORMED: items. */
int pipeline_blobs(const struct pipeline *p, struct span items, spec_blob_fn *fn,
                   void *user) MUST_CHECK;

/* ---- bringing partial states together ---- */

struct pipeline_gather;

/* blobs: those of the job; borrowed until the end. */
int pipeline_gather_new(const struct pipeline *p, const struct blobset *blobs,
                        struct pipeline_gather **ret, struct error *e) MUST_CHECK;
int pipeline_gather_add(struct pipeline_gather *g, struct span partial, struct error *e) MUST_CHECK;
/* The rows of the gathering stage, and of those after it, into o. An error is noted there. */
void pipeline_gather_end(struct pipeline_gather *g, struct output *o);
void pipeline_gather_free(struct pipeline_gather *g); /* takes NULL */

/* All of it: parts are packed arrays of one binary each. */
void pipeline_gather_run(const struct pipeline *p, const struct blobset *blobs, struct span parts,
                         const atomic_bool *cancelled, struct output *o);

/* Notes a failure of the whole task. reason: static. */
void pipeline_fail(struct output *o, enum err code, const char *reason, const char *detail);

#endif
