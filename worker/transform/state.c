#include "state.h"

#include "agg.h"
#include "common/hash.h"
#include "common/pack.h"
#include "common/utf8.h"
#include "jsontext.h"

enum { ARENA_BYTES_MAX = 64 * 1024 * 1024 /* of the values of one record, or of VEC_ROWS rows */ };

uint64_t state_plan(const struct plan *p)
{
    uint64_t h = hash_64(p->sql.p, p->sql.len, STATE_VERSION);
    for (size_t i = 0; i < p->n_columns; i++) /* types decide what a text of SQL means */
        h = hash_mix(h ^ (uint64_t)p->columns[i].type);
    for (size_t i = 0; i < p->n_keys + p->n_aggs; i++)
        h = hash_mix(h ^ (uint64_t)p->group_types[i]);
    for (size_t i = 0; i < p->n_aggs; i++)
        h = hash_64(p->aggs[i].agg->name, strlen(p->aggs[i].agg->name), h);
    for (size_t i = 0; i < p->n_results; i++)
        h = hash_mix(h ^ (uint64_t)p->results[i].expr->type);
    return h;
}

/* ---- single values ---- */

struct span state_get_text(struct unpack *u)
{
    struct span s = unpack_str(u);
    if (s.len > 0 && (utf8_valid_prefix(s) != s.len || memchr(s.p, '\0', s.len)))
        u->failed = true;
    return unpack_ok(u) && s.p ? s : SPAN("");
}

/* Scale and mantissa, or a text when it is long. */
void state_put_num(struct buf *out, struct num x)
{
    if (x.big) {
        struct buf text = {0};
        big_text(x.big, &text);
        out->failed |= !buf_ok(&text);
        pack_str(out, buf_span(&text));
        buf_done(&text);
        return;
    }
    pack_u64(out, (uint64_t)x.scale);
    pack_i64(out, x.m);
}

bool state_get_num(struct unpack *u, struct arena *a, struct num *ret)
{
    bool too_long;
    if (unpack_peek(u) == UNPACK_STR) {
        bool ok = num_parse(a, state_get_text(u), ret, &too_long);
        u->failed |= !ok && a->used_bytes < a->limit_bytes;
        return ok;
    }
    uint64_t scale = unpack_u64(u);
    int64_t m = unpack_i64(u);
    if (scale > NUM_SCALE_MAX)
        u->failed = true;
    *ret = (struct num){.m = m, .scale = (int32_t)MIN(scale, (uint64_t)NUM_SCALE_MAX)};
    return unpack_ok(u);
}

void state_put_interval(struct buf *out, struct interval x)
{
    pack_i64(out, x.us);
    pack_i64(out, x.days);
    pack_i64(out, x.months);
}

struct interval state_get_interval(struct unpack *u)
{
    int64_t us = unpack_i64(u), days = unpack_i64(u), months = unpack_i64(u);
    u->failed |= days != (int32_t)days || months != (int32_t)months;
    return (struct interval){us, (int32_t)days, (int32_t)months};
}

/* ---- writing ---- */

void state_put_head(struct buf *out, const struct state_head *head)
{
    pack_u64(out, STATE_VERSION);
    pack_u64(out, head->kind);
    pack_u64(out, head->plan);
    pack_u64(out, head->rows);
    pack_u64(out, head->rejects);
    pack_u64(out, head->results);
}

void state_put(struct buf *out, const struct vec *v, uint32_t i)
{
    if (vec_is_null(v, i)) {
        pack_nil(out);
        return;
    }
    switch (v->type) {
    case SQLTYPE_BOOL:
        pack_bool(out, v->b8[i]);
        break;
    case SQLTYPE_NUMERIC:
        state_put_num(out, vec_num(v, i));
        break;
    case SQLTYPE_FLOAT8:
        pack_f64(out, v->f64[i]);
        break;
    case SQLTYPE_TEXT:
    case SQLTYPE_JSON:
        pack_str(out, v->text[i]);
        break;
    case SQLTYPE_INTERVAL:
        state_put_interval(out, v->interval[i]);
        break;
    default:
        pack_i64(out, v->i64[i]);
        break;
    }
}

/* ---- reading ---- */

int state_in_init(struct state_in *in, struct span from, enum state_kind kind, uint64_t plan,
                  struct error *e)
{
    *in = (struct state_in){0};
    arena_init(&in->arena, ARENA_BYTES_MAX);
    unpack_init(&in->u, from.p, from.len);
    uint64_t version = unpack_u64(&in->u);
    if (unpack_ok(&in->u) && version != STATE_VERSION)
        return error_set(e, ERR_MALFORMED, "a partial state of version %llu, %d is known here",
                         (unsigned long long)version, STATE_VERSION);
    uint64_t found = unpack_u64(&in->u);
    in->head = (struct state_head){.kind = kind, .plan = unpack_u64(&in->u)};
    in->head.rows = unpack_u64(&in->u);
    in->head.rejects = unpack_u64(&in->u);
    in->head.results = unpack_u64(&in->u);
    if (unpack_ok(&in->u) && (found != kind || in->head.plan != plan))
        return error_set(e, ERR_MALFORMED, "a partial state of another query");
    return state_in_check(in, e);
}

void state_in_done(struct state_in *in)
{
    arena_done(&in->arena);
}

int state_in_check(const struct state_in *in, struct error *e)
{
    if (in->no_memory)
        return error_set(e, ERR_NOMEM, "a partial state");
    if (!unpack_ok(&in->u))
        return error_set(e, ERR_MALFORMED, "a partial state that is cut or damaged");
    return ERR_OK;
}

/* With VEC_PAD behind it. */
static void get_text(struct state_in *in, struct vec *v, uint32_t i)
{
    struct span s = state_get_text(&in->u);
    char *to = arena_alloc(&in->arena, s.len + VEC_PAD);
    if (!to) {
        in->no_memory = true;
        return;
    }
    memcpy(to, s.p, s.len);
    memset(to + s.len, 0, VEC_PAD);
    v->text[i] = (struct span){to, s.len};
}

static void get_int(struct state_in *in, struct vec *v, uint32_t i)
{
    v->i64[i] = unpack_i64(&in->u);
    if (v->type == SQLTYPE_INT4 && (v->i64[i] < INT32_MIN || v->i64[i] > INT32_MAX))
        in->u.failed = true;
    if (v->type == SQLTYPE_DATE
            ? !calendar_date_fits(v->i64[i])
            : (v->type == SQLTYPE_TIMESTAMP || v->type == SQLTYPE_TIMESTAMPTZ) &&
                  !calendar_time_fits(v->i64[i]))
        in->u.failed = true;
}

void state_get(struct state_in *in, struct vec *v, uint32_t i)
{
    struct num x = num_of(0);
    if (unpack_peek(&in->u) == UNPACK_NIL) {
        vec_set_null(v, i);
        if (sqltype_is_text(v->type))
            get_text(in, v, i); /* nil is an empty one */
        else
            unpack_skip(&in->u);
        if (v->type == SQLTYPE_NUMERIC)
            vec_put_num(v, i, x);
        return;
    }
    switch (v->type) {
    case SQLTYPE_BOOL:
        v->b8[i] = unpack_bool(&in->u);
        break;
    case SQLTYPE_NUMERIC:
        in->no_memory |= !state_get_num(&in->u, &in->arena, &x) && unpack_ok(&in->u);
        vec_put_num(v, i, x);
        break;
    case SQLTYPE_FLOAT8:
        v->f64[i] = unpack_f64(&in->u);
        break;
    case SQLTYPE_TEXT:
        get_text(in, v, i);
        break;
    case SQLTYPE_JSON:
        get_text(in, v, i);
        in->u.failed |= !in->no_memory && !jsontext_valid(v->text[i]);
        break;
    case SQLTYPE_INTERVAL:
        v->interval[i] = state_get_interval(&in->u);
        break;
    default:
        get_int(in, v, i);
        break;
    }
}
