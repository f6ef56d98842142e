/*
 * fuzz_predict.c: bodies of requests for predictions. The first byte chooses between a model with named
 * columns of all types and one that knows its columns by position, and between JSON and msgpack: the names of
 * the columns, then the rows. Rows that are taken are whole, and what is
 * taken out again leaves nothing.
 */
#include "common/pack.h"
#include "common/unpack.h"
#include "coordinator/edge/predict_json.h"
#include "coordinator/edge/predict_rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct model_info *make_info(bool positional)
{
    static const struct {
        const char *name;
        enum model_cell cell;
    } named[] = {{"age", MODEL_FLOAT},
                 {"city", MODEL_TEXT},
                 {"vip", MODEL_BOOL},
                 {"n", MODEL_INT32}};
    static const char *const numbers[] = {"1", "2", "3"};
    struct model_info *info;
    struct error e;
    struct buf out;
    size_t n = positional ? ARRAY_LEN(numbers) : ARRAY_LEN(named);
    buf_init(&out, 0);
    pack_array(&out, 4);
    pack_u64(&out, 1);
    pack_bool(&out, positional);
    pack_array(&out, n);
    for (size_t i = 0; i < n; i++) {
        pack_array(&out, 2);
        pack_cstr(&out, positional ? numbers[i] : named[i].name);
        pack_u64(&out, positional ? MODEL_FLOAT : named[i].cell);
    }
    pack_array(&out, 0);
    int rc = model_info_read(buf_span(&out), &info, &e);
    assert(rc == 0);
    buf_done(&out);
    return info;
}

static int read_packed(const struct model_info *info, struct span body, struct batch *rows,
                       struct arena *mem, struct error *e)
{
    struct unpack u;
    unpack_init(&u, body.p, body.len);
    struct span columns = {0};
    if (unpack_peek(&u) == UNPACK_NIL)
        unpack_skip(&u);
    else if (unpack_peek(&u) == UNPACK_ARRAY)
        columns = unpack_raw(&u);
    struct span values = unpack_peek(&u) == UNPACK_ARRAY ? unpack_raw(&u) : (struct span){0};
    if (!unpack_ok(&u) || !values.p)
        return error_set(e, ERR_MALFORMED, "no request");
    return predict_rows_unpack(info, columns, values, rows, mem, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error e = {0};
    struct arena mem;
    struct buf body;
    if (size == 0)
        return 0;
    struct model_info *info = make_info(data[0] & 1);
    struct batch *rows = model_info_batch(info);
    arena_init(&mem, 0);
    buf_init(&body, 0);
    buf_append(&body, data + 1, size - 1);
    buf_byte(&body, 0);
    struct span text = {(const char *)body.data, size - 1};
    int rc = data[0] & 2 ? read_packed(info, text, rows, &mem, &e)
                         : predict_json_read(info, text, rows, &mem, &e);
    assert(rc == 0 || e.detail[0]);
    if (rc)
        batch_row_drop(rows);
    for (size_t i = 0; i < rows->n_columns; i++)
        assert(rows->columns[i].n == rows->n_rows);
    batch_truncate(rows, 0);
    arena_done(&mem);
    buf_done(&body);
    batch_free(rows);
    model_info_free(info);
    return 0;
}
