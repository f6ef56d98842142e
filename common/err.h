/*
 * err.h: the one table of errors. From it come the C enum, the code and text on the wire, and
 * (by the test that compares them) Python's exception classes. A number never changes its meaning.
 *
 * Thread rule: pure functions; a struct error belongs to its caller.
 */
#ifndef DROVER_ERR_H
#define DROVER_ERR_H

#include "base.h"

/* RETRY: the same call may succeed later. REJECT: the caller's input is at fault. FATAL: this
 * process or peer cannot go on. BUG: a broken promise inside drover. */
enum err_class {
    ERR_CLASS_NONE,
    ERR_CLASS_RETRY,
    ERR_CLASS_REJECT,
    ERR_CLASS_FATAL,
    ERR_CLASS_BUG
};

/*  name               number class   text */
#define ERR_TABLE(X)                                                                               \
    X(OK, 0, NONE, "no error")                                                                     \
    X(NOMEM, 1, FATAL, "out of memory")                                                            \
    X(INTERNAL, 2, BUG, "internal error")                                                          \
    X(IO, 3, RETRY, "input or output failed")                                                      \
    X(LIMIT, 4, REJECT, "a limit was passed")                                                      \
    X(MALFORMED, 5, REJECT, "malformed message")                                                   \
    X(INVALID_SPEC, 10, REJECT, "the job description is not valid")                                \
    X(INVALID_ARGUMENT, 11, REJECT, "invalid argument")                                            \
    X(NOT_FOUND, 12, REJECT, "not found")                                                          \
    X(DUPLICATE_JOB, 13, REJECT, "a job of that name or key exists with another description")      \
    X(PAYLOAD_TOO_LARGE, 14, REJECT, "the payload is too large")                                   \
    X(WRONG_STATE, 15, REJECT, "not possible in the present state")                                \
    X(QUEUE_FULL, 20, RETRY, "the queue is full")                                                  \
    X(UNREACHABLE, 21, RETRY, "the coordinator cannot be reached")                                 \
    X(TIMEOUT, 22, RETRY, "timed out")                                                             \
    X(UNAVAILABLE, 23, RETRY, "temporarily unavailable")                                           \
    X(AUTH, 30, REJECT, "not allowed")                                                             \
    X(PROTOCOL_MISMATCH, 31, REJECT, "no common protocol version")                                 \
    X(STALE, 32, REJECT, "the lease or session is no longer valid")                                \
    X(RESULT_EXPIRED, 40, REJECT, "the results have expired")                                      \
    X(JOB_FAILED, 41, REJECT, "the job failed")                                                    \
    X(JOB_CANCELLED, 42, REJECT, "the job was cancelled")                                          \
    X(JOB_EXPIRED, 43, REJECT, "the job expired")                                                  \
    X(STORE, 50, FATAL, "the store failed")                                                        \
    X(STORE_FULL, 51, RETRY, "the disk of the store is full")                                      \
    X(STORE_LOCKED, 52, FATAL, "another coordinator holds the data directory")                     \
    X(CONFIG, 60, REJECT, "the configuration is not valid")

enum err {
#define ERR_ENUM(name, number, class, text) ERR_##name = number,
    ERR_TABLE(ERR_ENUM)
#undef ERR_ENUM
};

/* A code with a detail that a person can act on. Zero-initialise it: `struct error e = {0};` */
struct error {
    enum err code;
    char detail[500];
};

const char *err_name(enum err code); /* "INVALID_SPEC"; "UNKNOWN" for a number not in the table */
const char *err_text(enum err code); /* one sentence fragment, never NULL */
enum err_class err_class(enum err code); /* ERR_CLASS_BUG for a number not in the table */

/* Fills *e (may be NULL) and returns the code, so that `return error_set(e, ERR_X, "...")` works. */
int error_set(struct error *e, enum err code, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
