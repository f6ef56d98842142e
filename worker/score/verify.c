#include "verify.h"

#include <math.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/unpack.h"
#include "stage.h"

enum { SAMPLE_VERSION = 1 };

static void free_batch(struct batch **b)
{
    batch_free(*b);
}

static void free_stage(struct score_stage **s)
{
    score_stage_free(*s);
}

static int read_sample(struct span sample, struct batch **ret_in, struct batch **ret_want,
                       struct error *e)
{
    struct unpack u;
    size_t extra;
    unpack_init(&u, sample.p, sample.len);
    unpack_tuple(&u, 3, &extra);
    uint64_t version = unpack_u64(&u);
    struct span in = unpack_raw(&u), want = unpack_raw(&u);
    unpack_skip_n(&u, extra);
    if (!unpack_finished(&u) || version != SAMPLE_VERSION)
        return error_set(e, ERR_MALFORMED, "sample: it is no sample of version %d", SAMPLE_VERSION);
    int rc = batch_unpack(in, ret_in, e);
    if (rc || (rc = batch_unpack(want, ret_want, e)))
        return rc;
    if ((*ret_in)->n_rows != (*ret_want)->n_rows || (*ret_want)->n_columns == 0)
        return error_set(e, ERR_MALFORMED,
                         "sample: %u rows go in, and %u rows of %zu columns come out",
                         (*ret_in)->n_rows, (*ret_want)->n_rows, (*ret_want)->n_columns);
    if ((*ret_in)->n_rows > VERIFY_ROWS_MAX)
        return error_set(e, ERR_LIMIT, "sample: %u rows, over the %d allowed", (*ret_in)->n_rows,
                         VERIFY_ROWS_MAX);
    return ERR_OK;
}

static int differs(const char *name, uint32_t row, const char *detail, struct error *e)
{
    return error_set(e, ERR_INVALID_ARGUMENT,
                     "model: it does not give what its sample expects: row %u, output '%.100s': %s",
                     row, name, detail);
}

static int compare_number(const struct batch *want, size_t w, const struct batch *got, size_t g,
                          uint32_t row, double tolerance, struct error *e)
{
    char text[200];
    bool null = batch_is_null(want, w, row);
    double expected = null ? NAN : batch_get_f64(want, w, row), is = batch_get_f64(got, g, row);
    double difference = fabs(is - expected);
    if ((isnan(expected) && isnan(is)) ||
        (isinf(expected) && isinf(is) && (expected > 0) == (is > 0)))
        return ERR_OK;
    if (difference <= tolerance * fmax(1, fabs(expected)))
        return ERR_OK;
    snprintf(text, sizeof text, "%.9g, not %.9g (a difference of %.3g; %.3g is allowed)", is,
             expected, difference, tolerance * fmax(1, fabs(expected)));
    return differs(want->columns[w].name, row, text, e);
}

static int compare_cell(const struct batch *want, size_t w, const struct batch *got, size_t g,
                        uint32_t row, double tolerance, struct error *e)
{
    char text[300];
    const char *name = want->columns[w].name;
    enum col_type type = got->columns[g].type;
    if (type == COL_FLOAT64)
        return compare_number(want, w, got, g, row, tolerance, e);
    if (batch_is_null(want, w, row))
        return differs(name, row, "a value, not NULL", e);
    if (type == COL_TEXT) {
        struct span a = batch_get_text(got, g, row), b = batch_get_text(want, w, row);
        if (span_eq(a, b))
            return ERR_OK;
        snprintf(text, sizeof text, "'%.*s', not '%.*s'", (int)MIN(a.len, (size_t)100), a.p,
                 (int)MIN(b.len, (size_t)100), b.p);
        return differs(name, row, text, e);
    }
    int64_t a = type == COL_BOOL ? batch_get_bool(got, g, row) : batch_get_i64(got, g, row);
    int64_t b = type == COL_BOOL ? batch_get_bool(want, w, row) : batch_get_i64(want, w, row);
    if (a == b)
        return ERR_OK;
    snprintf(text, sizeof text, "%lld, not %lld", (long long)a, (long long)b);
    return differs(name, row, text, e);
}

/* The rows from `first` that were computed. */
static int compare(const struct batch *want, const struct batch *got, uint32_t first,
                   double tolerance, struct error *e)
{
    for (size_t w = 0; w < want->n_columns; w++) {
        const struct column *c = &want->columns[w];
        size_t g = 0;
        while (g < got->n_columns && strcmp(got->columns[g].name, c->name) != 0)
            g++;
        if (g == got->n_columns)
            return error_set(e, ERR_INVALID_ARGUMENT, "sample: the model has no output '%.100s'",
                             c->name);
        if (c->type != got->columns[g].type)
            return error_set(e, ERR_INVALID_ARGUMENT,
                             "sample: output '%.100s' is %s in the sample and %s in the model",
                             c->name, col_type_name(c->type), col_type_name(got->columns[g].type));
        for (uint32_t row = first; row < got->n_rows; row++) {
            int rc = compare_cell(want, w, got, g, row, tolerance, e);
            if (rc)
                return rc;
        }
    }
    return ERR_OK;
}

/* In steps, so that a row that comes out differently is told at once, and time is looked at. */
static int run_and_compare(const struct score_stage *stage, const struct batch *in,
                           const struct batch *want, struct batch *got, double tolerance,
                           uint32_t limit_ms, struct error *e)
{
    CLEANUP(score_scratch_done) struct score_scratch scratch;
    const uint64_t start_ms = clock_ms();
    struct error why = {0};
    int rc = ERR_OK;
    score_scratch_init(&scratch);
    for (uint32_t step = 1, first = 0; first < in->n_rows && rc == ERR_OK; first += step) {
        step = MIN(first + 1, (uint32_t)SCORE_BLOCK_ROWS);
        step = MIN(step, in->n_rows - first);
        rc = score_stage_run_some(stage, &scratch, in, first, step, got, &why);
        if (rc)
            return error_set(e, (enum err)rc, "sample: %s", why.detail);
        rc = compare(want, got, first, tolerance, e);
        if (limit_ms && clock_ms() - start_ms > limit_ms)
            break;
    }
    return rc;
}

int score_verify(struct score_model *m, struct span sample, double tolerance, uint32_t limit_ms,
                 struct error *e)
{
    CLEANUP(free_batch) struct batch *in = NULL;
    CLEANUP(free_batch) struct batch *want = NULL;
    CLEANUP(free_batch) struct batch *got = NULL;
    CLEANUP(free_stage) struct score_stage *stage = NULL;
    struct error why = {0};
    if (sample.len > VERIFY_BYTES_MAX)
        return error_set(e, ERR_LIMIT, "sample: it has %zu bytes; the limit is %d", sample.len,
                         VERIFY_BYTES_MAX);
    int rc = read_sample(sample, &in, &want, e);
    if (rc)
        return rc;
    rc = score_stage_compile(NULL, m, in, &stage, &why);
    if (rc)
        return error_set(e, (enum err)rc, "sample: %s", why.detail);
    got = score_stage_columns(stage);
    if (!got)
        return error_set(e, ERR_NOMEM, "sample: no memory left");
    return run_and_compare(stage, in, want, got, tolerance, limit_ms, e);
}
