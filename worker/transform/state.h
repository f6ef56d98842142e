/*
 * state.h: what a run over a part of the input found, as bytes: groups, or rows that DISTINCT,
 * ORDER BY and LIMIT still have to look at. The parts of one query can be loaded into any run of
 * it, in any order and by any number of runs on the way, and come to what one run over all would
 * have found.
 *
 * A state is msgpack values, one after the other: version, kind, plan, counts of rows, rejects and
 * results, and then records to the end. A record of a group: its keys, the states of the aggregates
 * (agg.h), and for each count(DISTINCT) the list of values. A record of a row: its values.
 *
 * It knows bytes; what they are parts of is known to group.h and tail.h. Bytes from outside are
 * MALFORMED, or merge to a wrong answer, but do no harm.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_STATE_H
#define DROVER_TRANSFORM_STATE_H

#include "common/unpack.h"
#include "plan.h"
#include "vec.h"

enum { STATE_VERSION = 1 };

enum state_kind { STATE_GROUPS = 1, STATE_ROWS = 2 };

struct state_head {
    enum state_kind kind;
    uint64_t plan; /* state_plan */
    uint64_t rows, rejects, results;
};

/* Tells plans apart whose states do not go together. */
uint64_t state_plan(const struct plan *p);

/* ---- writing ---- */

void state_put_head(struct buf *out, const struct state_head *head);
void state_put(struct buf *out, const struct vec *v, uint32_t i);

/* ---- reading ---- */

struct state_in {
    struct unpack u;
    struct state_head head;
    struct arena arena; /* of the values, until the caller clears it */
    bool no_memory;
};

/* MALFORMED: no state, or of another version, kind or plan. state_in_done is due in any case. */
int state_in_init(struct state_in *in, struct span from, enum state_kind kind, uint64_t plan,
                  struct error *e) MUST_CHECK;
void state_in_done(struct state_in *in);
static inline bool state_in_more(const struct state_in *in)
{
    return in->u.p < in->u.end;
}
/* The next value into row i; what is wrong sticks. */
void state_get(struct state_in *in, struct vec *v, uint32_t i);
int state_in_check(const struct state_in *in, struct error *e) MUST_CHECK; /* MALFORMED, NOMEM */

/* ---- single values, for the states of aggregates ---- */

void state_put_num(struct buf *out, struct num x);
/* False: malformed (u->failed) or no memory. */
bool state_get_num(struct unpack *u, struct arena *a, struct num *ret) MUST_CHECK;
void state_put_interval(struct buf *out, struct interval x);
struct interval state_get_interval(struct unpack *u);
/* Points into the message. UTF-8 without NUL, as everywhere in the engine; nil is empty. */
struct span state_get_text(struct unpack *u);

#endif
