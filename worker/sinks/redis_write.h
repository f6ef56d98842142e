/*
 * redis_write.h: a group of landings on its way into Redis: one call of the script for each, all
 * under way at once within a bound of bytes, and what their answers mean.
 *
 * Thread rule: belongs to the thread of the connection.
 */
#ifndef DROVER_REDIS_WRITE_H
#define DROVER_REDIS_WRITE_H

#include "redis_nodes.h"
#include "redis_rows.h"

enum {
    REDIS_IN_FLIGHT_BYTES = 4 * 1024 * 1024, /* sent to a node and not answered */
    REDIS_PUSH_BYTES = 64 * 1024,            /* what is worth a system call */
    REDIS_ROUNDS_MAX = 16,                   /* redirections of one landing */
    REDIS_MIGRATION_MS = 1000,               /* a call waits for a slot that is being moved */
    REDIS_AGAIN_MS = 20
};

/* As sink_kind.write. */
int redis_write(struct redis_nodes *nodes, struct redis_rows *rows, struct landing **list, size_t n,
                uint64_t deadline_ms, struct error *e) MUST_CHECK;

#endif
