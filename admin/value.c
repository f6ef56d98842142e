#include "value.h"

#include <stdio.h>

#include "common/utf8.h"

/* Keys whose numbers are ids. */
static const char *const id_keys[] = {"job", "task", "epoch", "cursor"};

static json_t *read_value(struct unpack *u, unsigned depth, bool id);

static json_t *text_of(struct span s)
{
    if (utf8_valid_prefix(s) == s.len)
        return json_stringn(s.p ? s.p : "", s.len);
    struct buf copy;
    buf_init(&copy, 0);
    for (size_t i = 0; i < s.len;) {
        size_t n = utf8_sequence(s.p + i, s.len - i);
        buf_append(&copy, n ? s.p + i : "?", MAX(n, (size_t)1));
        i += MAX(n, (size_t)1);
    }
    json_t *text = buf_ok(&copy) ? json_stringn((const char *)copy.data, copy.len) : NULL;
    buf_done(&copy);
    return text;
}

static json_t *hex_of(struct span s)
{
    struct buf out;
    buf_init(&out, 0);
    for (size_t i = 0; i < s.len; i++)
        buf_printf(&out, "%02x", (unsigned char)s.p[i]);
    json_t *text = buf_ok(&out) ? json_stringn((const char *)out.data, out.len) : NULL;
    buf_done(&out);
    return text;
}

static json_t *read_int(struct unpack *u, bool id)
{
    struct unpack again = *u;
    char text[32];
    int64_t v = unpack_i64(u);
    if (unpack_ok(u)) {
        snprintf(text, sizeof text, "%lld", (long long)v);
        return id ? json_string(text) : json_integer(v);
    }
    *u = again; /* above what a JSON integer holds */
    snprintf(text, sizeof text, "%llu", (unsigned long long)unpack_u64(u));
    return unpack_ok(u) ? json_string(text) : NULL;
}

static json_t *read_array(struct unpack *u, unsigned depth)
{
    size_t n = unpack_array(u);
    json_t *array = json_array();
    for (size_t i = 0; array && i < n; i++) {
        if (json_array_append_new(array, read_value(u, depth + 1, false)) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static bool is_id(const char *key)
{
    for (size_t i = 0; i < ARRAY_LEN(id_keys); i++)
        if (strcmp(id_keys[i], key) == 0)
            return true;
    return false;
}

static json_t *read_map(struct unpack *u, unsigned depth)
{
    size_t n = unpack_map(u);
    json_t *object = json_object();
    for (size_t i = 0; object && i < n; i++) {
        struct span s = unpack_str(u);
        char *key = s.p ? strndup(s.p, s.len) : NULL;
        json_t *value = key ? read_value(u, depth + 1, is_id(key)) : NULL;
        int rc = value ? json_object_set_new(object, key, value) : -1;
        free(key);
        if (rc < 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *read_value(struct unpack *u, unsigned depth, bool id)
{
    json_t *v = NULL;
    if (depth > UNPACK_DEPTH_MAX)
        return NULL;
    switch (unpack_peek(u)) {
    case UNPACK_NIL:
        unpack_skip(u);
        v = json_null();
        break;
    case UNPACK_BOOL:
        v = json_boolean(unpack_bool(u));
        break;
    case UNPACK_INT:
        v = read_int(u, id);
        break;
    case UNPACK_FLOAT:
        v = json_real(unpack_f64(u));
        if (!v) /* not finite */
            v = json_null();
        break;
    case UNPACK_STR:
        v = text_of(unpack_str(u));
        break;
    case UNPACK_BIN:
        v = hex_of(unpack_bin(u));
        break;
    case UNPACK_ARRAY:
        v = read_array(u, depth);
        break;
    case UNPACK_MAP:
        v = read_map(u, depth);
        break;
    default:
        break;
    }
    if (!unpack_ok(u)) {
        json_decref(v);
        return NULL;
    }
    return v;
}

json_t *value_read(struct unpack *u)
{
    return read_value(u, 0, false);
}

int value_to_json(struct span packed, json_t **ret, struct error *e)
{
    struct unpack u;
    unpack_init(&u, packed.p, packed.len);
    json_t *v = value_read(&u);
    if (!v || !unpack_finished(&u)) {
        json_decref(v);
        return error_set(e, ERR_MALFORMED, "the coordinator's answer cannot be read");
    }
    *ret = v;
    return ERR_OK;
}
