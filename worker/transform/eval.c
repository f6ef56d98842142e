#include "eval.h"

#include "func.h"

enum { ROOM_BYTES = 32 * 1024, CALL_ARGS_MAX = 100 };

static void fill_text(struct vec *to, struct span text)
{
    to->ascii = true;
    for (size_t i = 0; i < text.len; i++)
        to->ascii &= (uint8_t)text.p[i] < 0x80;
    for (uint32_t i = 0; i < VEC_ROWS; i++)
        to->text[i] = text;
}

/* A constant is a vector that is filled once. */
static void fill(struct vec *to, const struct expr *e)
{
    uint8_t scale = 0;
    to->constant = true;
    if (e->null) {
        memset(to->nulls, 0xff, sizeof to->nulls);
        to->has_nulls = true;
        return;
    }
    switch (e->type) {
    case SQLTYPE_BOOL:
        memset(to->b8, e->value.b, VEC_ROWS);
        break;
    case SQLTYPE_TEXT:
    case SQLTYPE_JSON:
        fill_text(to, e->value.text);
        break;
    case SQLTYPE_NUMERIC:
        for (uint32_t i = 0; i < VEC_ROWS; i++)
            to->i64[i] = num_pack(e->value.num, &scale);
        memset(to->scales, scale, VEC_ROWS);
        to->scale = scale == NUM_BIG ? VEC_MIXED : scale;
        break;
    case SQLTYPE_FLOAT8:
        for (uint32_t i = 0; i < VEC_ROWS; i++)
            to->f64[i] = e->value.f;
        break;
    case SQLTYPE_INTERVAL:
        for (uint32_t i = 0; i < VEC_ROWS; i++)
            to->interval[i] = e->value.interval;
        break;
    default:
        for (uint32_t i = 0; i < VEC_ROWS; i++)
            to->i64[i] = e->value.i;
        break;
    }
}

int eval_init(struct eval *v, const struct expr *const *nodes, size_t n_nodes,
              const enum sqltype *columns, size_t n_columns)
{
    *v = (struct eval){.n_columns = n_columns, .n_nodes = n_nodes};
    arena_init(&v->scratch, EVAL_SCRATCH_MAX);
    v->columns = calloc(n_columns + 1, sizeof *v->columns);
    v->nodes = calloc(n_nodes + 1, sizeof *v->nodes);
    v->faults = calloc(VEC_ROWS, sizeof *v->faults);
    int rc = v->columns && v->nodes && v->faults ? ERR_OK : ERR_NOMEM;
    for (size_t i = 0; i < n_columns && rc == ERR_OK; i++)
        if (columns[i] != SQLTYPE_OPEN)
            rc = vec_init(&v->columns[i], columns[i]);
    for (size_t i = 0; i < n_nodes && rc == ERR_OK; i++) {
        if (nodes[i]->kind == EXPR_COLUMN)
            continue;
        rc = vec_init(&v->nodes[i], nodes[i]->type);
        if (rc == ERR_OK && nodes[i]->kind == EXPR_CONST)
            fill(&v->nodes[i], nodes[i]);
    }
    if (rc)
        eval_done(v);
    return rc;
}

void eval_done(struct eval *v)
{
    for (size_t i = 0; v->columns && i < v->n_columns; i++)
        vec_done(&v->columns[i]);
    for (size_t i = 0; v->nodes && i < v->n_nodes; i++)
        vec_done(&v->nodes[i]);
    free(v->columns);
    free(v->nodes);
    free(v->faults);
    arena_done(&v->scratch);
    *v = (struct eval){0};
}

void eval_block(struct eval *v)
{
    arena_clear(&v->scratch);
    v->room = v->room_end = NULL;
    eval_forget_faults(v);
}

void eval_forget_faults(struct eval *v)
{
    v->n_faults = 0;
    memset(v->bad, 0, sizeof v->bad);
}

int eval_check(const struct eval *v, struct error *e)
{
    if (!v->error && !v->scratch.failed)
        return ERR_OK;
    return error_set(e, v->error ? (enum err)v->error : ERR_LIMIT,
                     "the results of a block need too much memory");
}

char *eval_room(struct eval *v, size_t n)
{
    if ((size_t)(v->room_end - v->room) < n + VEC_PAD || !v->room) {
        size_t bytes = MAX(n + VEC_PAD, (size_t)ROOM_BYTES);
        char *more = arena_alloc(&v->scratch, bytes);
        if (!more) {
            v->error = ERR_LIMIT;
            v->room = v->lost;
            v->room_end = v->lost + sizeof v->lost;
            return v->lost;
        }
        v->room = more;
        v->room_end = more + bytes;
    }
    return v->room;
}

void eval_fault_value(struct eval *v, uint32_t row, const char *reason, const char *column,
                      uint32_t at, struct span value)
{
    uint64_t bit = UINT64_C(1) << (row % 64);
    if (v->bad[row / 64] & bit)
        return;
    v->bad[row / 64] |= bit;
    v->faults[v->n_faults++] = (struct eval_fault){
        .row = row, .reason = reason, .column = column, .at = at, .value = value};
}

void eval_fault(struct eval *v, uint32_t row, const char *reason, const struct expr *at)
{
    eval_fault_value(v, row, reason, NULL, at->at, (struct span){0});
}

struct sel eval_good(const struct eval *v, const struct sel *sel, uint16_t *room)
{
    uint32_t n = 0;
    if (v->n_faults == 0)
        return *sel;
    SEL_EACH(sel, i)
    {
        room[n] = (uint16_t)i;
        n += !(v->bad[i / 64] >> (i % 64) & 1);
    }
    return (struct sel){room, n};
}

struct sel eval_true(const struct vec *v, const struct sel *sel, uint16_t *room)
{
    uint32_t n = 0;
    SEL_EACH(sel, i)
    {
        room[n] = (uint16_t)i;
        n += v->b8[i] && !vec_is_null(v, i);
    }
    return (struct sel){room, n};
}

static uint16_t *sel_room(struct eval *v)
{
    uint16_t *room = arena_alloc(&v->scratch, VEC_ROWS * sizeof *room);
    if (!room)
        v->error = ERR_LIMIT;
    return room ? room : v->lost_rows;
}

/* AND (stop false) and OR (stop true): a row that one argument decides is not looked at again. */
static void run_logic(struct eval *v, const struct expr *e, const struct sel *sel, struct vec *out,
                      bool stop)
{
    struct sel open = *sel;
    uint16_t *room = sel_room(v);
    vec_no_nulls(out);
    SEL_EACH(sel, i)
    out->b8[i] = !stop;
    for (uint32_t k = 0; k < e->n_args && open.n > 0; k++) {
        const struct vec *arg = eval_run(v, e->args[k], &open);
        uint32_t n = 0;
        SEL_EACH(&open, i)
        {
            bool null = vec_is_null(arg, i), decided = !null && arg->b8[i] == stop;
            if (decided) {
                out->b8[i] = stop;
                if (out->has_nulls)
                    out->nulls[i / 64] &= ~(UINT64_C(1) << (i % 64));
            } else if (null) {
                vec_set_null(out, i);
            }
            room[n] = (uint16_t)i;
            n += !decided;
        }
        open = (struct sel){room, n};
    }
}

static void begin_pieces(struct vec *out)
{
    vec_no_nulls(out);
    out->ascii = true;
    out->scale = out->type == SQLTYPE_NUMERIC ? VEC_MIXED : 0;
}

static void add_piece(struct vec *out, const struct vec *from, const struct sel *sel)
{
    if (sel->n == 0)
        return;
    vec_copy(out, from, sel);
    out->ascii &= from->ascii || (from->constant && from->has_nulls);
}

static void run_case(struct eval *v, const struct expr *e, const struct sel *sel, struct vec *out)
{
    struct sel open = *sel;
    uint16_t *room = sel_room(v), *taken = sel_room(v);
    begin_pieces(out);
    for (uint32_t k = 0; k + 1 < e->n_args && open.n > 0; k += 2) {
        const struct vec *when = eval_run(v, e->args[k], &open);
        uint32_t n = 0, n_taken = 0;
        SEL_EACH(&open, i)
        {
            bool yes = when->b8[i] && !vec_is_null(when, i);
            room[n] = taken[n_taken] = (uint16_t)i;
            n += !yes;
            n_taken += yes;
        }
        struct sel then = {taken, n_taken};
        if (n_taken > 0)
            add_piece(out, eval_run(v, e->args[k + 1], &then), &then);
        open = (struct sel){room, n};
    }
    if (open.n > 0)
        add_piece(out, eval_run(v, e->args[e->n_args - 1], &open), &open);
}

static void run_coalesce(struct eval *v, const struct expr *e, const struct sel *sel,
                         struct vec *out)
{
    struct sel open = *sel;
    uint16_t *room = sel_room(v);
    begin_pieces(out);
    for (uint32_t k = 0; k < e->n_args && open.n > 0; k++) {
        const struct vec *arg = eval_run(v, e->args[k], &open);
        add_piece(out, arg, &open);
        uint32_t n = 0;
        SEL_EACH(&open, i)
        {
            room[n] = (uint16_t)i;
            n += vec_is_null(arg, i);
        }
        open = (struct sel){room, n};
    }
}

static void run_call(struct eval *v, const struct expr *e, const struct sel *sel, struct vec *out)
{
    const struct vec *args[CALL_ARGS_MAX];
    struct sel rows = *sel;
    bool strict = !(e->func->flags & FUNC_NULLS);
    assert(e->n_args <= CALL_ARGS_MAX);
    for (uint32_t k = 0; k < e->n_args; k++)
        args[k] = eval_run(v, e->args[k], sel);
    vec_no_nulls(out);
    for (uint32_t k = 0; k < e->n_args && strict; k++) {
        if (!args[k]->has_nulls)
            continue;
        if (!out->has_nulls)
            memset(out->nulls, 0, sizeof out->nulls);
        out->has_nulls = true;
        for (size_t w = 0; w < VEC_WORDS; w++)
            out->nulls[w] |= args[k]->nulls[w];
    }
    if (out->has_nulls)
        rows = vec_not_null(out, sel, sel_room(v));
    if (out->type == SQLTYPE_NUMERIC)
        out->scale = VEC_MIXED;
    out->ascii = false;
    e->func->kernel(v, e, args, &rows, out);
}

const struct vec *eval_run(struct eval *v, const struct expr *e, const struct sel *sel)
{
    struct vec *out = &v->nodes[e->id];
    switch (e->kind) {
    case EXPR_CONST:
    case EXPR_AGGREGATE: /* became a column when the plan was finished */
        break;
    case EXPR_COLUMN:
        return &v->columns[e->column];
    case EXPR_CALL:
        run_call(v, e, sel, out);
        break;
    case EXPR_AND:
        run_logic(v, e, sel, out, false);
        break;
    case EXPR_OR:
        run_logic(v, e, sel, out, true);
        break;
    case EXPR_CASE:
        run_case(v, e, sel, out);
        break;
    case EXPR_COALESCE:
        run_coalesce(v, e, sel, out);
        break;
    }
    if (e->kind == EXPR_CASE || e->kind == EXPR_COALESCE)
        if (e->type == SQLTYPE_NUMERIC)
            vec_settle_scale(out, sel);
    return out;
}
