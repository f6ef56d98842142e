#include "model.h"

#include <stdio.h>

#include "op_linear.h"
#include "op_matmul.h"
#include "plan.h"
#include "tree_op.h"

/* ---- loading ---- */

static int load(struct score_model *m, struct span file, const char *kernel, struct arena *tmp,
                struct error *e)
{
    struct onnx_model onnx;
    int rc = onnx_read(file, &m->keep, tmp, &onnx, e);
    if (rc || (rc = graph_build(&onnx, &m->keep, tmp, &m->graph, e)) ||
        (rc = plan_make(&m->graph, kernel, &m->folded, &m->one_row, e)))
        return rc;
    m->producer = onnx.producer;
    m->producer_version = onnx.producer_version;
    return score_name_columns(m, e);
}

int score_load(struct span file, const struct score_options *options, struct score_model **ret,
               struct error *e)
{
    CLEANUP(arena_done) struct arena tmp;
    struct error why = {0};
    arena_init(&tmp, 0);
    struct score_model *m = calloc(1, sizeof *m);
    if (!m)
        return error_set(e, ERR_NOMEM, "model: no memory left");
    atomic_init(&m->references, 1);
    arena_init(&m->keep, 0);
    arena_init(&m->folded, PLAN_FOLDED_BYTES_MAX);
    m->file_bytes = file.len;
    int rc = load(m, file, options ? options->kernel : NULL, &tmp, &why);
    m->graph.load = NULL;
    if (rc) {
        score_unref(m);
        return error_set(e, (enum err)rc, "%s", why.detail);
    }
    *ret = m;
    return ERR_OK;
}

struct score_model *score_ref(struct score_model *m)
{
    atomic_fetch_add_explicit(&m->references, 1, memory_order_relaxed);
    return m;
}

void score_unref(struct score_model *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->references, 1, memory_order_acq_rel) != 1)
        return;
    arena_done(&m->keep);
    arena_done(&m->folded);
    free(m);
}

size_t score_input_width(const struct score_model *m, size_t input)
{
    const struct shape *s = &m->graph.values[m->graph.inputs[input]].shape;
    size_t width = 1;
    for (uint32_t d = 1; d < s->rank; d++)
        width *= (size_t)s->dims[d];
    return width;
}

/* ---- explaining ---- */

static void explain_shape(const struct shape *s, struct buf *out)
{
    buf_printf(out, "%s[", elem_name(s->type));
    for (uint32_t d = 0; d < s->rank; d++)
        if (s->dims[d] < 0)
            buf_printf(out, "%s%s", d ? "," : "", s->dims[d] == SHAPE_ROWS ? "rows" : "?");
        else
            buf_printf(out, "%s%lld", d ? "," : "", (long long)s->dims[d]);
    buf_str(out, "]");
}

static void explain_node(const struct score_model *m, const struct node *n, struct buf *out)
{
    buf_printf(out, "  %s", n->label);
    if (n->n_out && n->out[0] >= 0) {
        buf_str(out, " -> ");
        explain_shape(&m->graph.values[n->out[0]].shape, out);
    }
    if (n->op->run == tree_run_op) {
        const struct tree_state *s = n->state;
        if (s->input.missing)
            buf_str(out, "; missing values replaced on the way in");
        if (s->input.scale)
            buf_str(out, "; inputs scaled on the way in");
    }
    if (n->note)
        buf_printf(out, "; %s", n->note);
    buf_str(out, "\n");
}

void score_explain(const struct score_model *m, struct buf *out)
{
    const struct graph *g = &m->graph;
    buf_printf(out, "model of %zu bytes by %s %s, operator set %lld%s\n", m->file_bytes,
               m->producer[0] ? m->producer : "an unnamed program", m->producer_version,
               (long long)g->set_version, m->one_row ? ", for one row at a time" : "");
    buf_str(out, "inputs:\n");
    for (size_t i = 0; i < g->n_inputs; i++) {
        buf_printf(out, "  %s ", g->values[g->inputs[i]].name);
        explain_shape(&g->values[g->inputs[i]].shape, out);
        buf_str(out, "\n");
    }
    buf_str(out, "columns of the results:\n");
    for (size_t i = 0; i < m->n_columns; i++)
        buf_printf(out, "  %s %s\n", m->columns[i].name, col_type_name(m->columns[i].type));
    buf_printf(out, "nodes after planning (%zu):\n", g->n_nodes);
    for (size_t i = 0; i < g->n_nodes; i++)
        explain_node(m, &g->nodes[i], out);
}

/* ---- running ---- */

void score_scratch_init(struct score_scratch *s)
{
    *s = (struct score_scratch){.peak_bytes = 0};
    arena_init(&s->mem, GRAPH_RUN_BYTES_MAX);
}

void score_scratch_done(struct score_scratch *s)
{
    arena_done(&s->mem);
}

/* One block that is as large as the largest run: no allocation, and no new page, in later runs. */
void score_scratch_clear(struct score_scratch *s)
{
    if (s->mem.used_bytes > s->peak_bytes) {
        s->peak_bytes = s->mem.used_bytes + s->mem.used_bytes / 4;
        arena_done(&s->mem);
        arena_init(&s->mem, GRAPH_RUN_BYTES_MAX);
        (void)!arena_alloc(&s->mem, MIN(s->peak_bytes, (size_t)GRAPH_RUN_BYTES_MAX));
    }
    arena_clear(&s->mem);
}

static bool as_planned(const struct tensor *t, const struct shape *s, size_t rows)
{
    bool same = t->type == s->type && t->rank == s->rank;
    for (uint32_t d = 0; same && d < t->rank; d++)
        same = t->dims[d] == (s->dims[d] == SHAPE_ROWS ? (int64_t)rows : s->dims[d]);
    return same;
}

int score_run_tensors(const struct score_model *m, const struct tensor *in, size_t rows,
                      struct score_scratch *s, const struct tensor **ret_out, struct error *e)
{
    const struct graph *g = &m->graph;
    const struct tensor **vals = graph_vals(g, &s->mem);
    if (!vals)
        return error_set(e, ERR_NOMEM, "model: no memory left");
    for (size_t i = 0; i < g->n_inputs; i++)
        vals[g->inputs[i]] = &in[i];
    int rc = graph_run(g, vals, &s->mem, false, e);
    for (size_t i = 0; !rc && i < g->n_outputs; i++) {
        const struct value *v = &g->values[g->outputs[i]];
        ret_out[i] = tensor_dense(vals[g->outputs[i]], &s->mem);
        if (!ret_out[i])
            return error_set(e, ERR_NOMEM, "model: no memory left");
        char text[TENSOR_TEXT_BYTES];
        if (!as_planned(ret_out[i], &v->shape, rows))
            return error_set(e, ERR_INVALID_ARGUMENT,
                             "model: output '%.100s' came as %s for %zu rows: its shape depends on "
                             "the values",
                             v->name, tensor_text(ret_out[i], text), rows);
    }
    return rc;
}
