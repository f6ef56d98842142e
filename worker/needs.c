#include "needs.h"

struct names {
    struct blob_name *items;
    size_t n, cap;
};

/* Each once: from the end, since the same one mostly comes several times in a row. */
static int names_add(void *user, const struct blob_name *name)
{
    struct names *all = user;
    for (size_t i = all->n; i > 0; i--)
        if (blob_name_eq(&all->items[i - 1], name))
            return ERR_OK;
    if (all->n == NEEDS_BLOBS_MAX)
        return ERR_LIMIT;
    if (all->n == all->cap) {
        const size_t cap = all->cap ? all->cap * 2 : 8;
        struct blob_name *grown = realloc(all->items, cap * sizeof(*grown));
        if (!grown)
            return ERR_NOMEM;
        all->items = grown;
        all->cap = cap;
    }
    all->items[all->n++] = *name;
    return ERR_OK;
}

int needs_blobs(struct cache *c, const struct pipeline *p, struct span items,
                struct cache_need **ret, struct error *e)
{
    struct names all = {0};
    int rc = pipeline_blobs(p, items, names_add, &all);
    *ret = NULL;
    if (rc == ERR_LIMIT)
        error_set(e, ERR_LIMIT,
                  "a task that needs more than %d blobs: give the job a smaller task_items",
                  NEEDS_BLOBS_MAX);
    else if (rc)
        error_set(e, (enum err)rc, "the blobs of a task cannot be listed");
    if (rc == ERR_OK && all.n > 0)
        rc = cache_need(c, all.items, all.n, ret, e);
    free(all.items);
    return rc;
}
