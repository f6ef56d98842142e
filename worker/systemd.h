/*
 * systemd.h: tells systemd how this service is doing (sd_notify(3), the protocol of
 * Type=notify), by a datagram of its own, so that nothing has to be linked for it.
 *
 * Thread rule: any thread.
 */
#ifndef DROVER_SYSTEMD_H
#define DROVER_SYSTEMD_H

#include "common/base.h"

/* "READY=1", "STOPPING=1", "STATUS=..."; nothing happens outside systemd. */
void systemd_send(const char *state);
void systemd_status(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* How often the watchdog wants to hear WATCHDOG=1, halved; 0: it is off. */
uint64_t systemd_watchdog_ms(void);

#endif
