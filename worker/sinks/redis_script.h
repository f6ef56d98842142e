/*
 * redis_script.h: what Redis does with a landing and with the end of a job, in Lua. The promise of
 * exactly once is kept there; docs/SINKS.md states it.
 *
 * Thread rule: constants.
 */
#ifndef DROVER_REDIS_SCRIPT_H
#define DROVER_REDIS_SCRIPT_H

#include "common/base.h"

enum { REDIS_SCRIPT_SHA_LEN = 40 };

/* KEYS: ledger, job, and then the hash of each row, or the one key of all rows. ARGV: mode (hash,
 * stream, list), task, number of rows, generation, time to live in ms (0: none), number of the job,
 * channel, 1 when a row that does not fit fails the task, index of the sink in its job, and then
 * each row: names and values as strings of msgpack one after another (hash, stream), or an object
 * in JSON (list). */
enum { REDIS_SCRIPT_KEYS = 2, REDIS_SCRIPT_ARGS = 9 };
extern const char redis_script_land[];

/* What it answers: an array that begins with one of these. */
enum redis_script_answer {
    REDIS_SCRIPT_LANDED = 1, /* rows written, words or "", then row and words of each not taken */
    REDIS_SCRIPT_DUPLICATE = 2, /* nothing more */
    REDIS_SCRIPT_FENCED = 3,    /* up to which generation */
    REDIS_SCRIPT_REFUSED = 4    /* words: for good, and nothing is written */
};

/* KEYS: job. ARGV: state, generation, 1 when it is fenced, time to live in ms, channel. */
extern const char redis_script_end[];

/* The name by which EVALSHA calls a script. */
void redis_script_sha(const char *text, char ret[REDIS_SCRIPT_SHA_LEN + 1]);

#endif
