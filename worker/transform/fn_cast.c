/*
 * fn_cast.c: what can be cast to what. A text that is no value of its type follows the policy of
 * the stage (NULL, or a fault of its row); a number out of range is always a fault.
 */
#include "fn.h"

#include <math.h>

#include "textfloat.h"

void fn_refuse(struct eval *v, const struct expr *call, struct vec *out, uint32_t i, enum parse why,
               struct span value)
{
    if (v->bad_is_null)
        vec_set_null(out, i);
    else
        eval_fault_value(v, i, why == PARSE_RANGE ? FAULT_OUT_OF_RANGE : FAULT_BAD_VALUE, NULL,
                         call->at, value);
}

/* ---- from text ---- */

KERNEL(text_to_int)
{
    SEL_EACH(sel, i)
    {
        enum parse why = parse_int(args[0]->text[i], out->type, &out->i64[i]);
        if (why != PARSE_OK)
            fn_refuse(v, call, out, i, why, args[0]->text[i]);
    }
}

KERNEL(text_to_num)
{
    SEL_EACH(sel, i)
    {
        struct num x = {0};
        enum parse why = parse_num(&v->scratch, args[0]->text[i], &x);
        vec_put_num(out, i, x);
        if (why != PARSE_OK)
            fn_refuse(v, call, out, i, why, args[0]->text[i]);
    }
    vec_settle_scale(out, sel);
}

KERNEL(text_to_float)
{
    SEL_EACH(sel, i)
    {
        enum parse why = parse_float(args[0]->text[i], &out->f64[i]);
        if (why != PARSE_OK)
            fn_refuse(v, call, out, i, why, args[0]->text[i]);
    }
}

KERNEL(text_to_bool)
{
    SEL_EACH(sel, i)
    {
        bool x = false;
        enum parse why = parse_bool(args[0]->text[i], &x);
        out->b8[i] = x;
        if (why != PARSE_OK)
            fn_refuse(v, call, out, i, why, args[0]->text[i]);
    }
}

/* ---- to text ---- */

KERNEL(bool_to_text)
{
    SEL_EACH(sel, i)
    {
        struct span s = args[0]->b8[i] ? SPAN("true") : SPAN("false");
        memcpy(eval_room(v, s.len), s.p, s.len);
        out->text[i] = eval_keep(v, s.len);
    }
    out->ascii = true;
}

/* t and f, as concat shows a boolean. */
KERNEL(bool_to_letter)
{
    SEL_EACH(sel, i)
    {
        *eval_room(v, 1) = args[0]->b8[i] ? 't' : 'f';
        out->text[i] = eval_keep(v, 1);
    }
    out->ascii = true;
}

KERNEL(int_to_text)
{
    SEL_EACH(sel, i)
    {
        size_t n = num_text_small(args[0]->i64[i], 0, eval_room(v, NUM_TEXT_MAX));
        out->text[i] = eval_keep(v, n);
    }
    out->ascii = true;
}

KERNEL(num_to_text)
{
    SEL_EACH(sel, i)
    {
        struct num x = vec_num(args[0], i);
        if (!x.big) {
            size_t n = num_text_small(x.m, x.scale, eval_room(v, NUM_TEXT_MAX));
            out->text[i] = eval_keep(v, n);
            continue;
        }
        struct buf text = {0};
        big_text(x.big, &text);
        char *to = eval_room(v, text.len);
        size_t n = v->error || !buf_ok(&text) ? 0 : text.len;
        if (!buf_ok(&text))
            v->error = ERR_NOMEM;
        memcpy(to, n > 0 ? (char *)text.data : "", n);
        out->text[i] = eval_keep(v, n);
        buf_done(&text);
    }
    out->ascii = true;
}

KERNEL(float_to_text)
{
    SEL_EACH(sel, i)
    {
        size_t n = textfloat_write(args[0]->f64[i], eval_room(v, TEXTFLOAT_MAX));
        out->text[i] = eval_keep(v, n);
    }
    out->ascii = true;
}

/* ---- between numbers ---- */

static void put_int(struct eval *v, const struct expr *call, struct vec *out, uint32_t i, bool ok,
                    int64_t x)
{
    if (!ok || (out->type == SQLTYPE_INT4 && (x < INT32_MIN || x > INT32_MAX)))
        eval_fault(v, i, FAULT_OVERFLOW, call);
    else
        out->i64[i] = x;
}

KERNEL(int_to_int)
{
    SEL_EACH(sel, i)
    put_int(v, call, out, i, true, args[0]->i64[i]);
}

KERNEL(int_to_num)
{
    SEL_EACH(sel, i)
    out->i64[i] = args[0]->i64[i];
    out->scale = 0;
}

KERNEL(int_to_float)
{
    SEL_EACH(sel, i)
    out->f64[i] = (double)args[0]->i64[i];
}

KERNEL(num_to_int)
{
    SEL_EACH(sel, i)
    {
        int64_t x = 0;
        bool ok = num_to_i64(vec_num(args[0], i), &v->scratch, &x);
        put_int(v, call, out, i, ok, x);
    }
}

KERNEL(num_to_float)
{
    SEL_EACH(sel, i)
    {
        out->f64[i] = num_to_f64(&v->scratch, vec_num(args[0], i));
        if (isinf(out->f64[i]))
            eval_fault(v, i, FAULT_OVERFLOW, call);
    }
}

KERNEL(float_to_int)
{
    SEL_EACH(sel, i)
    {
        double x = rint(args[0]->f64[i]);
        bool ok = x >= -0x1p63 && x < 0x1p63;
        put_int(v, call, out, i, ok, ok ? (int64_t)x : 0);
    }
}

KERNEL(float_to_num)
{
    SEL_EACH(sel, i)
    {
        struct num x = {0};
        if (!isfinite(args[0]->f64[i]) || !num_from_f64(&v->scratch, args[0]->f64[i], &x))
            eval_fault(v, i, FAULT_OVERFLOW, call);
        vec_put_num(out, i, x);
    }
    vec_settle_scale(out, sel);
}

KERNEL(bool_to_int)
{
    SEL_EACH(sel, i)
    out->i64[i] = args[0]->b8[i];
}

KERNEL(int_to_bool)
{
    SEL_EACH(sel, i)
    out->b8[i] = args[0]->i64[i] != 0;
}

static const struct func funcs[] = {
    CAST(INT4, TEXT, text_to_int, "' 42 '::text::integer", "42"),
    CAST(INT8, TEXT, text_to_int, "'-9223372036854775808'::text::bigint", "-9223372036854775808"),
    CAST(NUMERIC, TEXT, text_to_num, "'1.50e1'::text::numeric", "15.0"),
    CAST(FLOAT8, TEXT, text_to_float, "'1e-7'::text::float8", "1e-07"),
    CAST(BOOL, TEXT, text_to_bool, "'yes'::text::boolean", "t"),
    CAST(TEXT, BOOL, bool_to_text, "true::text", "true"),
    CAST(TEXT, INT4, int_to_text, "42::text", "42"),
    CAST(TEXT, INT8, int_to_text, "5000000000::text", "5000000000"),
    CAST(TEXT, NUMERIC, num_to_text, "0.050::text", "0.050"),
    CAST(TEXT, FLOAT8, float_to_text, "1e15::float8::text", "1e+15"),
    CAST(INT8, INT4, int_to_int, "42::bigint", "42"),
    CAST(INT4, INT8, int_to_int, "42::bigint::integer", "42"),
    CAST(NUMERIC, INT4, int_to_num, "42::numeric", "42"),
    CAST(NUMERIC, INT8, int_to_num, "5000000000::numeric", "5000000000"),
    CAST(FLOAT8, INT4, int_to_float, "42::float8", "42"),
    CAST(FLOAT8, INT8, int_to_float, "5000000000::float8", "5000000000"),
    CAST(INT4, NUMERIC, num_to_int, "(-2.5)::integer", "-3"),
    CAST(INT8, NUMERIC, num_to_int, "2.5::bigint", "3"),
    CAST(FLOAT8, NUMERIC, num_to_float, "0.1::float8", "0.1"),
    CAST(INT4, FLOAT8, float_to_int, "2.5::float8::integer", "2"),
    CAST(INT8, FLOAT8, float_to_int, "1e15::float8::bigint", "1000000000000000"),
    CAST(NUMERIC, FLOAT8, float_to_num, "0.1::float8::numeric", "0.1"),
    CAST(INT4, BOOL, bool_to_int, "true::integer", "1"),
    CAST(BOOL, INT4, int_to_bool, "7::boolean", "t"),
    /* What concat makes of a boolean; the name is no SQL. */
    FN("bool letter", TEXT, bool_to_letter, "concat(false)", "f", 0, 1, SQLTYPE_BOOL),
};

FN_TABLE(fn_cast_table, funcs);
