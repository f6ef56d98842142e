/*
 * pipeline.h: a job's stages, ready to run: the seam where the rows of one stage become the input of
 * the next, inside one worker and without a shuffle.
 *
 *     items -> [source] -> rows -> [stage] -> rows -> [stage] -> rows -> runner -> sinks
 *
 * A source takes a task's items. One whose place is PIPELINE_INLINE is a function that is called; one
 * whose place is PIPELINE_LOOP waits for the network, and the runner drives it on its loops. Every
 * other stage replaces the rows of an output by its own. A new stage is one row in the table of
 * kinds. The sink `store` needs no code here: the rows go back in the task's RESULT.
 *
 * It knows nothing of sessions, threads, or where the rows go.
 *
 * Thread rule: a pipeline is immutable and may be used by any number of threads; references are
 * counted by one thread.
 */
#ifndef DROVER_PIPELINE_H
#define DROVER_PIPELINE_H

#include "common/spec.h"

struct output;

enum pipeline_place { PIPELINE_INLINE, PIPELINE_LOOP };

struct pipeline_kind {
    uint32_t kind; /* bit of wire_kind */

    /* ---- a source; only for the first stage ---- */
    bool source;
    enum pipeline_place place;
    bool parts; /* what a task comes to may be other at another attempt, or only a part of it */
    /* INLINE: runs the task. items: a packed array. */
    int (*run)(const void *compiled, struct span items, struct output *o, struct error *e);

    /* ---- any other stage: open, process, close, once for each task on the task's thread ---- */
    int (*open)(const void *compiled, void **ret_state, struct error *e);
    /* Replaces o->rows (and may add rejects and stats). */
    int (*process)(void *state, struct output *o, struct error *e);
    void (*close)(void *state);
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
/* From the text of a job's description. with_input: as for spec_parse. */
int pipeline_parse(struct span text, bool with_input, struct pipeline **ret,
                   struct error *e) MUST_CHECK;
struct pipeline *pipeline_ref(struct pipeline *p);
void pipeline_unref(struct pipeline *p); /* takes NULL */

enum pipeline_place pipeline_place(const struct pipeline *p);
bool pipeline_parts(const struct pipeline *p);         /* of the source */
const void *pipeline_source(const struct pipeline *p); /* the first stage, compiled */

/* A new output with the source's columns. NULL: no memory. */
struct output *pipeline_output(const struct pipeline *p) MUST_CHECK;

/* Runs an inline source, then the stages after it. */
void pipeline_run(const struct pipeline *p, struct span items, struct output *o);
/* Runs the stages after the source over what the source made. An error is noted in the output;
 * nothing is done when there is one already. */
void pipeline_follow(const struct pipeline *p, struct output *o);

/* Notes a failure of the whole task. reason: static. */
void pipeline_fail(struct output *o, enum err code, const char *reason, const char *detail);

#endif
