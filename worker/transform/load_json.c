/* load_json.c: the values of a piece of NDJSON into a vector (ndjson.h). */
#include "jsontext.h"
#include "ndjson.h"

static const struct ndjson_cell *cells_of(const struct ndjson_piece *p,
                                          const struct load_column *column)
{
    return p->cells + (size_t)column->field * VEC_ROWS;
}

/* One value, in any case. */
static void load_cell(struct eval *v, const struct ndjson_piece *p, uint32_t i, struct vec *to,
                      const struct load_column *column)
{
    const struct ndjson_cell *c = &cells_of(p, column)[i];
    struct span s = {(const char *)p->data + c->at, c->len};
    if (c->kind == NDJSON_NULL) {
        load_null(to, i);
        return;
    }
    if (to->type ==
        SQLTYPE_JSON) { /* a string with its quotes, before which no other value stands */
        if (s.p[-1] == '"')
            s = (struct span){s.p - 1, s.len + 2};
        load_value(v, i, to, s, column->name);
        return;
    }
    if (c->kind == NDJSON_ESCAPED) {
        size_t len = 0;
        char *room = eval_room(v, s.len);
        if (!v->error && !jsontext_unescape(s, room, &len)) {
            load_null(to, i);
            load_refuse(v, i, to, FAULT_BAD_TEXT, column->name, s);
            return;
        }
        s = eval_keep(v, len);
    }
    load_value(v, i, to, s, column->name);
}

static void load_texts(struct eval *v, const struct ndjson_piece *p, const struct sel *sel,
                       const struct load_column *column, struct vec *to)
{
    const struct ndjson_cell *cells = cells_of(p, column);
    to->ascii = p->ascii && !p->escaped[column->field];
    if (!to->ascii) {
        SEL_EACH(sel, i)
        load_cell(v, p, i, to, column);
        return;
    }
    SEL_EACH(sel, i)
    {
        to->text[i] = (struct span){(const char *)p->data + cells[i].at, cells[i].len};
        if (__builtin_expect(cells[i].kind == NDJSON_NULL, 0))
            load_null(to, i);
    }
}

/* As load.c does for CSV. A number has an opening brace before it, and more. */
static void load_numbers(struct eval *v, const struct ndjson_piece *p, enum simd simd,
                         const struct sel *sel, const struct load_column *column, struct vec *to)
{
    const struct ndjson_cell *cells = cells_of(p, column);
    struct parsefast x;
    x.n = 0;
    SEL_EACH(sel, i)
    parsefast_put(&x, (const char *)p->data + cells[i].at,
                  cells[i].kind == NDJSON_PLAIN ? cells[i].len : 0);
    if (load_words(&x, simd, sel, to)) {
        uint32_t n = 0;
        SEL_EACH(sel, i)
        if (x.odd[n++])
            load_cell(v, p, i, to, column);
    }
    if (to->type == SQLTYPE_NUMERIC && to->scale == VEC_MIXED)
        vec_settle_scale(to, sel);
}

void load_json(struct eval *v, const struct ndjson_piece *p, enum simd simd, const struct sel *sel,
               const struct load_column *column)
{
    struct vec *to = &v->columns[column->column];
    vec_no_nulls(to);
    if (to->type == SQLTYPE_TEXT) {
        load_texts(v, p, sel, column, to);
    } else if (load_is_number(to->type)) {
        load_numbers(v, p, simd, sel, column, to);
    } else {
        to->ascii = p->ascii; /* of JSON */
        SEL_EACH(sel, i)
        load_cell(v, p, i, to, column);
    }
}
