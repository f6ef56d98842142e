#include "agg.h"

#include "agg_table.h"

static const struct agg_table *const tables[] = {&agg_sum_table, &agg_extreme_table,
                                                 &agg_flags_table, &agg_spread_table,
                                                 &agg_string_table};

const struct agg *agg_at(size_t i)
{
    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        if (i < tables[t]->n)
            return &tables[t]->aggs[i];
        i -= tables[t]->n;
    }
    return NULL;
}

bool agg_known(const char *name)
{
    const struct agg *a;
    for (size_t i = 0; (a = agg_at(i)); i++)
        if (strcmp(a->name, name) == 0)
            return true;
    return false;
}

/* What an open column becomes in the aggregate: a number if it can be one, but in min and max
 * text. */
static bool takes_open(const struct agg *a)
{
    bool extreme = strcmp(a->name, "min") == 0 || strcmp(a->name, "max") == 0;
    return a->arg == SQLTYPE_OPEN || a->arg == SQLTYPE_BOOL ||
           a->arg == (extreme ? SQLTYPE_TEXT : SQLTYPE_NUMERIC);
}

const struct agg *agg_find(const char *name, enum sqltype type, bool star)
{
    const struct agg *a;
    for (size_t i = 0; (a = agg_at(i)); i++) {
        if (strcmp(a->name, name) != 0 || (star && a->arg != SQLTYPE_OPEN))
            continue;
        if (a->arg == SQLTYPE_OPEN || a->arg == type || (type == SQLTYPE_OPEN && takes_open(a)) ||
            (type == SQLTYPE_UNKNOWN && a->arg == SQLTYPE_TEXT))
            return a;
    }
    return NULL;
}
