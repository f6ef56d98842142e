#include "graph.h"

#include <stdio.h>

/* ---- names ---- */

/* Open addressing; a slot holds the number of a value plus one. */
struct names {
    uint32_t *slots;
    size_t mask;
    struct graph *g;
};

static size_t name_hash(const char *s)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 1099511628211u;
    return (size_t)(h ^ h >> 29);
}

static uint32_t *name_slot(struct names *n, const char *name)
{
    size_t at = name_hash(name) & n->mask;
    while (n->slots[at] && strcmp(n->g->values[n->slots[at] - 1].name, name) != 0)
        at = (at + 1) & n->mask;
    return &n->slots[at];
}

static int32_t name_find(struct names *n, const char *name)
{
    return (int32_t)*name_slot(n, name) - 1;
}

/* A new value, or -1 when the name is taken. */
static int32_t name_add(struct names *n, const char *name)
{
    uint32_t *slot = name_slot(n, name);
    if (*slot)
        return -1;
    n->g->values[n->g->n_values] = (struct value){.name = name, .maker = -1};
    *slot = (uint32_t)++n->g->n_values;
    return (int32_t)*slot - 1;
}

/* ---- building ---- */

static int spec_error(struct error *e, const char *what, const char *name)
{
    return error_set(e, ERR_INVALID_SPEC, "model: %s ('%.100s')", what, name);
}

static int64_t set_version(const struct onnx_model *m, const char *domain)
{
    for (size_t i = 0; i < m->n_opsets; i++)
        if (strcmp(m->opsets[i].domain, domain) == 0)
            return m->opsets[i].version;
    return domain[0] ? 1 : 0; /* exporters leave ai.onnx.ml out at times */
}

static int check_sets(const struct onnx_model *m, struct error *e)
{
    int64_t v = set_version(m, ""), ml = set_version(m, "ai.onnx.ml");
    bool only_ml = true;
    for (size_t i = 0; i < m->n_nodes; i++)
        only_ml &= m->nodes[i].domain[0] != 0;
    if (!(only_ml && v == 0) && (v < OP_SET_MIN || v > OP_SET_MAX))
        return error_set(e, ERR_INVALID_SPEC,
                         "model: it asks for version %lld of the operator set ai.onnx; versions %d "
                         "to %d are supported",
                         (long long)v, OP_SET_MIN, OP_SET_MAX);
    if (ml < 1 || ml > OP_ML_SET_MAX)
        return error_set(e, ERR_INVALID_SPEC,
                         "model: it asks for version %lld of the operator set ai.onnx.ml; versions "
                         "1 to %d are supported",
                         (long long)ml, OP_ML_SET_MAX);
    return ERR_OK;
}

static int find_op(const struct onnx_node *src, int64_t version, struct node *n, struct error *e)
{
    bool known;
    const char *domain = src->domain[0] ? src->domain : "ai.onnx";
    n->op = op_find(src->domain, src->op, version, &known);
    if (!n->op)
        return error_set(e, ERR_INVALID_SPEC,
                         "model: %.150s: operator %.60s of domain %.60s, version %lld, is not "
                         "supported%s",
                         n->label, src->op, domain, (long long)version,
                         known ? " (other versions of it are)" : "");
    if (src->n_in < n->op->in_min || src->n_in > n->op->in_max)
        return error_set(e, ERR_INVALID_SPEC,
                         "model: %.150s: it has %u inputs; %u to %u are allowed", n->label,
                         src->n_in, n->op->in_min, n->op->in_max);
    if (src->n_out < 1 || src->n_out > n->op->out_max)
        return error_set(e, ERR_INVALID_SPEC,
                         "model: %.150s: it has %u outputs; 1 to %u are supported", n->label,
                         src->n_out, n->op->out_max);
    /* a list of inputs has no gaps; otherwise the last ones may be left out */
    uint32_t needed = n->op->in_max == ONNX_NODE_PORTS_MAX ? src->n_in : n->op->in_min;
    for (uint32_t i = 0; i < needed; i++)
        if (!src->in[i][0])
            return error_set(e, ERR_INVALID_SPEC, "model: %.150s: input %u is left out", n->label,
                             i);
    return ERR_OK;
}

static char *label_of(struct arena *keep, const struct onnx_node *src, size_t index)
{
    char text[200];
    const char *name = src->name[0] ? src->name : src->n_out ? src->out[0] : "";
    int n = snprintf(text, sizeof text, "node %zu (%.60s '%.100s')", index, src->op, name);
    return arena_strndup(keep, text, MIN((size_t)n, sizeof text - 1));
}

/* Everything of a node but its inputs. */
static int make_node(const struct onnx_model *m, size_t index, struct names *names, struct node *n,
                     struct error *e)
{
    const struct onnx_node *src = &m->nodes[index];
    struct arena *keep = names->g->keep;
    *n = (struct node){.attrs = src->attrs, .n_attrs = src->n_attrs, .n_in = src->n_in};
    n->label = label_of(keep, src, index);
    n->in = arena_alloc(keep, MAX((size_t)src->n_in, (size_t)1) * sizeof *n->in);
    n->out = arena_alloc(keep, MAX((size_t)src->n_out, (size_t)1) * sizeof *n->out);
    if (!n->label || !n->in || !n->out)
        return error_set(e, ERR_NOMEM, "model: no memory left");
    n->version = set_version(m, src->domain);
    int rc = find_op(src, n->version, n, e);
    if (rc)
        return rc;
    for (n->n_out = 0; n->n_out < src->n_out; n->n_out++) {
        const char *name = src->out[n->n_out];
        n->out[n->n_out] = -1;
        if (!name[0])
            continue;
        int32_t v = name_add(names, name);
        if (v < 0)
            return error_set(e, ERR_INVALID_SPEC,
                             "model: %.150s: output '%.100s' has the name of another value",
                             n->label, name);
        names->g->values[v].maker = (int32_t)index;
        n->out[n->n_out] = v;
    }
    return ERR_OK;
}

static int resolve_inputs(const struct onnx_model *m, size_t index, struct names *names,
                          struct node *n, struct error *e)
{
    for (uint32_t i = 0; i < n->n_in; i++) {
        const char *name = m->nodes[index].in[i];
        n->in[i] = name[0] ? name_find(names, name) : -1;
        if (name[0] && n->in[i] < 0)
            return error_set(e, ERR_INVALID_SPEC, "model: %.150s: nothing makes its input '%.100s'",
                             n->label, name);
    }
    return ERR_OK;
}

/* Puts the nodes in an order in which inputs come first (Kahn). What is left over is a cycle. */
static int sort_nodes(struct graph *g, struct node *made, struct arena *tmp, struct error *e)
{
    size_t n = g->n_nodes, n_edges = 0, tail = 0;
    for (size_t i = 0; i < n; i++)
        n_edges += made[i].n_in;
    uint32_t *missing = arena_zalloc(tmp, (n + 1) * sizeof *missing);
    uint32_t *first = arena_zalloc(tmp, (n + 2) * sizeof *first);
    uint32_t *edges = arena_alloc(tmp, (n_edges + 1) * sizeof *edges);
    uint32_t *queue = arena_alloc(tmp, (n + 1) * sizeof *queue);
    if (!missing || !first || !edges || !queue)
        return error_set(e, ERR_NOMEM, "model: no memory left");
#define EACH_EDGE(from, to)                                                                        \
    for (uint32_t to = 0; to < n; to++)                                                            \
        for (uint32_t k_ = 0; k_ < made[to].n_in; k_++)                                            \
            for (int32_t from = made[to].in[k_] < 0 ? -1 : g->values[made[to].in[k_]].maker,       \
                         once_ = 0;                                                                \
                 from >= 0 && !once_; once_ = 1)
    EACH_EDGE(from, to)
    {
        first[from + 1]++;
        missing[to]++;
    }
    for (size_t i = 0; i < n; i++)
        first[i + 1] += first[i];
    EACH_EDGE(from, to)
    edges[first[from]++] = to; /* first[i] ends as what first[i + 1] was */
#undef EACH_EDGE
    for (uint32_t i = 0; i < n; i++)
        if (missing[i] == 0)
            queue[tail++] = i;
    for (size_t head = 0; head < tail; head++) {
        uint32_t i = queue[head];
        g->nodes[head] = made[i];
        for (uint32_t k = i ? first[i - 1] : 0; k < first[i]; k++)
            if (--missing[edges[k]] == 0)
                queue[tail++] = edges[k];
    }
    for (size_t i = 0; tail < n && i < n; i++)
        if (missing[i])
            return error_set(e, ERR_INVALID_SPEC,
                             "model: %.150s: it is part of a cycle, or needs one", made[i].label);
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < g->nodes[i].n_out; k++)
            if (g->nodes[i].out[k] >= 0)
                g->values[g->nodes[i].out[k]].maker = (int32_t)i;
    return ERR_OK;
}

/* An initializer that is an input too is a constant: nobody can give another value for it. */
static int add_inputs(const struct onnx_model *m, struct names *names, struct error *e)
{
    struct graph *g = names->g;
    struct onnx_port *ports = arena_alloc(g->keep, (m->n_inputs + 1) * sizeof *ports);
    g->inputs = arena_alloc(g->keep, (m->n_inputs + 1) * sizeof *g->inputs);
    if (!ports || !g->inputs)
        return error_set(e, ERR_NOMEM, "model: no memory left");
    for (size_t i = 0; i < m->n_tensors; i++) {
        int32_t v = name_add(names, m->tensors[i].name);
        if (v < 0)
            return spec_error(e, "two initializers of one name", m->tensors[i].name);
        g->values[v].constant = &m->tensors[i].value;
    }
    for (size_t i = 0; i < m->n_inputs; i++) {
        const struct onnx_port *port = &m->inputs[i];
        int32_t v = name_find(names, port->name);
        if (v >= 0 && g->values[v].constant)
            continue;
        if (!port->name[0] || (v = name_add(names, port->name)) < 0)
            return spec_error(e, "two inputs of one name, or one without", port->name);
        if (!elem_known(port->elem))
            return error_set(e, ERR_INVALID_SPEC,
                             "model: input '%.100s' is %s, which is not supported", port->name,
                             port->elem ? elem_name(port->elem) : "no tensor");
        if (g->n_inputs == ONNX_PORTS_MAX)
            return error_set(e, ERR_INVALID_SPEC, "model: more than %d inputs", ONNX_PORTS_MAX);
        ports[g->n_inputs] = *port;
        g->inputs[g->n_inputs++] = v;
    }
    g->input_ports = ports;
    return ERR_OK;
}

static int add_outputs(const struct onnx_model *m, struct names *names, struct error *e)
{
    struct graph *g = names->g;
    g->outputs = arena_alloc(g->keep, (m->n_outputs + 1) * sizeof *g->outputs);
    if (!g->outputs)
        return error_set(e, ERR_NOMEM, "model: no memory left");
    for (size_t i = 0; i < m->n_outputs; i++) {
        g->outputs[i] = name_find(names, m->outputs[i].name);
        if (g->outputs[i] < 0)
            return spec_error(e, "nothing makes the output", m->outputs[i].name);
    }
    g->n_outputs = m->n_outputs;
    g->output_ports = m->outputs;
    if (m->n_outputs == 0)
        return error_set(e, ERR_INVALID_SPEC, "model: the graph has no output");
    return ERR_OK;
}

static int build(const struct onnx_model *m, struct graph *g, struct arena *tmp, struct error *e)
{
    size_t n_values = m->n_tensors + m->n_inputs, size = 16;
    for (size_t i = 0; i < m->n_nodes; i++)
        n_values += m->nodes[i].n_out;
    while (size < n_values * 2)
        size *= 2;
    struct names names = {.mask = size - 1, .g = g};
    struct node *made = arena_alloc(tmp, (m->n_nodes + 1) * sizeof *made);
    names.slots = arena_zalloc(tmp, size * sizeof *names.slots);
    g->values = arena_alloc(g->keep, (n_values + 1) * sizeof *g->values);
    g->nodes = arena_alloc(g->keep, (m->n_nodes + 1) * sizeof *g->nodes);
    if (!made || !names.slots || !g->values || !g->nodes)
        return error_set(e, ERR_NOMEM, "model: no memory left");
    int rc = check_sets(m, e);
    if (rc || (rc = add_inputs(m, &names, e)))
        return rc;
    g->n_nodes = m->n_nodes;
    g->set_version = set_version(m, "");
    for (size_t i = 0; i < m->n_nodes; i++)
        if ((rc = make_node(m, i, &names, &made[i], e)))
            return rc;
    for (size_t i = 0; i < m->n_nodes; i++)
        if ((rc = resolve_inputs(m, i, &names, &made[i], e)))
            return rc;
    if ((rc = add_outputs(m, &names, e)))
        return rc;
    return sort_nodes(g, made, tmp, e);
}

int graph_build(const struct onnx_model *m, struct arena *keep, struct arena *load,
                struct graph *ret, struct error *e)
{
    CLEANUP(arena_done) struct arena tmp;
    arena_init(&tmp, 0);
    *ret = (struct graph){.keep = keep, .load = load};
    return build(m, ret, &tmp, e);
}

/* ---- preparing and running ---- */

int graph_prepare(struct graph *g, struct node *n, struct error *e)
{
    if (!n->op->prepare || n->state)
        return ERR_OK;
    const struct tensor **constants =
        arena_alloc(g->load, ((size_t)n->n_in + 1) * sizeof(struct tensor *));
    if (!constants)
        return op_nomem(e, n);
    for (uint32_t k = 0; k < n->n_in; k++)
        constants[k] = n->in[k] < 0 ? NULL : g->values[n->in[k]].constant;
    struct op_prepare p = {n, constants, g->keep, g->load, e};
    return n->op->prepare(&p);
}

enum { PORTS_ON_STACK = 16 };

int graph_run_node(const struct node *n, const struct tensor **vals, struct arena *mem, bool trial,
                   struct error *e)
{
    const struct tensor *few[PORTS_ON_STACK], **in = few;
    struct tensor *out = arena_zalloc(mem, n->n_out * sizeof *out);
    if (n->n_in > PORTS_ON_STACK)
        in = arena_alloc(mem, n->n_in * sizeof(struct tensor *));
    if (!out || !in)
        return op_nomem(e, n);
    for (uint32_t i = 0; i < n->n_in; i++) {
        in[i] = n->in[i] < 0 ? NULL : vals[n->in[i]];
        if (in[i] && in[i]->cols && !(n->op->flags & OP_COLUMNS)) {
            in[i] = tensor_dense(in[i], mem);
            if (!in[i])
                return op_nomem(e, n);
            vals[n->in[i]] = in[i];
        }
    }
    struct op_run r = {.node = n, .in = in, .out = out, .mem = mem, .trial = trial, .e = e};
    int rc = n->op->run(&r);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] >= 0)
            vals[n->out[i]] = &out[i];
    return ERR_OK;
}

/* The elements that a node read and wrote. */
static uint64_t elements_of(const struct node *n, const struct tensor **vals)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n->n_in; i++)
        sum += n->in[i] >= 0 && vals[n->in[i]] ? vals[n->in[i]]->n : 0;
    for (uint32_t i = 0; i < n->n_out; i++)
        sum += n->out[i] >= 0 && vals[n->out[i]] ? vals[n->out[i]]->n : 0;
    return sum;
}

int graph_run(const struct graph *g, const struct tensor **vals, struct arena *mem, bool trial,
              struct error *e)
{
    uint64_t elements = 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        int rc = graph_run_node(&g->nodes[i], vals, mem, trial, e);
        if (rc)
            return rc;
        elements += elements_of(&g->nodes[i], vals);
        if (elements > GRAPH_RUN_ELEMENTS_MAX)
            return error_set(e, ERR_LIMIT,
                             "model: %.150s: until here a run moves more than %d elements",
                             g->nodes[i].label, GRAPH_RUN_ELEMENTS_MAX);
    }
    return ERR_OK;
}

const struct tensor **graph_vals(const struct graph *g, struct arena *mem)
{
    const struct tensor **vals = arena_alloc(mem, (g->n_values + 1) * sizeof *vals);
    for (size_t i = 0; vals && i < g->n_values; i++)
        vals[i] = g->values[i].constant;
    return vals;
}
