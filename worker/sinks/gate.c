#include "gate.h"

#include <stdio.h>

#include "common/hash.h"

void gate_init(struct gate *g, uint64_t seed)
{
    *g = (struct gate){.random = seed};
}

void gate_session(struct gate *g)
{
    g->told = WIRE_BREAKER_CLOSED;
    g->calling = false;
    /* The counts of the old session are the new one's news: the coordinator may be another one. */
    g->waited = false;
}

void gate_tell(struct gate *g, enum wire_breaker_state state, uint32_t waiting)
{
    g->told = state;
    if (state == WIRE_BREAKER_PROBE) {
        g->calling = false;
        /* Without rows to write it cannot probe: the coordinator may choose another. */
        g->urgent |= waiting == 0;
    }
    if (state == WIRE_BREAKER_CLOSED || state == WIRE_BREAKER_PROBE)
        g->shut_until_ms = 0; /* the coordinator knows better than the worker's own caution */
}

uint64_t gate_next_ms(const struct gate *g)
{
    switch (g->told) {
    case WIRE_BREAKER_CLOSED:
        return g->shut_until_ms;
    case WIRE_BREAKER_PROBE:
        return g->calling ? UINT64_MAX : 0;
    default:
        return UINT64_MAX;
    }
}

void gate_called(struct gate *g)
{
    g->calling = true;
}

void gate_done(struct gate *g, uint64_t took_ms, const char *error, uint64_t now_ms)
{
    if (g->told == WIRE_BREAKER_PROBE)
        g->urgent = true;
    if (!error) {
        g->ok++;
        g->slow += took_ms > GATE_SLOW_MS;
        g->backoff_ms = 0;
        g->shut_until_ms = 0;
        g->row = 0;
        return;
    }
    g->fail++;
    g->row++;
    g->urgent |= g->backoff_ms == 0;
    snprintf(g->error, sizeof(g->error), "%s", error);
    g->backoff_ms = g->backoff_ms ? MIN(g->backoff_ms * 2, (uint32_t)GATE_BACKOFF_MAX_MS)
                                  : (uint32_t)GATE_BACKOFF_MS;
    /* Between all of it and half more. */
    g->random = hash_mix(g->random + 1);
    g->shut_until_ms = now_ms + g->backoff_ms + g->random % (g->backoff_ms / 2 + 1);
}

bool gate_urgent(const struct gate *g, uint32_t waiting)
{
    return g->urgent || (waiting > 0 && !g->waited && g->told != WIRE_BREAKER_CLOSED);
}

bool gate_news(const struct gate *g, uint32_t waiting)
{
    return g->ok > 0 || g->fail > 0 || gate_urgent(g, waiting) || (g->waited && waiting == 0);
}

void gate_take(struct gate *g, uint32_t waiting, struct wire_calls *ret)
{
    ret->ok = g->ok;
    ret->fail = g->fail;
    ret->slow = g->slow;
    ret->waiting = waiting;
    ret->row = MIN(g->row, g->fail);
    ret->error = g->fail ? span_str(g->error) : (struct span){NULL, 0};
    g->ok = g->fail = g->slow = 0;
    g->urgent = false;
    g->waited = waiting > 0;
}
