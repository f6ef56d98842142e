#include "redis_rows.h"

#include <stdio.h>

#include "common/cell.h"
#include "common/pack.h"
#include "redis_link.h"
#include "redis_script.h"

void redis_rows_init(struct redis_rows *r)
{
    *r = (struct redis_rows){0};
    redis_script_sha(redis_script_land, r->sha);
}

void redis_rows_done(struct redis_rows *r)
{
    buf_done(&r->names);
    buf_done(&r->name_at);
    buf_done(&r->row);
    buf_done(&r->cell);
}

/* ---- keys ---- */

void redis_rows_tag(const uint8_t uid[SINK_UID_LEN], char ret[REDIS_TAG_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SINK_UID_LEN; i++) {
        ret[2 * i] = digits[uid[i] >> 4];
        ret[2 * i + 1] = digits[uid[i] & 15];
    }
    ret[REDIS_TAG_LEN] = '\0';
}

void redis_rows_key(struct buf *out, const char *prefix, const char *tag, const char *last)
{
    redis_link_arg_head(out, strlen(prefix) + REDIS_TAG_LEN + strlen(last) + 4);
    buf_str(out, prefix);
    buf_str(out, ":{");
    buf_append(out, tag, REDIS_TAG_LEN);
    buf_str(out, "}:");
    buf_str(out, last);
    buf_append(out, "\r\n", 2);
}

/* The column that names the row's hash; n_columns: it is not there. */
static size_t key_column(const struct landing *l)
{
    size_t i = 0;
    while (i < l->rows->n_columns &&
           (l->target->n_keys == 0 || strcmp(l->rows->columns[i].name, l->target->keys[0]) != 0))
        i++;
    return i;
}

/* ---- rows that do not fit ---- */

static bool empty_row(struct redis_rows *r, const struct landing *l, uint32_t row)
{
    for (size_t i = 0; i < l->rows->n_columns; i++)
        if (cell_text(l->rows, i, row, &r->cell).p)
            return false;
    return true;
}

/* Why Redis cannot take a row, or NULL. key: key_column of hash mode. */
static const char *unfit(struct redis_rows *r, const struct landing *l, uint32_t row, size_t key)
{
    switch (l->target->mode) {
    case SPEC_SINK_HASH: {
        const struct span text = cell_text(l->rows, key, row, &r->cell);
        if (!text.p)
            return "NULL, and it names the row's key";
        return text.len > REDIS_KEY_VALUE_MAX ? "more than 8192 bytes, and it names the row's key"
                                              : NULL;
    }
    case SPEC_SINK_STREAM:
        return empty_row(r, l, row)
                   ? "every column is NULL: an entry of a stream has one value or more"
                   : NULL;
    default:
        return NULL;
    }
}

static void refuse(struct landing *l, uint32_t row, size_t key, const char *why)
{
    const char *column = l->target->mode == SPEC_SINK_HASH ? l->rows->columns[key].name : NULL;
    if (l->target->fail_bad_rows)
        landing_fail(l, LANDING_FAILED, "row %u%s%s: %s", row, column ? ": column " : "",
                     column ? column : "", why);
    else if (l->n_rejects == SINK_BAD_ROWS_MAX)
        landing_fail(l, LANDING_FAILED, "more than %d rows that do not fit, such as row %u: %s",
                     SINK_BAD_ROWS_MAX, row, why);
    else
        landing_reject(l, row, column, why);
}

uint32_t redis_rows_screen(struct redis_rows *r, struct landing *l)
{
    const struct batch *b = l->rows;
    const size_t key = key_column(l);
    uint32_t n_good = 0;
    if (b->n_rows > REDIS_LANDING_ROWS_MAX) {
        landing_fail(l, LANDING_FAILED,
                     "the task has %u rows, a landing in Redis %d at most: make task_items smaller",
                     b->n_rows, REDIS_LANDING_ROWS_MAX);
        return 0;
    }
    if (batch_bytes(b) > REDIS_LANDING_BYTES_MAX) {
        landing_fail(l, LANDING_FAILED,
                     "the task's rows have %zu bytes, a landing in Redis %d at most: make "
                     "task_items smaller",
                     batch_bytes(b), REDIS_LANDING_BYTES_MAX);
        return 0;
    }
    if (l->target->mode == SPEC_SINK_HASH && key == b->n_columns && b->n_rows > 0) {
        landing_fail(l, LANDING_FAILED, "the rows have no column \"%s\", which names their keys",
                     l->target->n_keys ? l->target->keys[0] : "");
        return 0;
    }
    for (uint32_t row = 0; row < b->n_rows && l->verdict == LANDING_UNDECIDED; row++) {
        const char *why = unfit(r, l, row, key);
        n_good += why == NULL;
        if (why)
            refuse(l, row, key, why);
    }
    return n_good;
}

uint32_t redis_rows_nth(struct redis_rows *r, const struct landing *l, uint32_t index)
{
    const size_t key = key_column(l);
    uint32_t row = 0;
    for (; row < l->rows->n_rows; row++)
        if (!unfit(r, l, row, key) && index-- == 0)
            break;
    return row;
}

/* ---- the command ---- */

/* Each column's name as it stands before its value: a string of msgpack, or the start of a JSON
 * member. */
static void put_names(struct redis_rows *r, const struct landing *l)
{
    const bool json = l->target->mode == SPEC_SINK_LIST;
    buf_clear(&r->names);
    buf_clear(&r->name_at);
    for (size_t i = 0; i < l->rows->n_columns; i++) {
        const struct span name = span_str(l->rows->columns[i].name);
        if (json) {
            buf_byte(&r->names, i ? ',' : '{');
            buf_json_str(&r->names, name);
            buf_byte(&r->names, ':');
        } else {
            pack_str(&r->names, name);
        }
        const uint32_t end = (uint32_t)r->names.len;
        buf_append(&r->name_at, &end, sizeof(end));
    }
}

static struct span name_of(const struct redis_rows *r, size_t column)
{
    uint32_t from = 0, to;
    if (column)
        memcpy(&from, r->name_at.data + (column - 1) * sizeof(from), sizeof(from));
    memcpy(&to, r->name_at.data + column * sizeof(to), sizeof(to));
    return (struct span){(const char *)r->names.data + from, to - from};
}

static void put_fields(struct redis_rows *r, const struct landing *l, uint32_t row)
{
    buf_clear(&r->row);
    for (size_t i = 0; i < l->rows->n_columns; i++) {
        const struct span text = cell_text(l->rows, i, row, &r->cell);
        if (!text.p)
            continue;
        const struct span name = name_of(r, i);
        buf_append(&r->row, name.p, name.len);
        pack_str(&r->row, text);
    }
}

static void put_object(struct redis_rows *r, const struct landing *l, uint32_t row)
{
    buf_clear(&r->row);
    for (size_t i = 0; i < l->rows->n_columns; i++) {
        const struct span name = name_of(r, i);
        buf_append(&r->row, name.p, name.len);
        batch_write_cell(l->rows, i, row, &r->row);
    }
    buf_str(&r->row, l->rows->n_columns ? "}" : "{}");
}

static void put_row_key(struct redis_rows *r, const struct landing *l, const char *tag, size_t key,
                        uint32_t row, struct buf *out)
{
    const struct span text = cell_text(l->rows, key, row, &r->cell);
    redis_link_arg_head(out, strlen(l->target->prefix) + REDIS_TAG_LEN + 8 + text.len);
    buf_str(out, l->target->prefix);
    buf_str(out, ":{");
    buf_append(out, tag, REDIS_TAG_LEN);
    buf_str(out, "}:row:");
    buf_append(out, text.p, text.len);
    buf_append(out, "\r\n", 2);
}

static void put_head(struct redis_rows *r, const struct landing *l, const char *tag,
                     uint32_t n_good, struct buf *out)
{
    const bool hash = l->target->mode == SPEC_SINK_HASH;
    const uint64_t n_keys = REDIS_SCRIPT_KEYS + (hash ? n_good : 1u);
    redis_link_array(out, 3 + n_keys + REDIS_SCRIPT_ARGS + n_good);
    redis_link_arg(out, SPAN("EVALSHA"));
    redis_link_arg(out, span_str(r->sha));
    redis_link_arg_u64(out, n_keys);
    redis_rows_key(out, l->target->prefix, tag, "ledger");
    redis_rows_key(out, l->target->prefix, tag, "job");
    if (!hash)
        redis_rows_key(out, l->target->prefix, tag, "rows");
}

static void put_arguments(const struct landing *l, const char *tag, uint32_t n_good,
                          struct buf *out)
{
    redis_link_arg(out, span_str(spec_sink_mode_name(l->target->mode)));
    redis_link_arg_u64(out, l->task);
    redis_link_arg_u64(out, n_good);
    redis_link_arg_u64(out, l->generation);
    redis_link_arg_u64(out, l->target->ttl_ms);
    redis_link_arg_u64(out, l->job);
    redis_rows_key(out, l->target->prefix, tag, "events");
    redis_link_arg(out, l->target->fail_bad_rows ? SPAN("1") : SPAN("0"));
    redis_link_arg_u64(out, l->index);
}

void redis_rows_put(struct redis_rows *r, const struct landing *l, uint32_t n_good, struct buf *out)
{
    const struct batch *b = l->rows;
    const bool all = n_good == b->n_rows;
    const size_t key = key_column(l);
    char tag[REDIS_TAG_LEN + 1];
    redis_rows_tag(l->uid, tag);
    put_names(r, l);
    if (!buf_ok(&r->names) || !buf_ok(&r->name_at)) {
        out->failed = true;
        return;
    }
    put_head(r, l, tag, n_good, out);
    if (l->target->mode == SPEC_SINK_HASH)
        for (uint32_t row = 0; row < b->n_rows; row++)
            if (all || !unfit(r, l, row, key))
                put_row_key(r, l, tag, key, row, out);
    put_arguments(l, tag, n_good, out);
    for (uint32_t row = 0; row < b->n_rows; row++) {
        if (!all && unfit(r, l, row, key))
            continue;
        if (l->target->mode == SPEC_SINK_LIST)
            put_object(r, l, row);
        else
            put_fields(r, l, row);
        redis_link_arg(out, buf_span(&r->row));
    }
    if (!buf_ok(&r->row) || !buf_ok(&r->cell))
        out->failed = true;
}
