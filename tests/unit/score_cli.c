/*
 * score_cli.c: drives the score engine from the command line, for the tests of the engine alone and
 * for measuring it.
 *
 * usage: score_cli --model FILE [--stage JSON] [--kernel NAME] [--explain] [--verify SAMPLE]
 *                  [--tolerance X] [--batch FILE  > out]
 *        score_cli --model FILE --f32 FILE [--kernel NAME] [--seconds S]
 *
 * --batch takes rows in the packed form of common/batch.h and writes the results in the same form;
 * --pieces cuts them into N runs. --f32 takes rows of float32 numbers, as many a row as the model's
 * only input takes, and measures: rows/s of a stage over a batch of float64 columns, rows/s of the
 * graph over float32 columns, and the microseconds of a single row. --kernel is one of tree.h.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "worker/score/score.h"

enum { MEASURED_ROWS = 65536 };

struct cli {
    const char *model, *stage, *kernel, *verify, *batch, *f32;
    double tolerance, seconds;
    bool explain;
};

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "score_cli: %s: %s\n", what, detail);
    exit(2);
}

static void check(int rc, const struct error *e)
{
    if (rc)
        die(err_name((enum err)rc), e->detail);
}

static struct span read_file(const char *path)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &st))
        die(path, strerror(errno));
    char *p = malloc((size_t)st.st_size + 1);
    if (!p || fread(p, 1, (size_t)st.st_size, f) != (size_t)st.st_size)
        die(path, "cannot be read");
    fclose(f);
    return (struct span){p, (size_t)st.st_size};
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* others use this machine too */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void arguments(struct cli *c, int argc, char **argv)
{
    *c = (struct cli){.tolerance = VERIFY_TOLERANCE, .seconds = 1};
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(a, "--explain") == 0) {
            c->explain = true;
            continue;
        }
        if (!value)
            die(a, "a value is wanted");
        i++;
        if (strcmp(a, "--model") == 0)
            c->model = value;
        else if (strcmp(a, "--stage") == 0)
            c->stage = value;
        else if (strcmp(a, "--kernel") == 0)
            c->kernel = value;
        else if (strcmp(a, "--verify") == 0)
            c->verify = value;
        else if (strcmp(a, "--tolerance") == 0)
            c->tolerance = strtod(value, NULL);
        else if (strcmp(a, "--batch") == 0)
            c->batch = value;
        else if (strcmp(a, "--f32") == 0)
            c->f32 = value;
        else if (strcmp(a, "--seconds") == 0)
            c->seconds = strtod(value, NULL);
        else
            die(a, "is no option");
    }
    if (!c->model)
        die("arguments", "see the comment at the top of score_cli.c");
}

/* ---- rows of a batch ---- */

static void run_batch(const struct cli *c, struct score_model *m)
{
    struct span file = read_file(c->batch);
    struct error e = {0};
    struct batch *in;
    struct score_stage *stage;
    struct score_scratch scratch;
    struct buf wire = {0};
    json_t *json = c->stage ? json_loads(c->stage, 0, NULL) : NULL;
    if (c->stage && !json)
        die("--stage", "is no JSON");
    check(batch_unpack(file, &in, &e), &e);
    check(score_stage_compile(json, m, in, &stage, &e), &e);
    struct batch *out = score_stage_columns(stage);
    score_scratch_init(&scratch);
    check(score_stage_run(stage, &scratch, in, out, &e), &e);
    batch_pack(out, &wire);
    fwrite(wire.data, 1, wire.len, stdout);
    buf_done(&wire);
    score_scratch_done(&scratch);
    batch_free(out);
    score_stage_free(stage);
    batch_free(in);
    json_decref(json);
    free((char *)file.p);
}

/* ---- measuring ---- */

struct measured {
    const struct score_model *m;
    struct score_scratch scratch;
    float **columns;
    size_t width, rows;
    double sum; /* of the results: what is measured is really done */
};

static void run_tensors(struct measured *w, size_t first, size_t n)
{
    const struct graph *g = &w->m->graph;
    const struct tensor *out[ONNX_PORTS_MAX];
    struct error e = {0};
    score_scratch_clear(&w->scratch);
    const float **cols = arena_alloc(&w->scratch.mem, w->width * sizeof *cols);
    for (size_t c = 0; c < w->width; c++)
        cols[c] = w->columns[c] + first;
    struct tensor in = {.type = ELEM_F32,
                        .rank = 2,
                        .dims = {(int64_t)n, (int64_t)w->width},
                        .n = n * w->width,
                        .cols = cols};
    check(score_run_tensors(w->m, &in, n, &w->scratch, out, &e), &e);
    const struct tensor *last = out[g->n_outputs - 1];
    w->sum += tensor_f64(last, last->n - 1);
}

static double rows_per_s(struct measured *w, double seconds)
{
    double start = now_s(), took = 0;
    size_t done = 0;
    while (took < seconds) {
        for (size_t first = 0; first < w->rows; first += SCORE_BLOCK_ROWS) {
            size_t n = MIN((size_t)SCORE_BLOCK_ROWS, w->rows - first);
            run_tensors(w, first, n);
            done += n;
        }
        took = now_s() - start;
    }
    return (double)done / took;
}

static double single_row_us(struct measured *w, double seconds)
{
    double start = now_s(), took = 0;
    size_t done = 0;
    while (took < seconds) {
        for (size_t first = 0; first < MIN(w->rows, (size_t)2048); first++, done++)
            run_tensors(w, first, 1);
        took = now_s() - start;
    }
    return took / (double)done * 1e6;
}

static double stage_rows_per_s(const struct measured *w, struct score_model *m, double seconds)
{
    struct batch *in = batch_new();
    struct score_stage *stage;
    struct score_scratch scratch;
    struct error e = {0};
    char name[32];
    for (size_t c = 0; c < w->width; c++) {
        snprintf(name, sizeof name, "c%zu", c);
        if (batch_add_column(in, name, COL_FLOAT64))
            die("batch", "too many columns");
    }
    for (size_t r = 0; r < w->rows; r++) {
        for (size_t c = 0; c < w->width; c++)
            batch_f64(in, c, (double)w->columns[c][r]);
        batch_row_end(in);
    }
    check(score_stage_compile(NULL, m, in, &stage, &e), &e);
    struct batch *out = score_stage_columns(stage);
    score_scratch_init(&scratch);
    double start = now_s(), took = 0;
    size_t done = 0;
    while (took < seconds) {
        batch_clear(out);
        check(score_stage_run(stage, &scratch, in, out, &e), &e);
        done += w->rows;
        took = now_s() - start;
    }
    score_scratch_done(&scratch);
    batch_free(out);
    score_stage_free(stage);
    batch_free(in);
    return (double)done / took;
}

static void measure(const struct cli *c, struct score_model *m)
{
    struct span file = read_file(c->f32);
    struct measured w = {.m = m, .width = score_input_width(m, 0)};
    const float *from = (const float *)(const void *)file.p;
    if (m->graph.n_inputs != 1 || m->one_row)
        die("--f32", "the model must have one input, for any number of rows");
    w.rows = MIN(file.len / (w.width * sizeof(float)), (size_t)MEASURED_ROWS);
    if (w.rows == 0)
        die("--f32", "it has no whole row");
    w.columns = calloc(w.width, sizeof *w.columns);
    for (size_t k = 0; w.columns && k < w.width; k++) {
        w.columns[k] = malloc(w.rows * sizeof(float));
        for (size_t r = 0; w.columns[k] && r < w.rows; r++)
            w.columns[k][r] = from[r * w.width + k];
    }
    score_scratch_init(&w.scratch);
    double tensors = rows_per_s(&w, c->seconds);
    double single = single_row_us(&w, c->seconds / 4);
    double stage = stage_rows_per_s(&w, m, c->seconds);
    printf("{\"rows_per_s\": %.0f, \"stage_rows_per_s\": %.0f, \"single_us\": %.3f, \"sum\": %g}\n",
           tensors, stage, single, w.sum);
    score_scratch_done(&w.scratch);
    for (size_t k = 0; k < w.width; k++)
        free(w.columns[k]);
    free(w.columns);
    free((char *)file.p);
}

int main(int argc, char **argv)
{
    struct cli c;
    struct error e = {0};
    struct score_model *m;
    arguments(&c, argc, argv);
    struct span file = read_file(c.model);
    const struct score_options options = {.kernel = c.kernel};
    check(score_load(file, &options, &m, &e), &e);
    free((char *)file.p);
    if (c.explain) {
        struct buf text = {0};
        score_explain(m, &text);
        fwrite(text.data, 1, text.len, stdout);
        buf_done(&text);
    }
    if (c.verify) {
        struct span sample = read_file(c.verify);
        check(score_verify(m, sample, c.tolerance, 0, &e), &e);
        free((char *)sample.p);
    }
    if (c.batch)
        run_batch(&c, m);
    if (c.f32)
        measure(&c, m);
    score_unref(m);
    return 0;
}
