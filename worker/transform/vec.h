/*
 * vec.h: a column of up to VEC_ROWS values of one type, and the selection of rows that an operator
 * works on. Kernels read and write them in place: row i of every vector is the same row.
 *
 * Text cells are borrowed: they point into the reader's block, into a constant, or into the scratch
 * memory of the block of rows. Each may be read VEC_PAD bytes past its end (and an empty one has an
 * address), so that kernels can load whole words. A numeric cell is a mantissa and a scale of its
 * own; one that does not fit (scale NUM_BIG) has the address of a struct big as its mantissa.
 * What the data of a NULL row is, is not defined.
 *
 * Thread rule: one owner at a time.
 */
#ifndef DROVER_TRANSFORM_VEC_H
#define DROVER_TRANSFORM_VEC_H

#include "calendar.h"
#include "num.h"
#include "sqltype.h"

enum {
    VEC_ROWS = 1024, /* of one block: what a dozen vectors need stays in the second-level cache */
    VEC_WORDS = VEC_ROWS / 64,
    VEC_PAD = 64,
    VEC_MIXED = -1 /* no scale that all rows share */
};

struct vec {
    enum sqltype type;
    bool constant;   /* all rows hold the same; NULL then means that all are */
    bool has_nulls;  /* else the bitmap is not valid */
    bool ascii;      /* TEXT, JSON: no byte of a row that is not NULL is above 127 */
    int scale;       /* NUMERIC: of all rows, none of which is big; or VEC_MIXED */
    uint8_t *scales; /* NUMERIC, when mixed */
    union {
        uint8_t *b8;
        int64_t *i64; /* INT4, INT8; DATE, TIMESTAMP, TIMESTAMPTZ; NUMERIC: mantissas */
        double *f64;
        struct span *text; /* TEXT, JSON */
        struct interval *interval;
    };
    uint64_t nulls[VEC_WORDS]; /* bit i % 64 of word i / 64 */
};

/* Rows in ascending order: rows[0 .. n), or 0 .. n-1 when rows is NULL. */
struct sel {
    const uint16_t *rows;
    uint32_t n;
};

/* for (i over the rows of a selection) */
#define SEL_EACH(sel, i)                                                                           \
    for (uint32_t sel_k_ = 0, i = 0;                                                               \
         sel_k_ < (sel)->n && (i = (sel)->rows ? (sel)->rows[sel_k_] : sel_k_, true); sel_k_++)

int vec_init(struct vec *v, enum sqltype type) MUST_CHECK; /* NOMEM */
void vec_done(struct vec *v);

static inline bool vec_is_null(const struct vec *v, uint32_t i)
{
    return v->has_nulls && (v->nulls[i / 64] >> (i % 64) & 1);
}

/* No row is NULL. */
static inline void vec_no_nulls(struct vec *v)
{
    v->has_nulls = false;
}

static inline void vec_set_null(struct vec *v, uint32_t i)
{
    if (!v->has_nulls) {
        memset(v->nulls, 0, sizeof v->nulls);
        v->has_nulls = true;
    }
    v->nulls[i / 64] |= UINT64_C(1) << (i % 64);
}

static inline struct num vec_num(const struct vec *v, uint32_t i)
{
    return num_unpack(v->i64[i], v->scale == VEC_MIXED ? v->scales[i] : (uint8_t)v->scale);
}

/* Only for a vector whose scale is VEC_MIXED. */
static inline void vec_put_num(struct vec *v, uint32_t i, struct num x)
{
    v->i64[i] = num_pack(x, &v->scales[i]);
}

/* After rows were put one by one: sees whether they share a scale after all. */
void vec_settle_scale(struct vec *v, const struct sel *sel);

/* The rows of sel that are not NULL in v, into room (VEC_ROWS entries). */
struct sel vec_not_null(const struct vec *v, const struct sel *sel, uint16_t *room);

/* Copies the given rows; the types are the same. */
void vec_copy(struct vec *to, const struct vec *from, const struct sel *sel);

#endif
