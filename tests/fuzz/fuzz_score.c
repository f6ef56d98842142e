/*
 * fuzz_score.c: any bytes as a model. One that loads scores a few rows with odd values; its size picks
 * the kernel of its forests.
 */
#include <math.h>
#include <stdio.h>

#include "worker/score/score.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS = 9, COLUMNS_MAX = 64 };

/* A batch with a column for each element of each input, and the stage that feeds them. */
static json_t *make_columns(const struct score_model *m, struct batch *b)
{
    json_t *inputs = json_object();
    size_t n = 0;
    for (size_t i = 0; i < m->graph.n_inputs; i++) {
        const struct value *v = &m->graph.values[m->graph.inputs[i]];
        json_t *names = json_array();
        for (size_t k = 0; k < score_input_width(m, i) && n < COLUMNS_MAX; k++, n++) {
            char name[32];
            snprintf(name, sizeof name, "c%zu", n);
            int rc = batch_add_column(b, name,
                                      v->shape.type == ELEM_STR    ? COL_TEXT
                                      : v->shape.type == ELEM_BOOL ? COL_BOOL
                                      : elem_float(v->shape.type)  ? COL_FLOAT64
                                                                   : COL_INT64);
            assert(rc == ERR_OK);
            json_array_append_new(names, json_string(name));
        }
        json_object_set_new_nocheck(inputs, v->name, names);
    }
    return json_pack("{s:s, s:o}", "kind", "score", "inputs", inputs);
}

static void fill(struct batch *b)
{
    static const struct span texts[] = {SPAN(""), SPAN("a"), SPAN("A b, \xc3\x9cn b-a 12")};
    static const double odd[] = {0, -0.0, 1, -1.5, 1e30, -1e300, 0.5};
    for (uint32_t r = 0; r < ROWS; r++) {
        for (size_t c = 0; c < b->n_columns; c++) {
            size_t k = (r * 7 + c) % (ARRAY_LEN(odd) + 2);
            if (b->columns[c].type == COL_TEXT)
                batch_text(b, c, texts[k % ARRAY_LEN(texts)]);
            else if (b->columns[c].type == COL_BOOL)
                batch_bool(b, c, k % 2);
            else if (b->columns[c].type == COL_INT64)
                batch_i64(b, c, (int64_t)k - 3);
            else
                batch_f64(b, c, k < ARRAY_LEN(odd) ? odd[k] : k == ARRAY_LEN(odd) ? NAN : INFINITY);
        }
        batch_row_end(b);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const kernels[] = {"walk", "lockstep", "quick", "quick-scalar"};
    const struct score_options options = {.kernel = kernels[size % ARRAY_LEN(kernels)]};
    struct span file = {(const char *)data, size};
    struct error e = {0};
    struct score_model *m;
    struct score_stage *stage;
    if (score_load(file, &options, &m, &e)) {
        assert(e.code != ERR_OK && e.detail[0]);
        return 0;
    }
    struct batch *in = batch_new();
    json_t *json = make_columns(m, in);
    fill(in);
    if (score_stage_compile(json, m, in, &stage, &e) == ERR_OK) {
        struct score_scratch scratch;
        struct batch *out = score_stage_columns(stage);
        score_scratch_init(&scratch);
        assert(out);
        if (score_stage_run(stage, &scratch, in, out, &e) == ERR_OK)
            assert(out->n_rows == ROWS);
        else
            assert(e.detail[0]);
        score_scratch_done(&scratch);
        batch_free(out);
        score_stage_free(stage);
    }
    json_decref(json);
    batch_free(in);
    score_unref(m);
    return 0;
}
