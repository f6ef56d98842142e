/*
 * sim_client.c: one client that submits every job of the run in chunks, seals it, perhaps pauses,
 * cancels or retries its dead letters, and asks until it ended. What is not answered in a second is
 * asked again with the same seq.
 */
#include "sim.h"

#include "common/pack.h"
#include "common/unpack.h"

enum { AGAIN_MS = 1000, POLL_MS = 500, PAUSE_MS = 3000 };

enum step {
    STEP_SUBMIT,
    STEP_INPUT,
    STEP_SEAL,
    STEP_WATCH,
    STEP_PAUSE,
    STEP_RESUME,
    STEP_CANCEL,
    STEP_RETRY,
    STEP_ENDED
};

struct script {
    enum step step;
    uint64_t chunk, request, resume_at_ms;
    bool paused, cancelled, retried;
};

struct sim_client {
    struct script scripts[SIM_JOBS_MAX];
    uint64_t seq;
    struct buf out;
};

static void client_ask(struct sim *sim, void *arg, uint64_t request);

static void client_send(struct sim *sim, struct script *s)
{
    static const char *const verbs[] = {"job.submit", "job.input",  "job.seal",   "job.status",
                                        "job.pause",  "job.resume", "job.cancel", "job.retry"};
    struct buf *out = &sim->client->out;
    buf_clear(out);
    wire_frame_pack(out, &(struct wire_frame){.version = WIRE_VERSION,
                                              .type = WIRE_REQUEST,
                                              .seq = s->request});
    wire_request_begin(out, verbs[s->step]);
    pack_map(out, 2);
    pack_cstr(out, "job");
    pack_u64(out, (uint64_t)(s - sim->client->scripts));
    pack_cstr(out, "chunk");
    pack_u64(out, s->chunk);
    sim_send(sim, SIM_CLIENT, SIM_COORD, out);
    sim_at(sim, sim->now_ms + AGAIN_MS, client_ask, s, s->request);
}

static void client_ask(struct sim *sim, void *arg, uint64_t request)
{
    struct script *s = arg;
    if (s->request == request && s->step != STEP_ENDED)
        client_send(sim, s);
}

static void client_next(struct sim *sim, struct script *s, enum step step, uint64_t after_ms)
{
    s->step = step;
    s->request = ++sim->client->seq;
    if (step != STEP_ENDED)
        sim_at(sim, sim->now_ms + after_ms, client_ask, s, s->request);
}

/* What to do about a job that was seen in that state. */
static void client_watch(struct sim *sim, struct script *s, uint64_t status)
{
    enum sim_job_state state = (enum sim_job_state)(status & 0xff);
    bool paused = status >> 8 && state == SIM_JOB_OPEN;
    const struct sim_spec *spec = &sim->specs[s - sim->client->scripts];
    /* A late copy of the pause may have come after the resume: look, and say it again. */
    if (paused && sim->now_ms >= s->resume_at_ms) {
        client_next(sim, s, STEP_RESUME, 1);
    } else if (state == SIM_JOB_FAILED && spec->retry_dead && !s->retried) {
        s->retried = true;
        client_next(sim, s, STEP_RETRY, 1);
    } else if (state != SIM_JOB_OPEN) {
        client_next(sim, s, STEP_ENDED, 0);
    } else if (spec->cancel_at_ms && sim->now_ms >= spec->cancel_at_ms && !s->cancelled) {
        s->cancelled = true;
        client_next(sim, s, STEP_CANCEL, 1);
    } else if (spec->pause_at_ms && sim->now_ms >= spec->pause_at_ms && !s->paused) {
        s->paused = true;
        client_next(sim, s, STEP_PAUSE, 1);
    } else {
        client_next(sim, s, STEP_WATCH, POLL_MS);
    }
}

static void client_answered(struct sim *sim, struct script *s, uint64_t value)
{
    const struct sim_spec *spec = &sim->specs[s - sim->client->scripts];
    switch (s->step) {
    case STEP_SUBMIT:
        client_next(sim, s, STEP_INPUT, 1);
        break;
    case STEP_INPUT:
        s->chunk++;
        client_next(sim, s, s->chunk < spec->chunks ? STEP_INPUT : STEP_SEAL,
                    1 + sim_below(sim, 500));
        break;
    case STEP_PAUSE:
        s->resume_at_ms = sim->now_ms + PAUSE_MS;
        client_next(sim, s, STEP_WATCH, POLL_MS);
        break;
    case STEP_SEAL:
    case STEP_RESUME:
    case STEP_CANCEL:
    case STEP_RETRY:
        client_next(sim, s, STEP_WATCH, POLL_MS);
        break;
    case STEP_WATCH:
        client_watch(sim, s, value);
        break;
    case STEP_ENDED:
        break;
    }
}

void sim_client_message(struct sim *sim, struct span message)
{
    struct wire_frame f;
    uint64_t request;
    struct span value;
    struct unpack u;
    if (wire_frame_read(message, &f, NULL) || wire_reply_read(f.body, &request, &value, NULL))
        return sim_violate(sim, "a reply does not decode");
    unpack_init(&u, value.p, value.len);
    for (uint32_t i = 0; i < sim->jobs; i++)
        if (sim->client->scripts[i].request == request)
            client_answered(sim, &sim->client->scripts[i], unpack_u64(&u));
}

bool sim_client_finished(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->jobs; i++)
        if (sim->client->scripts[i].step != STEP_ENDED)
            return false;
    return true;
}

void sim_client_init(struct sim *sim)
{
    sim->client = calloc(1, sizeof(*sim->client));
    assert(sim->client);
    buf_init(&sim->client->out, 0);
    for (uint32_t i = 0; i < sim->jobs; i++)
        client_next(sim, &sim->client->scripts[i], STEP_SUBMIT, sim_below(sim, 10000));
}

void sim_client_done(struct sim *sim)
{
    buf_done(&sim->client->out);
    free(sim->client);
}
