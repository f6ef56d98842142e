/*
 * section.h: a section [sink.NAME] of the configuration, as the coordinator and `drover-worker run` have
 * it: where the sink is, its kind (by the scheme of its URL) and its secrets, which are in files.
 *
 * It refuses a URL with a password inside, since URLs are shown and logged. It connects to nothing.
 *
 * Thread rule: one thread, at the start.
 */
#ifndef DROVER_SECTION_H
#define DROVER_SECTION_H

#include "common/config.h"
#include "sink.h"

enum { SECTION_CA_MAX = 1024 * 1024 /* bytes of a ca_file */ };

/* The program's table has sink.*.url, user, password_file and ca_file; the section must be there. CONFIG,
 * naming the key. */
int section_read(const struct config *c, struct span name, struct sink_settings *ret,
                 struct error *e) MUST_CHECK;

#endif
