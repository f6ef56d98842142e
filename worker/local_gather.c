#include "local_gather.h"

#include "common/pack.h"
#include "worker/output.h"

void local_gather_init(struct local_gather *g)
{
    *g = (struct local_gather){0};
    pthread_mutex_init(&g->lock, NULL);
}

int local_gather_open(struct local_gather *g, const struct pipeline *p, const struct blobset *blobs,
                      struct error *e)
{
    return pipeline_gathers(p) ? pipeline_gather_new(p, blobs, &g->gather, e) : ERR_OK;
}

void local_gather_done(struct local_gather *g)
{
    pipeline_gather_free(g->gather);
    pthread_mutex_destroy(&g->lock);
}

void local_gather_add(struct local_gather *g, struct output *o)
{
    if (o->error != ERR_OK || o->partial.len == 0)
        return;
    pthread_mutex_lock(&g->lock);
    if (g->error.code == ERR_OK)
        (void)!pipeline_gather_add(g->gather, buf_span(&o->partial), &g->error);
    pthread_mutex_unlock(&g->lock);
    buf_done(&o->partial);
}

int local_gather_item(struct local_gather *g, struct buf *item, bool *ret_wanted, struct error *e)
{
    *ret_wanted = g->gather && !g->ended;
    if (!*ret_wanted)
        return ERR_OK;
    g->ended = true;
    if (g->error.code != ERR_OK)
        return error_set(e, g->error.code, "%s", g->error.detail);
    buf_clear(item);
    pack_array(item, 2);
    pack_str(item, SPAN(SPEC_GATHER_ITEM));
    pack_u64(item, 0);
    return ERR_OK;
}
