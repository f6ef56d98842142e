/*
 * metrics.h: the text of /metrics in the exposition format of Prometheus (version 0.0.4). Every
 * series that can exist is there from the start, at 0; the ones per worker are there while it is
 * connected.
 *
 * Thread rule: the loop thread.
 */
#ifndef DROVER_METRICS_H
#define DROVER_METRICS_H

#include "coordinator/edge/edge.h"

void metrics_render(const struct edge *e, struct buf *out);

#endif
