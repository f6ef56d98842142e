/*
 * batcher.h: the landings of this worker on their way into its sinks. Each sink has a queue and up to
 * `connections` threads; a thread takes whole landings of any jobs off the front and writes them in one
 * call.
 *
 *      batcher_put                    a thread of the sink             batcher_take
 *   --------------> [queue of sink] --------------------> write ----------------> owner
 *                        ^                                  |    (eventfd)
 *                        '------ UNAVAILABLE: the rest -----'
 *
 * Flush control: a batch is written when it has as many rows as the pace says (pace.h) or BATCHER_BYTES
 * bytes, or when its oldest landing has waited for the linger time, which follows what a call costs.
 *
 * After a failure one connection alone tries, until it succeeds. Whether a call may be made at all is
 * the gate's to say (gate.h).
 *
 * It knows nothing of leases and sessions. Rows that wait are counted in bytes for the owner, who takes
 * no more work in time.
 *
 * Thread rule: all functions from the owner's thread, but batcher_put, which any thread may call.
 */
#ifndef DROVER_BATCHER_H
#define DROVER_BATCHER_H

#include "common/downstream.h"
#include "common/wire.h"
#include "sink.h"

enum {
    BATCHER_CONNECTIONS_MAX = 64,    /* of one sink */
    BATCHER_BYTES = 8 * 1024 * 1024, /* of rows in one call, unless one landing has more */
    BATCHER_LANDINGS_MAX = 2000,     /* in one call */
    BATCHER_OPEN_MS = 5000,
    BATCHER_CALL_MS = 15000,
    BATCHER_SINKS_MAX = 64,
    BATCHER_STOP_MS = 2000 /* that a thread in a call is waited for at the end */
};

#define BATCHER_BYTES_PREFIX "landing."

struct batcher;

struct batcher_config {
    uint32_t connections; /* of each sink; 1 to BATCHER_CONNECTIONS_MAX */
    uint64_t seed;
    /* For tests: the kind of a sink; NULL: sink_kind_of. */
    const struct sink_kind *(*kind_of)(enum spec_sink_kind kind);
};

int batcher_new(const struct batcher_config *config, struct batcher **ret,
                struct error *e) MUST_CHECK;
/* Ends the threads. Landings that were not decided come back UNDECIDED by batcher_take, but for those in
 * a call that does not end in time, which are lost from sight: false then, and their memory must stay. */
bool batcher_stop(struct batcher *b);
void batcher_free(struct batcher *b);

/* A sink, new or with changed settings (then its connections are made anew). Takes the settings. */
int batcher_sink(struct batcher *b, struct sink_settings *settings_take,
                 struct error *e) MUST_CHECK;
bool batcher_has(struct batcher *b, enum spec_sink_kind kind, const char *name);

/* The landing comes back by batcher_take, with a verdict, or UNDECIDED when it was given back. NOT_FOUND:
 * there is no such sink, and it was not taken. */
int batcher_put(struct batcher *b, struct landing *l, struct error *e) MUST_CHECK;
int batcher_fd(const struct batcher *b);
struct landing *batcher_take(struct batcher *b); /* NULL: none (more) */

/* Nobody waits for it any more. True: it was not in a call, and is the owner's again at once. False: it
 * is, or was; it comes back by batcher_take, and is not tried again. */
bool batcher_withdraw(struct batcher *b, struct landing *l);
/* Gives back what waits. What is in a call comes back when that is over, with a verdict or without. */
void batcher_return(struct batcher *b);
void batcher_flush(struct batcher *b, bool on); /* while on, nothing lingers */

/* What the coordinator said. A session that began or ended: nothing yet, or no more. */
void batcher_session(struct batcher *b);
void batcher_tell(struct batcher *b, struct span downstream, enum wire_breaker_state state);

/* Fills what is to be told of the sinks, at most max. urgent: only when some of it is. Texts stay valid
 * until the next call. */
size_t batcher_calls(struct batcher *b, bool urgent, struct wire_calls *ret, size_t max);

bool batcher_news(struct batcher *b); /* batcher_calls has something to tell, urgent or not */

struct batcher_stats {
    size_t landings, bytes; /* that wait or are in a call */
};
void batcher_stats(struct batcher *b, struct batcher_stats *ret);
/* For heartbeats: "landing.postgres:main" and bytes, of each sink, also of those where nothing waits. The
 * names live as long as the batcher. Returns how many, at most max. */
size_t batcher_bytes(struct batcher *b, struct wire_stat *ret, size_t max);

#endif
