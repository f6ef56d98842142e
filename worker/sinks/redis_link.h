/*
 * redis_link.h: one connection to one Redis server: a socket that never blocks, TLS, commands out
 * and replies in (read by hiredis), and a deadline on everything, so that a server that was stopped
 * costs no more than the time that was given.
 *
 * It knows nothing of passwords, scripts, slots and landings.
 *
 * Every failure is UNAVAILABLE, with the server's place before the words; the link is of no use
 * after.
 *
 * Thread rule: belongs to one thread; deadlines are of clock_ms().
 */
#ifndef DROVER_REDIS_LINK_H
#define DROVER_REDIS_LINK_H

#include <hiredis/hiredis.h>

#include "redis_tls.h"
#include "redis_url.h"

enum { REDIS_REPLY_BYTES_MAX = 64 * 1024 * 1024 };

struct redis_link;

/* Connects: each address of the host in turn. tls: NULL without. Resolving a name has the limits of
 * /etc/resolv.conf and not the deadline. */
int redis_link_open(const struct redis_place *to, struct redis_tls *tls, uint64_t deadline_ms,
                    struct redis_link **ret, struct error *e) MUST_CHECK;
void redis_link_close(struct redis_link *l); /* takes NULL */

/* Where commands are appended; they travel with the next push or reply. */
struct buf *redis_link_out(struct redis_link *l);
/* Sends as much as the socket takes now. */
int redis_link_push(struct redis_link *l, struct error *e) MUST_CHECK;
/* Sends what is left and waits for the next reply, which the caller frees (freeReplyObject). */
int redis_link_reply(struct redis_link *l, uint64_t deadline_ms, redisReply **ret,
                     struct error *e) MUST_CHECK;

/* The parts of a command as RESP: an array of n arguments, each a text. */
void redis_link_array(struct buf *out, size_t n);
void redis_link_arg(struct buf *out, struct span text);
/* An argument of n bytes that the caller appends, and "\r\n" after them. */
void redis_link_arg_head(struct buf *out, size_t n);
void redis_link_arg_u64(struct buf *out, uint64_t v);
/* A whole command of NUL-terminated words. */
void redis_link_words(struct buf *out, size_t n, const char *const *words);

#endif
