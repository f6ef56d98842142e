#include "slice.h"

#include <jansson.h>
#include <stdio.h>

static int wrong(struct error *e, const char *what)
{
    return error_set(e, ERR_INVALID_ARGUMENT,
                     "%s: a slice is {\"blob\": SHA256, \"bytes\": N, \"line\": N, \"file\": NAME}",
                     what);
}

static bool read_count(const json_t *object, const char *key, int64_t min, uint64_t *ret)
{
    const json_t *v = json_object_get(object, key);
    if (!v)
        return true;
    if (!json_is_integer(v) || json_integer_value(v) < min)
        return false;
    *ret = (uint64_t)json_integer_value(v);
    return true;
}

static int read_slice(const json_t *object, struct slice *ret, struct error *e)
{
    struct slice s = {.first_line = 1};
    const json_t *blob = json_object_get(object, "blob");
    size_t known = 1;
    if (!json_is_string(blob))
        return wrong(e, "blob is missing or no text");
    if (!read_count(object, "bytes", 0, &s.bytes) || s.bytes > BLOB_BYTES_MAX)
        return wrong(e, "bytes is no number of bytes");
    if (!read_count(object, "line", 1, &s.first_line))
        return wrong(e, "line is no number from 1");
    known += json_object_get(object, "bytes") != NULL;
    known += json_object_get(object, "line") != NULL;
    const json_t *file = json_object_get(object, "file");
    known += file != NULL;
    if (file && (!json_is_string(file) || json_string_length(file) >= SLICE_FILE_LEN))
        return wrong(e, "file is no text, or too long");
    if (file)
        snprintf(s.file, sizeof(s.file), "%s", json_string_value(file));
    if (json_object_size(object) != known)
        return wrong(e, "it has a key that is not known");
    int rc = blob_name_parse((struct span){json_string_value(blob), json_string_length(blob)},
                             &s.blob, e);
    if (rc == ERR_OK)
        *ret = s;
    return rc;
}

int slice_parse(struct span text, struct slice *ret, struct error *e)
{
    enum { TEXT_MAX = 1024 };
    if (text.len > TEXT_MAX)
        return wrong(e, "it is too long");
    json_t *object = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, NULL);
    int rc = json_is_object(object) ? read_slice(object, ret, e) : wrong(e, "no JSON object");
    json_decref(object);
    return rc;
}

void slice_write(const struct slice *s, struct buf *out)
{
    char text[BLOB_TEXT_LEN + 1];
    buf_printf(out, "{\"blob\": \"%s\", \"bytes\": %llu, \"line\": %llu",
               blob_name_text(&s->blob, text), (unsigned long long)s->bytes,
               (unsigned long long)s->first_line);
    if (s->file[0]) {
        buf_str(out, ", \"file\": ");
        buf_json_str(out, span_str(s->file));
    }
    buf_byte(out, '}');
}
