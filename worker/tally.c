#include "tally.h"

void tally_done(struct tally *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->entries[i].name);
    free(t->entries);
    *t = (struct tally){0};
}

static struct tally_entry *find(const struct tally *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->entries[i].name, name) == 0)
            return &t->entries[i];
    return NULL;
}

static struct tally_entry *make(struct tally *t, const char *name)
{
    if ((t->n & (t->n - 1)) == 0) {
        struct tally_entry *more = realloc(t->entries, MAX(2 * t->n, (size_t)1) * sizeof(*more));
        if (!more)
            return NULL;
        t->entries = more;
    }
    char *copy = strdup(name);
    if (!copy)
        return NULL;
    t->entries[t->n] = (struct tally_entry){copy, 0};
    return &t->entries[t->n++];
}

void tally_add(struct tally *t, const char *name, int64_t value)
{
    struct tally_entry *entry = find(t, name);
    if (!entry && t->n >= TALLY_MAX - 1)
        entry = find(t, name = "other");
    if (!entry)
        entry = make(t, name);
    if (entry)
        entry->value += value;
}

int64_t tally_get(const struct tally *t, const char *name)
{
    const struct tally_entry *entry = find(t, name);
    return entry ? entry->value : 0;
}

json_t *tally_json(const struct tally *t, const char *prefix)
{
    json_t *object = json_object();
    const size_t len = strlen(prefix);
    for (size_t i = 0; object && i < t->n; i++)
        if (strncmp(t->entries[i].name, prefix, len) == 0 &&
            json_object_set_new(object, t->entries[i].name + len,
                                json_integer(t->entries[i].value)) < 0) {
            json_decref(object);
            return NULL;
        }
    return object;
}
