#include "model_info.h"

#include <stdio.h>

#include "common/pack.h"
#include "common/unpack.h"

enum { INFO_VERSION = 1 };

static int no_memory(struct error *e)
{
    return error_set(e, ERR_NOMEM, "no memory for the model's columns");
}

const char *model_cell_name(enum model_cell cell)
{
    static const char *const names[] = {
        [MODEL_FLOAT] = "a number",
        [MODEL_INT64] = "a whole number",
        [MODEL_INT32] = "a whole number of 32 bits",
        [MODEL_BOOL] = "true or false",
        [MODEL_TEXT] = "a text",
    };
    return names[cell];
}

static enum col_type type_of(enum model_cell cell)
{
    static const enum col_type types[] = {
        [MODEL_FLOAT] = COL_FLOAT64, [MODEL_INT64] = COL_INT64, [MODEL_INT32] = COL_INT64,
        [MODEL_BOOL] = COL_BOOL,     [MODEL_TEXT] = COL_TEXT,
    };
    return types[cell];
}

static int compare(struct span a, struct span b)
{
    size_t n = MIN(a.len, b.len);
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_name(const void *a, const void *b, void *user)
{
    const struct model_info *info = user;
    return compare(info->columns[*(const uint32_t *)a].name,
                   info->columns[*(const uint32_t *)b].name);
}

/* Sorts the names; two columns of one name are refused. */
static int index_names(struct model_info *info, struct error *e)
{
    info->by_name = arena_alloc(&info->mem, (info->n_columns + 1) * sizeof(*info->by_name));
    if (!info->by_name)
        return no_memory(e);
    for (uint32_t i = 0; i < info->n_columns; i++)
        info->by_name[i] = i;
    qsort_r(info->by_name, info->n_columns, sizeof(*info->by_name), by_name, info);
    for (uint32_t i = 1; i < info->n_columns; i++) {
        struct span name = info->columns[info->by_name[i]].name;
        if (span_eq(name, info->columns[info->by_name[i - 1]].name))
            return error_set(e, ERR_INVALID_ARGUMENT, "columns: '%.100s' is there twice", name.p);
    }
    return ERR_OK;
}

int64_t model_info_find(const struct model_info *info, struct span name)
{
    uint32_t low = 0, high = info->n_columns;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2, at = info->by_name[middle];
        int order = compare(info->columns[at].name, name);
        if (order == 0)
            return at;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

struct batch *model_info_batch(const struct model_info *info)
{
    struct batch *b = batch_new();
    for (uint32_t i = 0; b && i < info->n_columns; i++)
        if (batch_add_column(b, info->columns[i].name.p, type_of(info->columns[i].cell))) {
            batch_free(b);
            b = NULL;
        }
    return b;
}

/* ---- from a loaded model ---- */

static bool copy_name(struct model_info *info, struct span name, struct span *ret)
{
    char *copy = arena_strndup(&info->mem, name.p ? name.p : "", name.len);
    *ret = (struct span){copy, name.len};
    return copy != NULL;
}

static int cell_of(const struct score_model *m, size_t input, enum model_cell *ret, struct error *e)
{
    static const enum model_cell cells[] = {
        [ELEM_F32] = MODEL_FLOAT, [ELEM_F64] = MODEL_FLOAT, [ELEM_I64] = MODEL_INT64,
        [ELEM_I32] = MODEL_INT32, [ELEM_BOOL] = MODEL_BOOL, [ELEM_STR] = MODEL_TEXT,
    };
    const struct value *v = &m->graph.values[m->graph.inputs[input]];
    if ((size_t)v->shape.type >= ARRAY_LEN(cells) || !cells[v->shape.type])
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "the model's input '%.100s' has a type that no column has", v->name);
    *ret = cells[v->shape.type];
    return ERR_OK;
}

/* All columns of one matrix. */
static int one_matrix(struct model_info *info, const struct score_model *m,
                      const struct span *names, size_t n_names, struct error *e)
{
    size_t width = score_input_width(m, 0);
    char number[24];
    enum model_cell cell = MODEL_FLOAT;
    int rc = cell_of(m, 0, &cell, e);
    if (rc)
        return rc;
    if (names && n_names != width)
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "columns: the model takes %zu columns, and %zu are named", width, n_names);
    info->positional = !names && width > 1;
    info->n_columns = (uint32_t)width;
    for (size_t i = 0; i < width; i++) {
        snprintf(number, sizeof(number), "%zu", i + 1);
        struct span name = names              ? names[i]
                           : info->positional ? span_str(number)
                                              : span_str(m->graph.values[m->graph.inputs[0]].name);
        info->columns[i].cell = cell;
        if (!copy_name(info, name, &info->columns[i].name))
            return no_memory(e);
    }
    return ERR_OK;
}

/* Several inputs of one column each, by their names. */
static int named_inputs(struct model_info *info, const struct score_model *m,
                        const struct span *names, struct error *e)
{
    if (names)
        return error_set(e, ERR_INVALID_ARGUMENT, "columns: the model names its %zu inputs itself",
                         m->graph.n_inputs);
    info->n_columns = (uint32_t)m->graph.n_inputs;
    for (size_t i = 0; i < m->graph.n_inputs; i++) {
        const char *name = m->graph.values[m->graph.inputs[i]].name;
        size_t width = score_input_width(m, i);
        if (width != 1)
            return error_set(e, ERR_INVALID_ARGUMENT,
                             "the model's input '%.100s' takes %zu columns: a named model has one "
                             "matrix, or inputs of one column each",
                             name, width);
        int rc = cell_of(m, i, &info->columns[i].cell, e);
        if (rc)
            return rc;
        if (!copy_name(info, span_str(name), &info->columns[i].name))
            return no_memory(e);
    }
    return ERR_OK;
}

static int fill(struct model_info *info, const struct score_model *m, const struct span *names,
                size_t n_names, struct error *e)
{
    size_t n_inputs = m->graph.n_inputs, width = n_inputs == 1 ? score_input_width(m, 0) : n_inputs;
    if (n_inputs == 0 || width == 0 || width > BATCH_COLUMNS_MAX)
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "the model takes %zu columns: 1 to %d can be given", width,
                         BATCH_COLUMNS_MAX);
    info->columns = arena_zalloc(&info->mem, width * sizeof(*info->columns));
    info->results = arena_zalloc(&info->mem, (m->n_columns + 1) * sizeof(*info->results));
    if (!info->columns || !info->results)
        return no_memory(e);
    int rc =
        n_inputs == 1 ? one_matrix(info, m, names, n_names, e) : named_inputs(info, m, names, e);
    info->n_results = (uint32_t)m->n_columns;
    for (size_t i = 0; i < m->n_columns && rc == ERR_OK; i++) {
        info->results[i].type = m->columns[i].type;
        if (!copy_name(info, span_str(m->columns[i].name), &info->results[i].name))
            rc = no_memory(e);
    }
    return rc ? rc : index_names(info, e);
}

static struct model_info *info_new(void)
{
    struct model_info *info = calloc(1, sizeof(*info));
    if (info)
        arena_init(&info->mem, 0);
    return info;
}

int model_info_new(const struct score_model *m, const struct span *names, size_t n_names,
                   struct model_info **ret, struct error *e)
{
    struct model_info *info = info_new();
    int rc = info ? fill(info, m, names, n_names, e) : no_memory(e);
    if (rc)
        model_info_free(info);
    else
        *ret = info;
    return rc;
}

void model_info_free(struct model_info *info)
{
    if (!info)
        return;
    arena_done(&info->mem);
    free(info);
}

/* ---- bytes ---- */

void model_info_pack(const struct model_info *info, struct buf *out)
{
    pack_array(out, 4);
    pack_u64(out, INFO_VERSION);
    pack_bool(out, info->positional);
    pack_array(out, info->n_columns);
    for (uint32_t i = 0; i < info->n_columns; i++) {
        pack_array(out, 2);
        pack_str(out, info->columns[i].name);
        pack_u64(out, info->columns[i].cell);
    }
    pack_array(out, info->n_results);
    for (uint32_t i = 0; i < info->n_results; i++) {
        pack_array(out, 2);
        pack_str(out, info->results[i].name);
        pack_u64(out, info->results[i].type);
    }
}

/* One of [name, number] with the number from 1 to max. */
static bool read_pair(struct model_info *info, struct unpack *u, struct span *ret_name,
                      uint64_t max, uint64_t *ret_number)
{
    size_t extra;
    unpack_tuple(u, 2, &extra);
    struct span name = unpack_str(u);
    *ret_number = unpack_u64(u);
    unpack_skip_n(u, extra);
    if (!unpack_ok(u) || *ret_number < 1 || *ret_number > max)
        return false;
    return copy_name(info, name, ret_name);
}

static bool read_lists(struct model_info *info, struct unpack *u)
{
    uint64_t number = 0;
    info->n_columns = (uint32_t)MIN(unpack_array(u), (size_t)BATCH_COLUMNS_MAX + 1);
    info->columns = arena_zalloc(&info->mem, (info->n_columns + 1) * sizeof(*info->columns));
    if (!info->columns || info->n_columns == 0 || info->n_columns > BATCH_COLUMNS_MAX)
        return false;
    for (uint32_t i = 0; i < info->n_columns; i++) {
        if (!read_pair(info, u, &info->columns[i].name, MODEL_TEXT, &number))
            return false;
        info->columns[i].cell = (enum model_cell)number;
    }
    info->n_results = (uint32_t)MIN(unpack_array(u), (size_t)BATCH_COLUMNS_MAX + 1);
    info->results = arena_zalloc(&info->mem, (info->n_results + 1) * sizeof(*info->results));
    if (!info->results || info->n_results > BATCH_COLUMNS_MAX)
        return false;
    for (uint32_t i = 0; i < info->n_results; i++) {
        if (!read_pair(info, u, &info->results[i].name, COL_TIMESTAMP, &number))
            return false;
        info->results[i].type = (enum col_type)number;
    }
    return true;
}

int model_info_read(struct span packed, struct model_info **ret, struct error *e)
{
    struct unpack u;
    size_t extra;
    struct model_info *info = info_new();
    if (!info)
        return no_memory(e);
    unpack_init(&u, packed.p, packed.len);
    unpack_tuple(&u, 4, &extra);
    bool good = unpack_u64(&u) == INFO_VERSION;
    info->positional = unpack_bool(&u);
    good = good && unpack_ok(&u) && read_lists(info, &u);
    int rc = good ? index_names(info, e)
                  : error_set(e, ERR_MALFORMED, "the columns of a model cannot be read");
    if (rc)
        model_info_free(info);
    else
        *ret = info;
    return rc;
}
