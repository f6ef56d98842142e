/*
 * fixture.h: a store in a temporary folder, and short ways to say what the tests of stores say
 * often.
 *
 * Every helper named fx_ asserts that its call succeeds; the tests call store.h directly where a
 * failure is expected.
 */
#ifndef DROVER_TESTS_STORE_FIXTURE_H
#define DROVER_TESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/edge/store.h"

typedef int fx_open_fn(const char *directory, struct store **ret, uint64_t *ret_epoch,
                       struct error *e);

struct fx {
    fx_open_fn *open_store;
    char directory[64];
    struct store *s;
    uint64_t epoch;
    struct arena arena;
    struct error e;
};

/* cmocka's set-up and tear-down. fx_backend is the open function that the set-up uses. */
extern fx_open_fn *fx_backend;
int fx_setup(void **state);
int fx_teardown(void **state);

void fx_make_directory(char *ret, size_t size);
void fx_remove_directory(const char *directory);
void fx_reopen(struct fx *x);
void fx_begin(struct fx *x);
void fx_commit(struct fx *x);

/* One msgpack value [url, 0] in the arena; key is the hash of `host`, unique that of the url. */
struct store_item fx_item(struct fx *x, const char *host, const char *url);
/* As fx_item, with the number in host and url. */
struct store_item fx_item_n(struct fx *x, unsigned host, unsigned url);

struct store_submit fx_submit_of(const char *name, uint32_t task_items, bool unique);
uint64_t fx_submit(struct fx *x, const struct store_submit *in);
uint64_t fx_job(struct fx *x, uint32_t task_items, bool unique); /* without a name, committed */
/* Adds the items as a chunk and commits; the tasks are in the arena. */
size_t fx_input(struct fx *x, uint64_t job, uint64_t chunk, const struct store_item *items,
                size_t n, struct store_task **ret);
/* A job of n tasks of one item each, committed; its first task. */
uint64_t fx_job_of(struct fx *x, unsigned n, struct store_task **ret);

struct store_complete fx_done(uint64_t job, struct task_id task);
struct store_complete_ret fx_complete(struct fx *x, const struct store_complete *in);
void fx_end(struct fx *x, uint64_t job, enum store_job_state state, int64_t now_ms);
struct store_job fx_get(struct fx *x, uint64_t job);
int64_t fx_stat(struct fx *x, uint64_t job, const char *name); /* 0 when it is not there */

/* How many items a packed input holds; url `i` of it as text. */
size_t fx_count(struct span input);
const char *fx_url(struct fx *x, struct span input, size_t i);

#define fx_ok(x, call)                                                                             \
    do {                                                                                           \
        int rc_ = (call);                                                                          \
        if (rc_)                                                                                   \
            fail_msg("%s: %s: %s", #call, err_name((enum err)rc_), (x)->e.detail);                 \
    } while (0)

#endif
