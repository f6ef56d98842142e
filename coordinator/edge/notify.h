/*
 * notify.h: tells the service manager that the process is ready or stopping (sd_notify(3)): one
 * datagram to the socket that NOTIFY_SOCKET names. Without that variable nothing happens.
 *
 * Thread rule: any thread.
 */
#ifndef DROVER_NOTIFY_H
#define DROVER_NOTIFY_H

void notify_send(const char *state); /* "READY=1", "STOPPING=1" */

#endif
