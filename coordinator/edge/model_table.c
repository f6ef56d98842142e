#include "model_table.h"

#include <stdio.h>

#include "common/suggest.h"

struct model_table {
    struct model **items; /* in order of names and versions */
    size_t n, cap;
};

struct model_table *model_table_new(void)
{
    return calloc(1, sizeof(struct model_table));
}

static void model_free(struct model *m)
{
    assert(!m->queue);
    model_info_free(m->info);
    free(m);
}

void model_table_free(struct model_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        model_free(t->items[i]);
    free(t->items);
    free(t);
}

static int compare(const struct model *m, struct span name, uint64_t version)
{
    size_t len = strlen(m->name), n = MIN(len, name.len);
    int order = n ? memcmp(m->name, name.p, n) : 0;
    if (order == 0)
        order = (len > name.len) - (len < name.len);
    return order ? order : (m->version > version) - (m->version < version);
}

/* The first that is not before it. */
static size_t place(const struct model_table *t, struct span name, uint64_t version)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(t->items[middle], name, version) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int model_table_add(struct model_table *t, const struct store_model *from, struct model **ret,
                    struct error *e)
{
    if (from->name.len > MODEL_NAME_MAX)
        return error_set(e, ERR_MALFORMED, "a model's name of %zu bytes", from->name.len);
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 16;
        struct model **grown = realloc(t->items, cap * sizeof(struct model *));
        if (!grown)
            return error_set(e, ERR_NOMEM, "no memory for a model");
        t->items = grown;
        t->cap = cap;
    }
    struct model *m = calloc(1, sizeof(*m));
    int rc = m ? model_info_read(from->info, &m->info, e)
               : error_set(e, ERR_NOMEM, "no memory for a model");
    if (rc) {
        free(m);
        return rc;
    }
    memcpy(m->name, from->name.p, from->name.len);
    m->version = from->version;
    m->blob = from->blob;
    m->has_sample = from->has_sample;
    m->sample = from->sample;
    m->tolerance = from->tolerance;
    m->created_ms = from->created_ms;
    size_t at = place(t, from->name, from->version);
    memmove(&t->items[at + 1], &t->items[at], (t->n - at) * sizeof(struct model *));
    t->items[at] = m;
    t->n++;
    *ret = m;
    return ERR_OK;
}

void model_table_remove(struct model_table *t, struct model *m)
{
    size_t at = place(t, span_str(m->name), m->version);
    assert(at < t->n && t->items[at] == m);
    t->n--;
    memmove(&t->items[at], &t->items[at + 1], (t->n - at) * sizeof(struct model *));
    model_free(m);
}

struct model *model_table_find(const struct model_table *t, struct span name, uint64_t version)
{
    size_t at = place(t, name, version ? version : UINT64_MAX);
    if (!version)
        at--; /* the one before what comes after all of its versions */
    if (at >= t->n || !span_eq(span_str(t->items[at]->name), name))
        return NULL;
    return version && t->items[at]->version != version ? NULL : t->items[at];
}

/* Names that are like it; returns ret. */
static const char *suggest(const struct model_table *t, struct span name,
                           char ret[SUGGEST_TEXT_LEN])
{
    char word[MODEL_NAME_MAX + 1];
    const char **names = calloc(t->n + 1, sizeof(*names));
    size_t n = 0;
    snprintf(word, sizeof(word), "%.*s", (int)MIN(name.len, (size_t)MODEL_NAME_MAX),
             name.p ? name.p : "");
    ret[0] = 0;
    for (size_t i = 0; names && i < t->n; i++)
        if (model_table_is_newest(t, i))
            names[n++] = t->items[i]->name;
    if (names)
        suggest_text(word, names, n, ret);
    free(names);
    return ret;
}

int model_table_need(const struct model_table *t, struct span name, uint64_t version,
                     struct model **ret, struct error *e)
{
    struct model *m = model_table_find(t, name, version);
    int len = (int)MIN(name.len, (size_t)100);
    if (m) {
        *ret = m;
        return ERR_OK;
    }
    m = model_table_find(t, name, 0);
    if (m)
        return error_set(e, ERR_NOT_FOUND,
                         "there is no version %llu of the model %.*s; the newest is %llu",
                         (unsigned long long)version, len, name.p, (unsigned long long)m->version);
    char hint[SUGGEST_TEXT_LEN];
    return error_set(e, ERR_NOT_FOUND, "there is no model named \"%.*s\"%s", len,
                     name.p ? name.p : "", suggest(t, name, hint));
}

struct model *model_table_at(const struct model_table *t, size_t i)
{
    return i < t->n ? t->items[i] : NULL;
}

bool model_table_is_newest(const struct model_table *t, size_t i)
{
    return i + 1 >= t->n || strcmp(t->items[i]->name, t->items[i + 1]->name) != 0;
}
