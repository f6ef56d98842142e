#include "spec_read.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/suggest.h"
#include "spec.h"

enum { KEYS_MAX = 32 }; /* of a table */

int spec_read_refuse(struct spec_reader *r, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (!buf_ok(&r->path))
        return spec_read_no_memory(r);
    return error_set(r->e, ERR_INVALID_SPEC, "%.*s%s%s", (int)MIN(r->path.len, (size_t)200),
                     r->path.len ? (const char *)r->path.data : "", r->path.len ? ": " : "", text);
}

int spec_read_refuse_inner(struct spec_reader *r, const struct error *inner)
{
    bool placed = strncmp(inner->detail, "character ", 10) == 0;
    bool rejected = err_class(inner->code) == ERR_CLASS_REJECT && inner->code != ERR_LIMIT;
    return error_set(r->e, rejected ? ERR_INVALID_SPEC : inner->code, "%.*s%s%s",
                     (int)MIN(r->path.len, (size_t)200),
                     r->path.len ? (const char *)r->path.data : "", placed ? ", " : ": ",
                     inner->detail);
}

static const char *type_name(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "null";
    default:
        return json_is_true(v) ? "true" : "false";
    }
}

int spec_read_refuse_type(struct spec_reader *r, const char *expected, const json_t *got)
{
    return spec_read_refuse(r, "expected %s, got %s", expected, type_name(got));
}

int spec_read_no_memory(struct spec_reader *r)
{
    return error_set(r->e, ERR_NOMEM, "no memory for the job description");
}

size_t spec_read_push(struct spec_reader *r, const char *name)
{
    size_t mark = r->path.len;
    if (mark > 0)
        buf_byte(&r->path, '.');
    buf_str(&r->path, name);
    return mark;
}

size_t spec_read_push_index(struct spec_reader *r, size_t index)
{
    size_t mark = r->path.len;
    buf_printf(&r->path, "[%zu]", index);
    return mark;
}

void spec_read_pop(struct spec_reader *r, size_t mark)
{
    if (buf_ok(&r->path))
        r->path.len = mark;
}

void *spec_read_alloc(struct spec_reader *r, size_t n, size_t size)
{
    return arena_zalloc(r->arena, MAX(n, (size_t)1) * size);
}

static int refuse_key(struct spec_reader *r, const char *name, const struct key *keys,
                      size_t n_keys)
{
    const char *names[KEYS_MAX] = {0};
    assert(n_keys <= KEYS_MAX);
    for (size_t i = 0; i < n_keys; i++)
        names[i] = keys[i].name;
    const char *nearest = suggest_nearest(name, names, n_keys);
    if (nearest)
        return spec_read_refuse(r, "unknown key; did you mean \"%s\"?", nearest);
    CLEANUP(buf_done) struct buf all = {0};
    for (size_t i = 0; i < n_keys; i++)
        buf_printf(&all, "%s%s", i ? " " : "", keys[i].name);
    return spec_read_refuse(r, "unknown key; there are: %.*s", (int)all.len,
                            (const char *)all.data);
}

/* ---- values ---- */

static int check_range(struct spec_reader *r, double v, const struct key *key)
{
    if (v >= key->min && v <= key->max)
        return ERR_OK;
    return spec_read_refuse(r, "must be between %.15g and %.15g, not %.15g", key->min, key->max, v);
}

static int read_integer(struct spec_reader *r, const json_t *v, const struct key *key,
                        uint64_t *ret)
{
    if (!json_is_integer(v))
        return spec_read_refuse_type(r, "an integer", v);
    int err = check_range(r, (double)json_integer_value(v), key);
    if (!err)
        *ret = (uint64_t)json_integer_value(v);
    return err;
}

static int read_seconds(struct spec_reader *r, const json_t *v, const struct key *key,
                        uint32_t *ret_ms)
{
    if (!json_is_number(v))
        return spec_read_refuse_type(r, "a number of seconds", v);
    double s = json_number_value(v);
    int err = check_range(r, s, key);
    if (!err)
        *ret_ms = (uint32_t)ceil(s * 1000 - 1e-6);
    return err;
}

int spec_read_string(struct spec_reader *r, const json_t *v, const char **ret)
{
    if (!json_is_string(v))
        return spec_read_refuse_type(r, "a string", v);
    size_t len = json_string_length(v);
    if (len > SPEC_STRING_BYTES_MAX)
        return spec_read_refuse(r, "longer than %d bytes", SPEC_STRING_BYTES_MAX);
    if (memchr(json_string_value(v), 0, len))
        return spec_read_refuse(r, "contains a NUL character");
    const char *copy = arena_strndup(r->arena, json_string_value(v), len);
    if (!copy)
        return spec_read_no_memory(r);
    *ret = copy;
    return ERR_OK;
}

int spec_read_strings(struct spec_reader *r, const json_t *v, const char ***ret, size_t *ret_n)
{
    size_t n = json_is_string(v) ? 1 : json_array_size(v);
    if (!json_is_string(v) && !json_is_array(v))
        return spec_read_refuse_type(r, "a string or a list of strings", v);
    if (n > SPEC_LIST_MAX)
        return spec_read_refuse(r, "more than %d entries", SPEC_LIST_MAX);
    const char **strings = spec_read_alloc(r, n + 1, sizeof *strings);
    if (!strings)
        return spec_read_no_memory(r);
    for (size_t i = 0; i < n; i++) {
        size_t mark = json_is_array(v) ? spec_read_push_index(r, i) : r->path.len;
        int err = spec_read_string(r, json_is_array(v) ? json_array_get(v, i) : v, &strings[i]);
        if (err)
            return err;
        spec_read_pop(r, mark);
    }
    *ret = strings;
    *ret_n = n;
    return ERR_OK;
}

static int read_value(struct spec_reader *r, const json_t *v, const struct key *key, void *target)
{
    void *to = (char *)target + key->offset;
    uint64_t n = 0;
    int err;
    switch (key->kind) {
    case KEY_BOOL:
        if (!json_is_boolean(v))
            return spec_read_refuse_type(r, "true or false", v);
        *(bool *)to = json_is_true(v);
        return ERR_OK;
    case KEY_U32:
        err = read_integer(r, v, key, &n);
        if (!err)
            *(uint32_t *)to = (uint32_t)n;
        return err;
    case KEY_U64:
        return read_integer(r, v, key, to);
    case KEY_SECONDS:
        return read_seconds(r, v, key, to);
    case KEY_STRING:
        return spec_read_string(r, v, to);
    default:
        return key->read(r, v, target);
    }
}

int spec_read_object(struct spec_reader *r, const json_t *v, const struct key *keys, size_t n_keys,
                     void *target)
{
    if (!json_is_object(v))
        return spec_read_refuse_type(r, "an object", v);
    json_t *object = (json_t *)(uintptr_t)v; /* the iterator only reads */
    for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
        const char *name = json_object_iter_key(it);
        size_t mark = spec_read_push(r, name), i = 0;
        while (i < n_keys && strcmp(keys[i].name, name) != 0)
            i++;
        int err = i == n_keys ? refuse_key(r, name, keys, n_keys)
                              : read_value(r, json_object_iter_value(it), &keys[i], target);
        if (err)
            return err;
        spec_read_pop(r, mark);
    }
    return ERR_OK;
}
