/*
 * eval.h: runs checked expressions over a block of rows. Each node has a vector; constants are
 * vectors that are filled once. What is wrong with a row (a division by zero, a text that is no
 * number) is noted as a fault, the first one of each row, and the row is then nobody's result.
 *
 * Thread rule: one owner at a time; the expressions may be shared.
 */
#ifndef DROVER_TRANSFORM_EVAL_H
#define DROVER_TRANSFORM_EVAL_H

#include "expr.h"
#include "fault.h"

enum { EVAL_SCRATCH_MAX = 64 * 1024 * 1024 /* bytes of one block's results */ };

struct eval_fault {
    uint32_t row;
    const char *reason; /* fault.h */
    const char *column; /* NULL: it came from computing */
    uint32_t at;        /* byte offset in the SQL text, when column is NULL */
    struct span value;  /* what did not parse; valid as long as the block */
};

struct eval {
    struct arena scratch;  /* of a block of rows */
    char *room, *room_end; /* for texts, from the scratch */
    struct vec *columns;   /* by number */
    size_t n_columns;
    struct vec *nodes; /* by id */
    size_t n_nodes;
    bool bad_is_null; /* a text that is no value of its type becomes NULL */
    uint64_t bad[VEC_WORDS];
    struct eval_fault *faults; /* VEC_ROWS; one for each bit of bad */
    uint32_t n_faults;
    int error; /* NOMEM or LIMIT: the block has no result */
    /* Written when there is no memory, never part of a result. */
    char lost[VEC_PAD * 2];
    uint16_t lost_rows[VEC_ROWS];
};

/* nodes: all expressions that will be run, by id. columns: their types. */
int eval_init(struct eval *v, const struct expr *const *nodes, size_t n_nodes,
              const enum sqltype *columns, size_t n_columns) MUST_CHECK;
void eval_done(struct eval *v);
void eval_block(struct eval *v); /* begins a block: forgets scratch and faults */
void eval_forget_faults(struct eval *v);
/* OK, or LIMIT: the block has no result, whatever came out of it, since there was not enough memory. */
int eval_check(const struct eval *v, struct error *e) MUST_CHECK;

/* The vector of the expression, valid in the rows of sel. */
const struct vec *eval_run(struct eval *v, const struct expr *e, const struct sel *sel);

/* Memory of the block for texts: n bytes, with VEC_PAD more that may be read and written. Never
 * NULL: a failure is noted in v->error, and then the memory is good for nothing but n <= VEC_PAD.
 * */
char *eval_room(struct eval *v, size_t n);
/* Keeps the first n bytes of what eval_room gave. */
static inline struct span eval_keep(struct eval *v, size_t n)
{
    struct span s = {v->room, n};
    v->room += n;
    return s;
}

void eval_fault(struct eval *v, uint32_t row, const char *reason, const struct expr *at);
void eval_fault_value(struct eval *v, uint32_t row, const char *reason, const char *column,
                      uint32_t at, struct span value);

/* The rows of sel without those that have a fault, into room. */
struct sel eval_good(const struct eval *v, const struct sel *sel, uint16_t *room);

/* The rows of sel in which a boolean vector is true, into room. */
struct sel eval_true(const struct vec *v, const struct sel *sel, uint16_t *room);

#endif
