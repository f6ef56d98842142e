/*
 * spec_explain.c: the part of spec.h that says in words what a job will do.
 */
#include "spec.h"

/* Each line with two spaces in front. */
static void indented(struct span text, struct buf *out)
{
    const char *end = text.p + text.len;
    for (const char *p = text.p; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        stop = stop ? stop : end;
        buf_str(out, "  ");
        buf_append(out, p, (size_t)(stop - p));
        buf_byte(out, '\n');
        p = stop + 1;
    }
}

static void explain_gather(const struct spec *s, size_t i, struct buf *out)
{
    const struct spec_stage *stage = &s->stages[i];
    if (!stage->engine->gathers || !stage->engine->gathers(stage->compiled, false))
        return;
    if (i == s->gather)
        buf_str(out,
                "  gather: each task ends with its part of the answer; one task more brings the "
                "parts together\n");
    else if (i > s->gather)
        buf_str(out, "  gather: nothing, the rows are together already\n");
    else
        buf_str(out, "  merge: the sink adds up the rows of each key; nothing is gathered\n");
}

void spec_explain(const struct spec *s, struct buf *out)
{
    for (size_t i = 0; i < s->n_stages; i++) {
        const struct spec_stage *stage = &s->stages[i];
        struct buf lines = {0};
        buf_printf(out, "stage %zu: %s\n", i + 1, stage->engine->name);
        if (stage->engine->explain)
            stage->engine->explain(stage->compiled, &lines);
        indented(buf_span(&lines), out);
        buf_done(&lines);
        explain_gather(s, i, out);
    }
    buf_str(out, "columns:");
    for (size_t i = 0; i < s->columns->n_columns; i++)
        buf_printf(out, "%s %s %s", i > 0 ? "," : "", s->columns->columns[i].name,
                   col_type_name(s->columns->columns[i].type));
    buf_byte(out, '\n');
}
