/*
 * options.h: the coordinator's options: one table, from which flags, file keys, environment and
 * --help come (common/config.h), and what the edge takes from it.
 *
 * Thread rule: at start.
 */
#ifndef DROVER_OPTIONS_H
#define DROVER_OPTIONS_H

#include "common/config.h"
#include "coordinator/edge/edge.h"

extern const struct config_program options_program;

/* Limits and intervals. */
void options_edge(const struct config *c, struct edge_options *ret);
/* log.level and log.format. CONFIG. */
int options_log(const struct config *c, struct error *e) MUST_CHECK;

#endif
