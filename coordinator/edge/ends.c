#include "ends.h"

#include "common/log.h"
#include "coordinator/edge/sink_thread.h"

/* One ended job; it lives until each of its sinks has answered. */
struct ended {
    uint64_t job;
    struct spec_sink *sinks;
    size_t n_sinks, refs;
    struct end_request {
        struct sink_request request; /* first: what comes back is cast */
        struct ended *of;
    } requests[SPEC_SINKS_MAX];
};

static void unref(struct ended *end)
{
    if (--end->refs > 0)
        return;
    for (size_t i = 0; i < end->n_sinks; i++)
        spec_sink_done(&end->sinks[i]);
    free(end->sinks);
    free(end);
}

static void told(struct sink_request *r, void *user)
{
    struct ended *end = ((struct end_request *)r)->of;
    const struct edge *e = user;
    if (r->rc)
        LOG_WARN("a sink was not told that a job ended", log_u64("job", end->job),
                 log_str("sink", e ? e->sinks->entries[r->sink].downstream : NULL),
                 log_err(&r->error));
    unref(end);
}

void ends_tell(struct edge *e, struct job *job, enum sched_job_end how)
{
    static const char *const states[] = {[SCHED_JOB_DONE] = "done",
                                         [SCHED_JOB_FAILED] = "failed",
                                         [SCHED_JOB_CANCELLED] = "cancelled"};
    struct spec *spec = job->spec;
    bool any = false;
    for (size_t i = 0; i < spec->n_sinks; i++)
        any |= sinks_of(e->sinks, &spec->sinks[i]) != SINKS_NONE;
    struct ended *end = any ? calloc(1, sizeof(*end)) : NULL;
    if (!end)
        return;
    *end = (struct ended){.job = job->id, .sinks = TAKE_PTR(spec->sinks), .n_sinks = spec->n_sinks};
    spec->n_sinks = 0;
    end->refs = 1;
    for (size_t i = 0; i < end->n_sinks; i++) {
        size_t index = sinks_of(e->sinks, &end->sinks[i]);
        if (index == SINKS_NONE)
            continue;
        struct end_request *r = &end->requests[i];
        r->of = end;
        r->request = (struct sink_request){
            .ask = SINK_JOB_END,
            .sink = index,
            .target = &end->sinks[i],
            .generation = JOBS_GENERATION,
            .fenced = how == SCHED_JOB_CANCELLED,
            .state = states[how],
            .done = told,
        };
        memcpy(r->request.uid, job->uid, sizeof(job->uid));
        end->refs++;
        sink_thread_submit(e->sink_thread, &r->request);
    }
    unref(end);
}
