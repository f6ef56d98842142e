#include "vec.h"

static size_t cell_bytes(enum sqltype type)
{
    switch (type) {
    case SQLTYPE_BOOL:
        return 1;
    case SQLTYPE_TEXT:
    case SQLTYPE_JSON:
        return sizeof(struct span);
    case SQLTYPE_INTERVAL:
        return sizeof(struct interval);
    default:
        return 8;
    }
}

int vec_init(struct vec *v, enum sqltype type)
{
    *v = (struct vec){.type = type, .scale = type == SQLTYPE_NUMERIC ? VEC_MIXED : 0};
    v->i64 = calloc(VEC_ROWS, cell_bytes(type));
    if (type == SQLTYPE_NUMERIC)
        v->scales = calloc(VEC_ROWS, 1);
    if (!v->i64 || (type == SQLTYPE_NUMERIC && !v->scales)) {
        vec_done(v);
        return ERR_NOMEM;
    }
    return ERR_OK;
}

void vec_done(struct vec *v)
{
    free(v->i64);
    free(v->scales);
    *v = (struct vec){0};
}

void vec_settle_scale(struct vec *v, const struct sel *sel)
{
    uint8_t first = NUM_BIG;
    bool same = true, any = false;
    SEL_EACH(sel, i)
    {
        if (vec_is_null(v, i))
            continue;
        if (!any)
            first = v->scales[i];
        any = true;
        same &= v->scales[i] == first;
    }
    v->scale = any && same && first != NUM_BIG ? first : VEC_MIXED;
}

struct sel vec_not_null(const struct vec *v, const struct sel *sel, uint16_t *room)
{
    if (!v->has_nulls)
        return *sel;
    uint32_t n = 0;
    SEL_EACH(sel, i)
    {
        room[n] = (uint16_t)i;
        n += !(v->nulls[i / 64] >> (i % 64) & 1);
    }
    return (struct sel){room, n};
}

void vec_copy(struct vec *to, const struct vec *from, const struct sel *sel)
{
    SEL_EACH(sel, i)
    {
        if (vec_is_null(from, i)) {
            vec_set_null(to, i);
            continue;
        }
        if (to->has_nulls)
            to->nulls[i / 64] &= ~(UINT64_C(1) << (i % 64));
        switch (to->type) {
        case SQLTYPE_BOOL:
            to->b8[i] = from->b8[i];
            break;
        case SQLTYPE_TEXT:
        case SQLTYPE_JSON:
            to->text[i] = from->text[i];
            break;
        case SQLTYPE_INTERVAL:
            to->interval[i] = from->interval[i];
            break;
        case SQLTYPE_NUMERIC:
            vec_put_num(to, i, vec_num(from, i));
            break;
        default:
            to->i64[i] = from->i64[i];
            break;
        }
    }
}
