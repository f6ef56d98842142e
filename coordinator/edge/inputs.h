/*
 * inputs.h: the inputs of tasks that wait, kept in memory up to a number of bytes, so that most
 * tasks are sent without reading the store again.
 *
 * What does not fit is not kept: the oldest tasks are the next to be sent, so nothing is evicted
 * for younger ones. An input leaves when its task is sent or gone; a later attempt reads the store.
 * Inputs that arrive together share one block of memory, which is freed with its last input.
 *
 * Thread rule: the loop thread.
 */
#ifndef DROVER_INPUTS_H
#define DROVER_INPUTS_H

#include "coordinator/core/sched.h"

struct inputs;

struct inputs *inputs_new(size_t max_bytes) MUST_CHECK; /* NULL: no memory */
void inputs_free(struct inputs *in);

/* Copies the inputs of n tasks, as far as there is room. */
void inputs_put(struct inputs *in, const struct task_id *tasks, const struct span *inputs,
                size_t n);
/* The input, valid until the next call that puts or drops; p is NULL when it is not here. */
struct span inputs_get(const struct inputs *in, struct task_id task);
void inputs_drop(struct inputs *in, struct task_id task);

size_t inputs_bytes(const struct inputs *in);
size_t inputs_count(const struct inputs *in);

#endif
