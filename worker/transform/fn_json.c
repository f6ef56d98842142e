/*
 * fn_json.c: values out of JSON documents, which stay the texts that they are (jsontext.h), and the
 * casts to and from them.
 */
#include "fn.h"

#include <stdio.h>

#include "jsontext.h"
#include "plan.h"

static void put_json(struct vec *out, uint32_t i, bool found, struct span value)
{
    out->text[i] = value;
    if (!found)
        vec_set_null(out, i);
}

/* A value as text: a string is what it says, null is NULL, all else as it is written. */
static void put_text(struct eval *v, const struct expr *call, struct vec *out, uint32_t i,
                     bool found, struct span value)
{
    size_t n = 0;
    enum jsontext_kind kind = found ? jsontext_kind_of(value) : JSONTEXT_NULL;
    value = jsontext_trim(value);
    out->text[i] = value;
    if (kind == JSONTEXT_NULL) {
        vec_set_null(out, i);
        return;
    }
    if (kind != JSONTEXT_STRING)
        return;
    value = (struct span){value.p + 1, value.len - 2};
    out->text[i] = value;
    if (!memchr(value.p, '\\', value.len))
        return;
    char *to = eval_room(v, v->error ? 0 : value.len);
    if (v->error || !jsontext_unescape(value, to, &n))
        eval_fault(v, i, FAULT_ARGUMENT, call);
    out->text[i] = eval_keep(v, n);
}

/* ---- -> and ->> ---- */

static bool get(const struct vec *const *args, uint32_t i, struct span *ret)
{
    struct span doc = args[0]->text[i];
    *ret = doc;
    if (args[1]->type == SQLTYPE_TEXT)
        return jsontext_field(doc, args[1]->text[i], ret);
    return jsontext_element(doc, args[1]->i64[i], ret);
}

KERNEL(get_json)
{
    struct span value;
    SEL_EACH(sel, i)
    {
        bool found = get(args, i, &value);
        put_json(out, i, found, value);
    }
    out->ascii = args[0]->ascii;
}

KERNEL(get_text)
{
    struct span value;
    SEL_EACH(sel, i)
    {
        bool found = get(args, i, &value);
        put_text(v, call, out, i, found, value);
    }
}

/* ---- #> and #>> ---- */

struct path_step {
    struct span key;
    int64_t index; /* what the key is in an array */
    bool is_index;
};

struct path {
    size_t n;
    struct path_step steps[];
};

/* One element of '{a,"b c",0}', up to its comma; false: it is none. */
static bool take_step(struct span *s, char *room, struct path_step *ret)
{
    size_t n = 0, at = 0, kept = 0;
    bool quoted = s->len > 0 && s->p[0] == '"';
    while (at < s->len && s->p[at] == ' ' && !quoted)
        at++;
    if (at < s->len && s->p[at] == '"')
        quoted = ++at > 0;
    while (at < s->len && (quoted ? s->p[at] != '"' : s->p[at] != ',')) {
        at += s->p[at] == '\\' && at + 1 < s->len;
        if (!quoted && (s->p[at] == '{' || s->p[at] == '}' || s->p[at] == '"'))
            return false;
        room[n++] = s->p[at++];
        kept = room[n - 1] == ' ' && !quoted ? kept : n; /* no blanks at the end */
    }
    if (quoted && at++ == s->len)
        return false;
    if (kept == 0 && !quoted)
        return false;
    *ret = (struct path_step){.key = {room, kept}};
    ret->is_index = parse_int(ret->key, SQLTYPE_INT4, &ret->index) == PARSE_OK;
    s->p += at;
    s->len -= at;
    return true;
}

static bool prepare_path(struct plan *p, const struct expr *call, const void **ret,
                         char why[FUNC_WHY_LEN])
{
    struct span text = call->args[1]->value.text, s = text;
    struct path *path =
        arena_zalloc(&p->arena, sizeof *path + (text.len + 1) * sizeof path->steps[0]);
    if (!path)
        return false;
    bool ok = s.len >= 2 && s.p[0] == '{' && s.p[s.len - 1] == '}';
    if (ok)
        s = (struct span){s.p + 1, s.len - 2};
    while (ok && s.len > 0) {
        char *room = arena_alloc(&p->arena, s.len + 1);
        if (!room)
            return false;
        ok = take_step(&s, room, &path->steps[path->n++]);
        if (ok && s.len > 0) {
            ok = s.p[0] == ',' && s.len > 1;
            s.p++;
            s.len--;
        }
    }
    if (!ok)
        snprintf(why, FUNC_WHY_LEN, "'%.*s' is no path; one is '{key,0,\"other key\"}'",
                 (int)MIN(text.len, (size_t)60), text.p);
    *ret = path;
    return ok;
}

static bool follow(const struct path *path, struct span doc, struct span *ret)
{
    for (size_t k = 0; k < path->n; k++) {
        const struct path_step *step = &path->steps[k];
        bool array = jsontext_kind_of(doc) == JSONTEXT_ARRAY;
        if (array ? !step->is_index || !jsontext_element(doc, step->index, &doc)
                  : !jsontext_field(doc, step->key, &doc))
            return false;
    }
    *ret = jsontext_trim(doc);
    return true;
}

KERNEL(path_json)
{
    SEL_EACH(sel, i)
    {
        struct span value = args[0]->text[i];
        bool found = follow(call->prepared, value, &value);
        put_json(out, i, found, value);
    }
    out->ascii = args[0]->ascii;
}

KERNEL(path_text)
{
    SEL_EACH(sel, i)
    {
        struct span value = args[0]->text[i];
        bool found = follow(call->prepared, value, &value);
        put_text(v, call, out, i, found, value);
    }
}

/* ---- kinds and casts ---- */

KERNEL(type_of)
{
    static const char *const names[] = {
        [JSONTEXT_NULL] = "null",     [JSONTEXT_BOOL] = "boolean", [JSONTEXT_NUMBER] = "number",
        [JSONTEXT_STRING] = "string", [JSONTEXT_ARRAY] = "array",  [JSONTEXT_OBJECT] = "object"};
    SEL_EACH(sel, i)
    {
        struct span name = span_str(names[jsontext_kind_of(args[0]->text[i])]);
        memcpy(eval_room(v, name.len), name.p, name.len);
        out->text[i] = eval_keep(v, name.len);
    }
    out->ascii = true;
}

KERNEL(array_length)
{
    SEL_EACH(sel, i)
    {
        out->i64[i] = 0;
        if (jsontext_kind_of(args[0]->text[i]) == JSONTEXT_ARRAY)
            out->i64[i] = (int64_t)jsontext_length(args[0]->text[i]);
        else
            eval_fault(v, i, FAULT_ARGUMENT, call);
    }
}

/* What is called on a row with a fault goes on, and must find JSON there. */
static void refuse_document(struct eval *v, const struct expr *call, struct vec *out, uint32_t i)
{
    fn_refuse(v, call, out, i, PARSE_MALFORMED, out->text[i]);
    out->text[i] = jsontext_null;
}

KERNEL(from_text)
{
    SEL_EACH(sel, i)
    {
        out->text[i] = args[0]->text[i];
        if (!jsontext_valid(out->text[i]))
            refuse_document(v, call, out, i);
    }
    out->ascii = args[0]->ascii;
}

KERNEL(to_text)
{
    vec_copy(out, args[0], sel);
    out->ascii = args[0]->ascii;
}

KERNEL(to_bool)
{
    SEL_EACH(sel, i)
    {
        struct span s = jsontext_trim(args[0]->text[i]);
        out->b8[i] = s.p[0] == 't';
        if (jsontext_kind_of(s) != JSONTEXT_BOOL)
            fn_refuse(v, call, out, i, PARSE_MALFORMED, s);
    }
}

KERNEL(to_number)
{
    SEL_EACH(sel, i)
    {
        struct span s = jsontext_trim(args[0]->text[i]);
        struct num x = {0};
        enum parse why = PARSE_MALFORMED;
        if (jsontext_kind_of(s) == JSONTEXT_NUMBER)
            why = parse_num(&v->scratch, s, &x);
        if (out->type == SQLTYPE_NUMERIC)
            vec_put_num(out, i, x);
        else if (out->type == SQLTYPE_FLOAT8)
            out->f64[i] = num_to_f64(&v->scratch, x);
        else if (!num_to_i64(x, &v->scratch, &out->i64[i]) ||
                 (out->type == SQLTYPE_INT4 && out->i64[i] != (int32_t)out->i64[i]))
            why = PARSE_RANGE;
        if (why != PARSE_OK)
            fn_refuse(v, call, out, i, why, s);
    }
    if (out->type == SQLTYPE_NUMERIC)
        vec_settle_scale(out, sel);
}

#define PATH(op, result_type, fn_kernel, fexample, fanswer)                                        \
    {                                                                                              \
        .name = (op), .result = SQLTYPE_##result_type, .n_args = 2,                                \
        .args = {SQLTYPE_JSON, SQLTYPE_TEXT}, .flags = FUNC_OPERATOR, .kernel = (fn_kernel),       \
        .prepare = prepare_path, .constants = 2, .example = (fexample), .answer = (fanswer)        \
    }

static const struct func funcs[] = {
    OP2("->", JSON, JSON, TEXT, get_json, "'{\"a\": [1, 2]}'::json -> 'a'", "[1, 2]"),
    OP2("->", JSON, JSON, INT4, get_json, "'[1, {\"b\": 2}]'::json -> 1", "{\"b\": 2}"),
    OP2("->>", TEXT, JSON, TEXT, get_text, "'{\"a\": \"x\\u00e9\\\"\"}'::json ->> 'a'", "xé\""),
    OP2("->>", TEXT, JSON, INT4, get_text, "'[1, 2.50]'::json ->> -1", "2.50"),
    PATH("#>", JSON, path_json, "'{\"a\": [0, {\"b\": 1}]}'::json #> '{a,1}'", "{\"b\": 1}"),
    PATH("#>>", TEXT, path_text, "'{\"a\": [0, {\"b c\": \"x\"}]}'::json #>> '{a,-1,\"b c\"}'",
         "x"),
    FN1("json_typeof", TEXT, JSON, type_of, "json_typeof('[1]')", "array"),
    FN1("jsonb_typeof", TEXT, JSON, type_of, "jsonb_typeof('{\"a\": 1}'::jsonb -> 'a')", "number"),
    FN1("json_array_length", INT4, JSON, array_length, "json_array_length('[1, [2, 3], \"]\"]')",
        "3"),
    FN1("jsonb_array_length", INT4, JSON, array_length, "jsonb_array_length('[]')", "0"),
    CAST(JSON, TEXT, from_text, "'{\"a\":1}'::text::json", "{\"a\":1}"),
    CAST(TEXT, JSON, to_text, "('{\"a\":\"x\"}'::json -> 'a')::text", "\"x\""),
    CAST(BOOL, JSON, to_bool, "('[true]'::jsonb -> 0)::boolean", "t"),
    CAST(NUMERIC, JSON, to_number, "('[1.50]'::jsonb -> 0)::numeric", "1.50"),
    CAST(INT4, JSON, to_number, "('[2.5]'::jsonb -> 0)::integer", "3"),
    CAST(INT8, JSON, to_number, "('[5000000000]'::jsonb -> 0)::bigint", "5000000000"),
    CAST(FLOAT8, JSON, to_number, "('[1e-7]'::jsonb -> 0)::float8", "1e-07"),
};

FN_TABLE(fn_json_table, funcs);
