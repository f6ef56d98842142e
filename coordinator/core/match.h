/*
 * match.h: brings idle workers and queued tasks together, after every event. Owners first: a shard
 * to which something came is served by its own worker; then workers that still have credit steal,
 * one task each in turn, from one of the most loaded shards.
 *
 * A higher priority anywhere goes before a lower one in a worker's own shard.
 *
 * Thread rule: one thread.
 */
#ifndef DROVER_CORE_MATCH_H
#define DROVER_CORE_MATCH_H

struct sched;

void match_run(struct sched *s);

#endif
