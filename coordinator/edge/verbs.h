/*
 * verbs.h: the verbs of docs/PROTOCOL.md, each a small function; see front_verb.start. They are in
 * verbs_submit.c (jobs in), verbs_blob.c (blobs in),
 * verbs_job.c (the job map), verbs_read.c (jobs, results and letters out), verbs_change.c (cancel,
 * retry, ...), verbs_fleet.c (workers, status, keys, configuration), verbs_breaker.c (breakers and
 * sinks), verbs_model.c (named models, predictions), verbs_explain.c (why something does not run).
 *
 * Thread rule: the loop thread.
 */
#ifndef DROVER_VERBS_H
#define DROVER_VERBS_H

#include "coordinator/edge/front.h"

int verbs_server_info(struct call *c, struct error *error) MUST_CHECK;
int verbs_status(struct call *c, struct error *error) MUST_CHECK;
int verbs_worker_ls(struct call *c, struct error *error) MUST_CHECK;
int verbs_worker_show(struct call *c, struct error *error) MUST_CHECK;
int verbs_worker_drain(struct call *c, struct error *error) MUST_CHECK;
int verbs_worker_resume(struct call *c, struct error *error) MUST_CHECK;
int verbs_key_ls(struct call *c, struct error *error) MUST_CHECK;
int verbs_key_authorize(struct call *c, struct error *error) MUST_CHECK;
int verbs_key_revoke(struct call *c, struct error *error) MUST_CHECK;
int verbs_config_show(struct call *c, struct error *error) MUST_CHECK;

int verbs_breaker_ls(struct call *c, struct error *error) MUST_CHECK;
int verbs_breaker_trip(struct call *c, struct error *error) MUST_CHECK;
int verbs_breaker_pin(struct call *c, struct error *error) MUST_CHECK;
int verbs_breaker_reset(struct call *c, struct error *error) MUST_CHECK;
int verbs_sink_ls(struct call *c, struct error *error) MUST_CHECK;
int verbs_sink_check(struct call *c, struct error *error) MUST_CHECK;
int verbs_job_explain(struct call *c, struct error *error) MUST_CHECK;
int verbs_task_explain(struct call *c, struct error *error) MUST_CHECK;

int verbs_job_submit(struct call *c, struct error *error) MUST_CHECK;
int verbs_job_check(struct call *c, struct error *error) MUST_CHECK;
int verbs_job_input(struct call *c, struct error *error) MUST_CHECK;
int verbs_job_seal(struct call *c, struct error *error) MUST_CHECK;

int verbs_blob_have(struct call *c, struct error *error) MUST_CHECK;
int verbs_blob_put(struct call *c, struct error *error) MUST_CHECK;

int verbs_model_ls(struct call *c, struct error *error) MUST_CHECK;
int verbs_model_show(struct call *c, struct error *error) MUST_CHECK;
int verbs_model_add(struct call *c, struct error *error) MUST_CHECK;
int verbs_model_rm(struct call *c, struct error *error) MUST_CHECK;
int verbs_predict(struct call *c, struct error *error) MUST_CHECK;

int verbs_job_status(struct call *c, struct error *error) MUST_CHECK;
int verbs_job_ls(struct call *c, struct error *error) MUST_CHECK;
int verbs_job_wait(struct call *c, struct error *error) MUST_CHECK;
int verbs_job_results(struct call *c, struct error *error) MUST_CHECK;
int verbs_job_rejects(struct call *c, struct error *error) MUST_CHECK;
int verbs_dead_ls(struct call *c, struct error *error) MUST_CHECK;
int verbs_dead_show(struct call *c, struct error *error) MUST_CHECK;

int verbs_job_cancel(struct call *c, struct error *error) MUST_CHECK;
int verbs_job_pause(struct call *c, struct error *error) MUST_CHECK;
int verbs_job_resume(struct call *c, struct error *error) MUST_CHECK;
int verbs_job_retry(struct call *c, struct error *error) MUST_CHECK;
int verbs_job_rm(struct call *c, struct error *error) MUST_CHECK;
int verbs_dead_retry(struct call *c, struct error *error) MUST_CHECK;
int verbs_dead_discard(struct call *c, struct error *error) MUST_CHECK;

/* A Unix time in milliseconds as text; 0: nil. */
void verbs_time(struct buf *out, const char *key, int64_t unix_ms);
/* The map of a breaker, and those that are to be seen in `status`, at most max. */
struct downstreams_entry;
void verbs_pack_breaker(const struct edge *e, struct buf *out, const struct downstreams_entry *b);
void verbs_pack_breakers(const struct edge *e, struct buf *out, size_t max);
/* The job map of call->jobs[i], into the answer. */
void verbs_pack_job(struct call *c, struct buf *out, size_t i);
/* On the store's thread: reads call->args.job and its statistics into call->jobs[0]. */
int verbs_read_job(struct store *s, struct call *c, struct error *error) MUST_CHECK;
/* The usual end of a verb on one job: the error, or the job map. */
void verbs_reply_job(struct store_request *r, void *user);

#endif
