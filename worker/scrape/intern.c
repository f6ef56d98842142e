#include "intern.h"

#include <pthread.h>

#include "common/hash.h"

/* Open addressing; never shrinks. The one global of the engine, as its strings are the process's. */
static struct {
    pthread_mutex_t lock;
    char **slots;
    size_t n, cap;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

static char **slot_of(char **slots, size_t cap, const char *s)
{
    size_t i = hash_64(s, strlen(s), 0) & (cap - 1);
    while (slots[i] && strcmp(slots[i], s) != 0)
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

static bool grow(void)
{
    size_t cap = table.cap ? table.cap * 2 : 64;
    char **slots = calloc(cap, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < table.cap; i++)
        if (table.slots[i])
            *slot_of(slots, cap, table.slots[i]) = table.slots[i];
    free(table.slots);
    table.slots = slots;
    table.cap = cap;
    return true;
}

const char *intern(const char *s)
{
    const char *found = NULL;
    pthread_mutex_lock(&table.lock);
    if (table.n * 2 < table.cap || grow()) {
        char **slot = slot_of(table.slots, table.cap, s);
        if (!*slot && table.n < INTERN_STRINGS_MAX && (*slot = strdup(s)))
            table.n++;
        found = *slot;
    }
    pthread_mutex_unlock(&table.lock);
    return found;
}
