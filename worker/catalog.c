#include "catalog.h"

#include "common/hash.h"

struct catalog_job {
    uint64_t job;
    struct catalog_job *next;
    struct pipeline *pipeline; /* NULL: not compiled */
    uint8_t uid[WIRE_UID_LEN];
    uint64_t generation;
    size_t len;
    char text[];
};

void catalog_init(struct catalog *c)
{
    *c = (struct catalog){0};
}

static struct catalog_job **find(struct catalog *c, uint64_t job)
{
    struct catalog_job **at = &c->buckets[hash_mix(job) % CATALOG_BUCKETS];
    while (*at && (*at)->job != job)
        at = &(*at)->next;
    return at;
}

static bool is_idle(const struct catalog_job *j)
{
    return !j->pipeline || j->pipeline->references == 1;
}

static void drop_compiled(struct catalog *c, struct catalog_job *j)
{
    if (j->pipeline)
        c->n_compiled--;
    pipeline_unref(TAKE_PTR(j->pipeline));
}

static void forget(struct catalog *c, struct catalog_job **at)
{
    struct catalog_job *j = *at;
    *at = j->next;
    drop_compiled(c, j);
    c->bytes -= j->len;
    free(j);
}

static void forget_all(struct catalog *c, bool idle_only)
{
    for (size_t i = 0; i < CATALOG_BUCKETS; i++)
        for (struct catalog_job **at = &c->buckets[i]; *at;)
            if (!idle_only || is_idle(*at))
                forget(c, at);
            else
                at = &(*at)->next;
}

void catalog_done(struct catalog *c)
{
    forget_all(c, false);
}

void catalog_session(struct catalog *c)
{
    forget_all(c, true);
}

int catalog_put(struct catalog *c, const struct wire_job *job, struct error *e)
{
    const struct span spec = job->spec;
    struct catalog_job **at = find(c, job->job);
    assert(job->uid.len == WIRE_UID_LEN);
    if (*at && (*at)->generation == job->generation &&
        memcmp((*at)->uid, job->uid.p, WIRE_UID_LEN) == 0 &&
        span_eq((struct span){(*at)->text, (*at)->len}, spec))
        return ERR_OK;
    struct catalog_job *j = malloc(sizeof(*j) + spec.len);
    if (!j)
        return error_set(e, ERR_NOMEM, "no memory for the description of a job");
    if (*at)
        forget(c, at);
    *j = (struct catalog_job){.job = job->job,
                              .generation = job->generation,
                              .len = spec.len,
                              .next = *at};
    memcpy(j->uid, job->uid.p, WIRE_UID_LEN);
    memcpy(j->text, spec.p, spec.len);
    *at = j;
    c->bytes += j->len;
    return ERR_OK;
}

int catalog_get(struct catalog *c, uint64_t job, struct pipeline **ret, struct error *e)
{
    struct catalog_job *j = *find(c, job);
    if (!j)
        return error_set(e, ERR_NOT_FOUND, "the description of the job was not sent");
    if (!j->pipeline) {
        if (c->n_compiled >= CATALOG_COMPILED_MAX)
            for (size_t i = 0; i < CATALOG_BUCKETS; i++)
                for (struct catalog_job *k = c->buckets[i]; k; k = k->next)
                    if (is_idle(k))
                        drop_compiled(c, k);
        const int rc = pipeline_parse((struct span){j->text, j->len}, false, NULL, &j->pipeline, e);
        if (rc != ERR_OK)
            return rc;
        memcpy(j->pipeline->uid, j->uid, WIRE_UID_LEN);
        j->pipeline->generation = j->generation;
        c->n_compiled++;
    }
    *ret = pipeline_ref(j->pipeline);
    return ERR_OK;
}

bool catalog_full(const struct catalog *c)
{
    return c->bytes > CATALOG_BYTES_MAX;
}
