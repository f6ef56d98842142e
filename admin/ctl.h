/*
 * ctl.h: what the verbs share: the connection, made when it is first needed, the output format, the
 * flags, calls with JSON answers, the look-up of ids by prefix or `last`, and questions.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CTL_H
#define DROVER_CTL_H

#include <jansson.h>
#include <signal.h>

#include "admin/client.h"
#include "admin/print.h"
#include "common/config.h"
#include "common/err.h"
#include "common/pack.h"

/* What the program ends with, for scripts. */
enum ctl_exit {
    CTL_OK = 0,
    CTL_ERROR = 1,
    CTL_USAGE = 2,
    CTL_NOT_FOUND = 3,
    CTL_AUTH = 4,
    CTL_UNREACHABLE = 5,
    CTL_DECLINED = 6,
    CTL_JOB_FAILED = 10,
    CTL_JOB_CANCELLED = 11, /* or expired */
    CTL_TIMEOUT = 124,
    CTL_INTERRUPTED = 130
};

/* Requests for which the coordinator asks its sinks: it waits 5 s for them. */
enum { CTL_SINKS_WAIT_MS = 6000 };

struct ctl {
    const struct config *config;
    enum print_format format;
    const volatile sig_atomic_t *stop;
    struct client *client; /* NULL until the first call */
    struct buf args;       /* of the call that is being made */
    int exit_code;         /* what a verb that succeeded wants to end with */
};

int ctl_exit_of(enum err code);

/* The value of a flag of this verb, or NULL. */
const char *ctl_flag(const struct ctl *ctl, const char *name);
/* The duration of a flag in milliseconds, or fallback_ms without it. */
int ctl_flag_ms(const struct ctl *ctl, const char *name, int64_t fallback_ms, int64_t *ret,
                struct error *e) MUST_CHECK;

/* Arguments of the next call: ctl_args(n pairs), then key and value each. */
void ctl_args(struct ctl *ctl, size_t n_pairs);
void ctl_arg_str(struct ctl *ctl, const char *key, const char *value);
void ctl_arg_u64(struct ctl *ctl, const char *key, uint64_t value);
/* A job: as a number when it is one, else as a name. */
void ctl_arg_job(struct ctl *ctl, const char *job);

int ctl_call_raw(struct ctl *ctl, const char *verb, uint32_t wait_ms, struct span *ret,
                 struct error *e) MUST_CHECK;
int ctl_call(struct ctl *ctl, const char *verb, uint32_t wait_ms, json_t **ret,
             struct error *e) MUST_CHECK;

/* The id of a job that was given as an id, a name, the beginning of one (when there is only one), or
 * "last" (the newest). The caller frees *ret. */
int ctl_find_job(struct ctl *ctl, const char *text, char **ret, struct error *e) MUST_CHECK;
/* The same for a worker. */
int ctl_find_worker(struct ctl *ctl, const char *text, char **ret, struct error *e) MUST_CHECK;

/* Asks on the terminal; OK when the answer is yes or -y was given. CTL_DECLINED goes to exit_code and
 * WRONG_STATE is returned when not. */
int ctl_confirm(struct ctl *ctl, struct error *e, const char *fmt, ...)
    PRINTF_LIKE(3, 4) MUST_CHECK;

static inline void ctl_json_free(json_t **v)
{
    json_decref(*v);
}
static inline void ctl_text_free(char **p)
{
    free(*p);
}
#define CTL_JSON CLEANUP(ctl_json_free) json_t *
#define CTL_TEXT CLEANUP(ctl_text_free) char *

#endif
