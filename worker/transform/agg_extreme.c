/* agg_extreme.c: min and max, of every type that has an order. */
#include "agg_table.h"
#include "compare.h"

struct extreme {
    bool any;
    union {
        int64_t i;
        double f;
        struct num num;
        struct interval interval;
        struct {
            char *p; /* room for cap bytes, in the arena; reused while the texts fit */
            uint32_t len, cap;
        } text;
    };
};

static bool extreme_keep_text(struct extreme *x, struct span s, struct arena *a)
{
    if (s.len > x->text.cap || !x->text.p) {
        size_t cap = MAX(s.len * 2, (size_t)16);
        if (cap > UINT32_MAX)
            return false;
        x->text.p = arena_alloc(a, cap + VEC_PAD);
        if (!x->text.p)
            return false;
        x->text.cap = (uint32_t)cap;
    }
    memcpy(x->text.p, s.p, s.len);
    x->text.len = (uint32_t)s.len;
    return true;
}

static struct span extreme_text(const struct extreme *x)
{
    return (struct span){x->text.p, x->text.len};
}

static bool extreme_load_text(struct extreme *x, struct unpack *u, struct arena *a)
{
    struct span s = state_get_text(u);
    return unpack_ok(u) && extreme_keep_text(x, s, a);
}

/* Of equal values the last one stays, as in PostgreSQL: 1.5 and 1.50 show which. */
#define EXTREME(name, better_int, better)                                                          \
    UPDATE(name##_int_update)                                                                      \
    {                                                                                              \
        SEL_EACH(sel, i)                                                                           \
        {                                                                                          \
            struct extreme *x = STATE(struct extreme, i);                                          \
            if (!x->any || arg->i64[i] better_int x->i)                                            \
                x->i = arg->i64[i];                                                                \
            x->any = true;                                                                         \
        }                                                                                          \
        return true;                                                                               \
    }                                                                                              \
    MERGE(name##_int_merge)                                                                        \
    {                                                                                              \
        struct extreme *to = to_state;                                                             \
        const struct extreme *from = from_state;                                                   \
        if (from->any && (!to->any || from->i better_int to->i))                                   \
            *to = *from;                                                                           \
        return true;                                                                               \
    }                                                                                              \
    UPDATE(name##_float_update)                                                                    \
    {                                                                                              \
        SEL_EACH(sel, i)                                                                           \
        {                                                                                          \
            struct extreme *x = STATE(struct extreme, i);                                          \
            if (!x->any || compare_f64(arg->f64[i], x->f) better)                                  \
                x->f = arg->f64[i];                                                                \
            x->any = true;                                                                         \
        }                                                                                          \
        return true;                                                                               \
    }                                                                                              \
    MERGE(name##_float_merge)                                                                      \
    {                                                                                              \
        struct extreme *to = to_state;                                                             \
        const struct extreme *from = from_state;                                                   \
        if (from->any && (!to->any || compare_f64(from->f, to->f) better))                         \
            *to = *from;                                                                           \
        return true;                                                                               \
    }                                                                                              \
    UPDATE(name##_interval_update)                                                                 \
    {                                                                                              \
        SEL_EACH(sel, i)                                                                           \
        {                                                                                          \
            struct extreme *x = STATE(struct extreme, i);                                          \
            if (!x->any || compare_interval(arg->interval[i], x->interval) better)                 \
                x->interval = arg->interval[i];                                                    \
            x->any = true;                                                                         \
        }                                                                                          \
        return true;                                                                               \
    }                                                                                              \
    MERGE(name##_interval_merge)                                                                   \
    {                                                                                              \
        struct extreme *to = to_state;                                                             \
        const struct extreme *from = from_state;                                                   \
        if (from->any && (!to->any || compare_interval(from->interval, to->interval) better))      \
            *to = *from;                                                                           \
        return true;                                                                               \
    }                                                                                              \
    UPDATE(name##_num_update)                                                                      \
    {                                                                                              \
        SEL_EACH(sel, i)                                                                           \
        {                                                                                          \
            struct extreme *x = STATE(struct extreme, i);                                          \
            if (x->any && !(num_cmp(vec_num(arg, i), x->num, a) better))                           \
                continue;                                                                          \
            if (!num_keep(a, vec_num(arg, i), &x->num))                                            \
                return false;                                                                      \
            x->any = true;                                                                         \
        }                                                                                          \
        return true;                                                                               \
    }                                                                                              \
    MERGE(name##_num_merge)                                                                        \
    {                                                                                              \
        struct extreme *to = to_state;                                                             \
        const struct extreme *from = from_state;                                                   \
        if (!from->any || (to->any && !(num_cmp(from->num, to->num, a) better)))                   \
            return true;                                                                           \
        to->any = true;                                                                            \
        return num_keep(a, from->num, &to->num);                                                   \
    }                                                                                              \
    UPDATE(name##_text_update)                                                                     \
    {                                                                                              \
        SEL_EACH(sel, i)                                                                           \
        {                                                                                          \
            struct extreme *x = STATE(struct extreme, i);                                          \
            if (x->any && !(compare_text(arg->text[i], extreme_text(x)) better))                   \
                continue;                                                                          \
            if (!extreme_keep_text(x, arg->text[i], a))                                            \
                return false;                                                                      \
            x->any = true;                                                                         \
        }                                                                                          \
        return true;                                                                               \
    }                                                                                              \
    MERGE(name##_text_merge)                                                                       \
    {                                                                                              \
        struct extreme *to = to_state;                                                             \
        const struct extreme *from = from_state;                                                   \
        if (!from->any ||                                                                          \
            (to->any && !(compare_text(extreme_text(from), extreme_text(to)) better)))             \
            return true;                                                                           \
        to->any = true;                                                                            \
        return extreme_keep_text(to, extreme_text(from), a);                                       \
    }

EXTREME(min, <=, <= 0)
EXTREME(max, >=, >= 0)

FINISH(extreme_int_finish)
{
    const struct extreme *x = state;
    out->i64[i] = x->i;
    if (!x->any)
        vec_set_null(out, i);
    return true;
}

FINISH(extreme_float_finish)
{
    const struct extreme *x = state;
    out->f64[i] = x->f;
    if (!x->any)
        vec_set_null(out, i);
    return true;
}

FINISH(extreme_interval_finish)
{
    const struct extreme *x = state;
    out->interval[i] = x->interval;
    if (!x->any)
        vec_set_null(out, i);
    return true;
}

FINISH(extreme_num_finish)
{
    const struct extreme *x = state;
    vec_put_num(out, i, x->any ? x->num : num_of(0));
    if (!x->any)
        vec_set_null(out, i);
    return true;
}

FINISH(extreme_text_finish)
{
    const struct extreme *x = state;
    out->text[i] = extreme_text(x);
    if (!x->any)
        vec_set_null(out, i);
    return true;
}

/* nil, or the value */
#define EXTREME_WIRE(kind, put, get)                                                               \
    SAVE(extreme_##kind##_save)                                                                    \
    {                                                                                              \
        const struct extreme *x = state;                                                           \
        if (x->any)                                                                                \
            put;                                                                                   \
        else                                                                                       \
            pack_nil(out);                                                                         \
    }                                                                                              \
    LOAD(extreme_##kind##_load)                                                                    \
    {                                                                                              \
        struct extreme *x = state;                                                                 \
        x->any = unpack_peek(u) != UNPACK_NIL;                                                     \
        if (x->any)                                                                                \
            return get;                                                                            \
        unpack_skip(u);                                                                            \
        return unpack_ok(u);                                                                       \
    }

EXTREME_WIRE(int, pack_i64(out, x->i), (x->i = unpack_i64(u), unpack_ok(u)))
EXTREME_WIRE(date, pack_i64(out, x->i),
             (x->i = unpack_i64(u), u->failed |= !calendar_date_fits(x->i), unpack_ok(u)))
EXTREME_WIRE(time, pack_i64(out, x->i),
             (x->i = unpack_i64(u), u->failed |= !calendar_time_fits(x->i), unpack_ok(u)))
EXTREME_WIRE(interval, state_put_interval(out, x->interval),
             (x->interval = state_get_interval(u), unpack_ok(u)))
EXTREME_WIRE(float, pack_f64(out, x->f), (x->f = unpack_f64(u), unpack_ok(u)))
EXTREME_WIRE(num, state_put_num(out, x->num), state_get_num(u, a, &x->num))
EXTREME_WIRE(text, pack_str(out, extreme_text(x)), extreme_load_text(x, u, a))

#define EXTREMES(fname)                                                                            \
    AGG(#fname, INT4, INT4, SAME, struct extreme, fname##_int, extreme_int, extreme_int),          \
        AGG(#fname, INT8, INT8, SAME, struct extreme, fname##_int, extreme_int, extreme_int),      \
        AGG(#fname, NUMERIC, NUMERIC, SAME, struct extreme, fname##_num, extreme_num,              \
            extreme_num),                                                                          \
        AGG(#fname, FLOAT8, FLOAT8, SAME, struct extreme, fname##_float, extreme_float,            \
            extreme_float),                                                                        \
        AGG(#fname, TEXT, TEXT, SAME, struct extreme, fname##_text, extreme_text, extreme_text),   \
        AGG(#fname, DATE, DATE, SAME, struct extreme, fname##_int, extreme_int, extreme_date),     \
        AGG(#fname, TIMESTAMP, TIMESTAMP, SAME, struct extreme, fname##_int, extreme_int,          \
            extreme_time),                                                                         \
        AGG(#fname, TIMESTAMPTZ, TIMESTAMPTZ, SAME, struct extreme, fname##_int, extreme_int,      \
            extreme_time),                                                                         \
        AGG(#fname, INTERVAL, INTERVAL, SAME, struct extreme, fname##_interval, extreme_interval,  \
            extreme_interval)

static const struct agg aggs[] = {
    EXTREMES(min),
    EXTREMES(max),
};

AGG_TABLE(agg_extreme_table, aggs);
