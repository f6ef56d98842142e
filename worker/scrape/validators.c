#include "validators.h"

#include "common/hash.h"

struct validators {
    struct validator entries[VALIDATORS_MAX];
};

struct validators *validators_new(void)
{
    return calloc(1, sizeof(struct validators));
}

void validators_free(struct validators *v)
{
    free(v);
}

const struct validator *validators_get(const struct validators *v, struct span url, uint64_t job_id)
{
    struct hash128 h = hash_128(url.p, url.len, 1);
    const struct validator *e = &v->entries[h.lo % VALIDATORS_MAX];
    bool found = e->url_lo == h.lo && e->url_hi == h.hi && e->job_id != job_id;
    return found ? e : NULL;
}

static void copy(char *to, size_t cap, struct span s)
{
    to[0] = 0;
    if (s.len >= cap)
        return;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return;
    if (s.len > 0)
        memcpy(to, s.p, s.len);
    to[s.len] = 0;
}

void validators_put(struct validators *v, struct span url, uint64_t job_id, struct span etag,
                    struct span last_modified)
{
    struct hash128 h = hash_128(url.p, url.len, 1);
    struct validator *e = &v->entries[h.lo % VALIDATORS_MAX];
    *e = (struct validator){.url_lo = h.lo, .url_hi = h.hi, .job_id = job_id};
    copy(e->etag, sizeof e->etag, etag);
    copy(e->last_modified, sizeof e->last_modified, last_modified);
    if (!e->etag[0] && !e->last_modified[0])
        *e = (struct validator){0};
}
