/*
 * ends.h: tells the sinks of a job that it is over: who follows the job in a sink hears how it ended,
 * and of a cancelled one the sink takes nothing more (it is fenced).
 *
 * Best effort: the job has ended whether or not its sinks were told. A sink that does not answer is
 * asked again (sink_thread.h) until the coordinator ends or too many wait; what is lost then is a
 * notice, and for a cancelled job the fence against rows of a worker that has not heard of it.
 *
 * Thread rule: the loop thread.
 */
#ifndef DROVER_ENDS_H
#define DROVER_ENDS_H

#include "coordinator/edge/jobs.h"

/* The end is durable; the job is forgotten next. Takes the sinks out of its description. */
void ends_tell(struct edge *e, struct job *job, enum sched_job_end how);

#endif
