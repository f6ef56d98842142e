/*
 * conformance.h: what every backend of the store must do. A backend's test program calls
 * conformance_run with its open function and the tests that are its own; see test_store_sqlite.c.
 */
#ifndef DROVER_TESTS_STORE_CONFORMANCE_H
#define DROVER_TESTS_STORE_CONFORMANCE_H

#include "fixture.h"

extern const struct CMUnitTest conformance_jobs[], conformance_tasks[], conformance_parts[],
    conformance_reading[], conformance_blobs[], conformance_landing[], conformance_models[];
extern const size_t conformance_jobs_n, conformance_tasks_n, conformance_parts_n,
    conformance_reading_n, conformance_blobs_n, conformance_landing_n, conformance_models_n;

/* Runs all of them and the backend's own as one cmocka group; the number of failures. */
int conformance_run(fx_open_fn *open_store, const struct CMUnitTest *own, size_t n_own);

#endif
