/*
 * verbs.h: the functions behind the table of verbs in main.c, one file per noun. Each takes its
 * arguments (their number was checked) and prints its answer.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_VERBS_H
#define DROVER_VERBS_H

#include "admin/ctl.h"

typedef int verb_fn(struct ctl *ctl, size_t n, const char *const *args, struct error *e);

/* status.c */
verb_fn status_show;
/* job.c */
verb_fn job_ls, job_show, job_cancel, job_retry, job_pause, job_resume, job_rm;
/* submit.c */
verb_fn submit_run, submit_check;
/* follow.c */
verb_fn follow_results, follow_wait;
/* worker.c */
verb_fn worker_ls, worker_show, worker_drain, worker_resume;
/* dead.c */
verb_fn dead_ls, dead_show, dead_retry, dead_discard;
/* breaker.c */
verb_fn breaker_ls, breaker_trip, breaker_pin, breaker_reset;
/* sink.c */
verb_fn sink_ls, sink_check;
/* model.c */
verb_fn model_ls, model_show, model_add, model_rm;
/* sink_init.c */
verb_fn sink_init;
/* explain.c */
verb_fn explain_run;
/* key.c */
verb_fn key_gen, key_authorize, key_revoke, key_ls;
/* server.c */
verb_fn server_info, server_check, server_config;

/* follow.c: waits for the end of a job, showing progress; sets exit_code by how it ended. */
int follow_to_end(struct ctl *ctl, const char *job, int64_t timeout_ms, struct error *e) MUST_CHECK;

/* job.c: prints a job map. */
void job_print(const struct ctl *ctl, const json_t *job);

#endif
