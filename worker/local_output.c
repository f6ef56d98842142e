#include "local_output.h"

#include "common/batch_csv.h"

static int put_text(void *user, const void *p, size_t n, struct error *e UNUSED)
{
    struct local_output *o = user;
    rowfile_append(&o->file, (struct span){p, n}); /* what fails is told when it is closed */
    return ERR_OK;
}

static int put_rows(void *user, const struct batch *rows, struct error *e)
{
    return local_output_put(user, rows) ? ERR_OK : error_set(e, ERR_NOMEM, "no memory for lines");
}

static bool is_csv(const char *path, enum local_format format)
{
    const size_t n = path ? strlen(path) : 0;
    return format == LOCAL_FORMAT_CSV ||
           (format == LOCAL_FORMAT_BY_NAME && n > 4 && strcmp(path + n - 4, ".csv") == 0);
}

int local_output_open(struct local_output *o, const char *path, enum local_format format,
                      const struct pipeline *pipeline, bool batches, struct error *e)
{
    *o = (struct local_output){.csv = is_csv(path, format)};
    o->as_text =
        !batches && pipeline_place(pipeline) == PIPELINE_POOL && !pipeline_gathers(pipeline);
    o->text = (struct pipeline_text){.csv = o->csv, .put = put_text, .rows = put_rows, .user = o};
    const int rc = rowfile_open(&o->file, path, e);
    if (rc == ERR_OK && o->csv && path) {
        struct buf header = {0};
        batch_csv_header(pipeline->spec->columns, BATCH_CSV_COPY, &header);
        rowfile_append(&o->file, buf_span(&header));
        buf_done(&header);
    }
    return rc;
}

int local_output_close(struct local_output *o, struct error *e)
{
    return rowfile_close(&o->file, e);
}

const struct pipeline_text *local_output_text(const struct local_output *o)
{
    return o->as_text ? &o->text : NULL;
}

bool local_output_put(struct local_output *o, const struct batch *rows)
{
    struct buf lines = {0}, cell = {0};
    if (!o->file.path || rows->n_rows == 0)
        return true;
    for (uint32_t row = 0; o->csv && row < rows->n_rows; row++)
        batch_csv_row(rows, row, BATCH_CSV_COPY, &cell, &lines);
    if (!o->csv)
        batch_write_ndjson(rows, &lines);
    const bool good = buf_ok(&lines) && buf_ok(&cell);
    if (good)
        rowfile_append(&o->file, buf_span(&lines));
    buf_done(&lines);
    buf_done(&cell);
    return good;
}
