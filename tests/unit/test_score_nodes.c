/*
 * The ONNX project's own tests of its operators, as Debian's libonnx-testdata has them: every test
 * whose operators and types are supported must pass. The others are counted by reason, and listed
 * when DROVER_SCORE_LIST is set.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#include "worker/score/graph.h"

#define DATA "/usr/share/libonnx-testdata/data/node"

enum { CASES_MAX = 4000, PATH_BYTES = 1024, PASSED_AT_LEAST = 300 };

/* Tests of operators in training, which are refused: drover only scores. */
static bool is_training(const char *name)
{
    return strstr(name, "training") != NULL;
}

struct outcome {
    size_t passed, failed, operators, types, training;
};

static struct span read_file(const char *path)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (!f)
        return (struct span){NULL, 0};
    assert_int_equal(fstat(fileno(f), &st), 0);
    char *p = malloc((size_t)st.st_size + 1);
    assert_non_null(p);
    assert_int_equal(fread(p, 1, (size_t)st.st_size, f), st.st_size);
    fclose(f);
    return (struct span){p, (size_t)st.st_size};
}

static bool close_enough(const struct tensor *want, const struct tensor *got, size_t i)
{
    if (want->type == ELEM_STR)
        return span_eq(want->str[i], got->str[i]);
    double a = tensor_f64(want, i), b = tensor_f64(got, i);
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    if (isinf(a) || isinf(b))
        return isinf(a) && isinf(b) && (a > 0) == (b > 0);
    return fabs(a - b) <= 1e-7 + 1e-3 * fabs(a); /* as ONNX's own runner compares */
}

static bool same(const struct tensor *want, const struct tensor *got, char why[300])
{
    char a[TENSOR_TEXT_BYTES], b[TENSOR_TEXT_BYTES];
    bool fits = want->type == got->type && want->rank == got->rank;
    for (uint32_t d = 0; fits && d < want->rank; d++)
        fits = want->dims[d] == got->dims[d];
    if (!fits) {
        snprintf(why, 300, "%s where %s is expected", tensor_text(got, b), tensor_text(want, a));
        return false;
    }
    for (size_t i = 0; i < want->n; i++)
        if (!close_enough(want, got, i)) {
            snprintf(why, 300, "element %zu is %.9g, expected %.9g", i, tensor_f64(got, i),
                     tensor_f64(want, i));
            return false;
        }
    return true;
}

/* Input or output number k of a test; false when there is none. */
static bool read_data(const char *dir, const char *kind, size_t k, struct arena *mem,
                      struct tensor *ret, struct error *e)
{
    char path[PATH_BYTES + 100];
    struct onnx_tensor t;
    snprintf(path, sizeof path, "%s/test_data_set_0/%s_%zu.pb", dir, kind, k);
    struct span file = read_file(path);
    if (!file.p)
        return false;
    int rc = onnx_read_tensor(file, mem, &t, e);
    free((char *)file.p);
    if (!rc)
        *ret = t.value;
    return true;
}

static int run_case(const char *dir, struct arena *mem, char why[300], struct error *e)
{
    char path[PATH_BYTES + 100];
    struct onnx_model model;
    struct graph g;
    snprintf(path, sizeof path, "%s/model.onnx", dir);
    struct span file = read_file(path);
    int rc = onnx_read(file, mem, mem, &model, e);
    free((char *)file.p);
    if (rc || (rc = graph_build(&model, mem, mem, &g, e)))
        return rc;
    for (size_t i = 0; i < g.n_nodes; i++)
        if ((rc = graph_prepare(&g, &g.nodes[i], e)))
            return rc;
    const struct tensor **vals = graph_vals(&g, mem);
    for (size_t k = 0; k < g.n_inputs; k++) {
        struct tensor *t = arena_alloc(mem, sizeof *t);
        assert_true(read_data(dir, "input", k, mem, t, e));
        if (e->code)
            return (int)e->code;
        vals[g.inputs[k]] = t;
    }
    if ((rc = graph_run(&g, vals, mem, false, e)))
        return rc;
    for (size_t k = 0; k < g.n_outputs; k++) {
        struct tensor want;
        if (!read_data(dir, "output", k, mem, &want, e) || e->code)
            return (int)e->code;
        if (!same(&want, vals[g.outputs[k]], why))
            return ERR_INTERNAL;
    }
    return ERR_OK;
}

static void one(const char *name, struct outcome *o)
{
    char dir[PATH_BYTES], why[300] = "";
    struct arena mem;
    struct error e = {0};
    snprintf(dir, sizeof dir, DATA "/%s", name);
    arena_init(&mem, 0);
    int rc = run_case(dir, &mem, why, &e);
    arena_done(&mem);
    const char *detail = why[0] ? why : e.detail;
    bool operators = strstr(detail, "of domain") || strstr(detail, "versions") ||
                     strstr(detail, "functions inside") || strstr(detail, "graphs inside");
    bool types = strstr(detail, "which is not supported") || strstr(detail, "not supported for") ||
                 strstr(detail, "are not supported");
    if (rc && rc != ERR_INTERNAL && is_training(name))
        o->training++;
    else if (!rc)
        o->passed++;
    else if (rc != ERR_INTERNAL && operators)
        o->operators++;
    else if (rc != ERR_INTERNAL && types)
        o->types++;
    else
        o->failed++;
    if (rc && (!(operators || types || is_training(name)) || getenv("DROVER_SCORE_LIST")))
        printf("# %s: %s\n", name, detail);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void onnx_nodes(void **state)
{
    static char *names[CASES_MAX];
    size_t n = 0;
    struct outcome o = {0};
    (void)state;
    DIR *dir = opendir(DATA);
    if (!dir) {
        printf("# left out: the package libonnx-testdata is not installed\n");
        skip();
    }
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.' && n < CASES_MAX)
            names[n++] = strdup(entry->d_name);
    closedir(dir);
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        one(names[i], &o);
        free(names[i]);
    }
    printf(
        "# %zu passed, %zu failed; left out: %zu for their operators, %zu for their types, %zu for "
        "training\n",
        o.passed, o.failed, o.operators, o.types, o.training);
    assert_int_equal(o.failed, 0);
    assert_true(o.passed >= PASSED_AT_LEAST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(onnx_nodes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
