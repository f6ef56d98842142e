/*
 * config_value.h: single values as people write them: durations, sizes, numbers, switches. It knows
 * nothing of options.
 *
 * Thread rule: pure functions. They write their result only when they return true.
 */
#ifndef DROVER_CONFIG_VALUE_H
#define DROVER_CONFIG_VALUE_H

#include "base.h"

enum { CONFIG_VALUE_TEXT_LEN = 40 };

bool config_value_duration(const char *text,
                           int64_t *ret_ms);             /* "1.5s" "250ms" "10m"; "3" is seconds */
bool config_value_bytes(const char *text, int64_t *ret); /* "64MiB" "10k" "2GB" "4096" */
bool config_value_int(const char *text, int64_t *ret);
bool config_value_bool(const char *text, int64_t *ret); /* true yes on 1, false no off 0 */

/* The other way, in the largest unit that divides it: "90s", "64MiB". Returns ret. */
const char *config_value_write_duration(int64_t ms, char ret[CONFIG_VALUE_TEXT_LEN]);
const char *config_value_write_bytes(int64_t v, char ret[CONFIG_VALUE_TEXT_LEN]);

#endif
