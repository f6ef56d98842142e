#include "conformance.h"

enum { TESTS_MAX = 200 };

static struct CMUnitTest all[TESTS_MAX];
static size_t n_all;

static void add(const struct CMUnitTest *tests, size_t n)
{
    assert(n_all + n <= TESTS_MAX);
    if (n > 0)
        memcpy(&all[n_all], tests, n * sizeof *tests);
    n_all += n;
}

int conformance_run(fx_open_fn *open_store, const struct CMUnitTest *own, size_t n_own)
{
    fx_backend = open_store;
    add(conformance_jobs, conformance_jobs_n);
    add(conformance_tasks, conformance_tasks_n);
    add(conformance_parts, conformance_parts_n);
    add(conformance_reading, conformance_reading_n);
    add(conformance_blobs, conformance_blobs_n);
    add(conformance_landing, conformance_landing_n);
    add(conformance_models, conformance_models_n);
    add(own, n_own);
    return _cmocka_run_group_tests("store", all, n_all, NULL, NULL);
}
