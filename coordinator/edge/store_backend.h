/*
 * store_backend.h: what a store backend implements. A backend embeds struct store as its first
 * member and fills in a table of operations; the contract of each is store.h's of the same name.
 *
 * Thread rule: as in store.h.
 */
#ifndef DROVER_STORE_BACKEND_H
#define DROVER_STORE_BACKEND_H

#include "coordinator/edge/store.h"

struct store_ops {
    void (*close)(struct store *s);
    int (*begin)(struct store *s, struct error *e);
    int (*commit)(struct store *s, struct error *e);
    void (*rollback)(struct store *s);
    int (*job_submit)(struct store *s, const struct store_submit *in, uint64_t *ret_job,
                      bool *ret_existing, struct error *e);
    int (*job_input)(struct store *s, uint64_t job, uint64_t chunk, const struct store_item *items,
                     size_t n, struct arena *arena, struct store_task **ret, size_t *ret_n,
                     struct error *e);
    int (*job_seal)(struct store *s, uint64_t job, struct error *e);
    int (*job_cancel)(struct store *s, uint64_t job, int64_t now_ms, struct error *e);
    int (*job_pause)(struct store *s, uint64_t job, bool on, struct error *e);
    int (*job_end)(struct store *s, uint64_t job, enum store_job_state state, int64_t now_ms,
                   struct error *e);
    int (*job_remove)(struct store *s, uint64_t job, struct error *e);
    int (*task_complete)(struct store *s, const struct store_complete *in, struct arena *arena,
                         struct store_complete_ret *ret, struct error *e);
    int (*task_input)(struct store *s, struct task_id task, struct arena *arena, struct span *ret,
                      bool *ret_whole, struct error *e);
    int (*task_get)(struct store *s, struct task_id task, struct arena *arena,
                    struct store_pending *ret, struct error *e);
    int (*job_get)(struct store *s, uint64_t job, struct arena *arena, struct store_job *ret,
                   struct error *e);
    int (*job_find)(struct store *s, struct span name, uint64_t *ret, struct error *e);
    int (*job_list)(struct store *s, uint64_t before, size_t max, struct arena *arena,
                    struct store_job **ret, size_t *ret_n, struct error *e);
    int (*job_stats)(struct store *s, uint64_t job, struct arena *arena, struct store_stat **ret,
                     size_t *ret_n, struct error *e);
    int (*job_chunks)(struct store *s, uint64_t job, uint64_t *ret, struct error *e);
    int (*replay)(struct store *s, store_replay_fn *fn, void *user, struct error *e);
    int (*job_gather)(struct store *s, uint64_t job, const struct store_item *item,
                      struct arena *arena, struct store_task **ret, size_t *ret_n, struct error *e);
    int (*parts)(struct store *s, uint64_t job, uint64_t cursor, size_t max_bytes,
                 struct arena *arena, struct store_result **ret, size_t *ret_n, struct error *e);
    int (*results)(struct store *s, uint64_t job, uint64_t cursor, size_t max_bytes,
                   struct arena *arena, struct store_result **ret, size_t *ret_n, struct error *e);
    int (*rejects)(struct store *s, uint64_t job, uint64_t cursor, size_t max_bytes,
                   struct arena *arena, struct store_result **ret, size_t *ret_n, struct error *e);
    int (*dead_list)(struct store *s, uint64_t job, uint64_t task, uint64_t after, size_t max,
                     struct arena *arena, struct store_dead **ret, size_t *ret_n, struct error *e);
    int (*dead_retry)(struct store *s, uint64_t job, uint64_t task, struct arena *arena,
                      struct store_task **ret, size_t *ret_n, struct error *e);
    int (*dead_discard)(struct store *s, uint64_t job, uint64_t task, uint64_t *ret_n,
                        struct error *e);
    int (*blob_use)(struct store *s, uint64_t job, const struct blob_name *names, size_t n,
                    struct error *e);
    int (*blob_needed)(struct store *s, const struct blob_name *names, size_t n, bool *ret,
                       struct error *e);
    int (*drain_set)(struct store *s, struct span worker, bool on, struct error *e);
    int (*drain_list)(struct store *s, struct arena *arena, struct span **ret, size_t *ret_n,
                      struct error *e);
    int (*breaker_set)(struct store *s, struct span downstream, enum sched_manual manual,
                       struct error *e);
    int (*breaker_list)(struct store *s, struct arena *arena, struct store_breaker **ret,
                        size_t *ret_n, struct error *e);
    int (*model_add)(struct store *s, const struct store_model *in, uint64_t *ret_version,
                     bool *ret_existing, struct error *e);
    int (*model_remove)(struct store *s, struct span name, uint64_t version, struct error *e);
    int (*model_list)(struct store *s, struct arena *arena, struct store_model **ret, size_t *ret_n,
                      struct error *e);
    int (*expire)(struct store *s, int64_t now_ms, bool *ret_more, struct error *e);
    int (*sizes)(struct store *s, struct store_sizes *ret, struct error *e);
};

struct store {
    const struct store_ops *ops;
};

#endif
