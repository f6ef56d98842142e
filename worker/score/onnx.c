#include "onnx.h"

#include <stdio.h>

#include "onnx_list.h"
#include "onnx_read.h"

enum { /* fields of ModelProto, OperatorSetIdProto */
       M_IR_VERSION = 1,
       M_PRODUCER = 2,
       M_PRODUCER_VERSION = 3,
       M_GRAPH = 7,
       M_OPSET = 8,
       M_FUNCTIONS = 25,
       O_DOMAIN = 1,
       O_VERSION = 2
};

enum { /* fields of GraphProto, NodeProto */
       G_NODE = 1,
       G_TENSOR = 5,
       G_INPUT = 11,
       G_OUTPUT = 12,
       G_SPARSE = 15,
       N_INPUT = 1,
       N_OUTPUT = 2,
       N_NAME = 3,
       N_OP = 4,
       N_ATTR = 5,
       N_DOMAIN = 7
};

enum { /* fields of AttributeProto */
       A_NAME = 1,
       A_F = 2,
       A_I = 3,
       A_S = 4,
       A_T = 5,
       A_G = 6,
       A_FLOATS = 7,
       A_INTS = 8,
       A_STRINGS = 9,
       A_GRAPHS = 11,
       A_TYPE = 20,
       A_REF = 21
};

/* Allocates an array of n elements, cleared. */
#define ARRAY(r, mem, ptr, n)                                                                      \
    (((ptr) = arena_zalloc((mem), MAX((n), (size_t)1) * sizeof *(ptr))) ? ERR_OK : onnx_nomem(r))

/* ---- attributes ---- */

static int attr_ints(struct onnx_reader *r, struct arena *mem, struct span message,
                     struct onnx_attr *a)
{
    int rc = onnx_numbers(r, message, A_INTS, PROTO_VARINT, "ints", &a->n, NULL, 0);
    if (rc || (rc = ARRAY(r, mem, a->ints, a->n)))
        return rc;
    return onnx_numbers(r, message, A_INTS, PROTO_VARINT, "ints", &a->n, (uint64_t *)a->ints, a->n);
}

static int attr_floats(struct onnx_reader *r, struct arena *mem, struct span message,
                       struct onnx_attr *a)
{
    int rc = onnx_numbers(r, message, A_FLOATS, PROTO_I32, "floats", &a->n, NULL, 0);
    float *values;
    if (rc || (rc = ARRAY(r, mem, values, a->n)))
        return rc;
    a->lazy = message;
    struct onnx_list list = onnx_list_of(a);
    for (size_t i = 0; i < a->n; i++)
        values[i] = onnx_list_float(&list);
    a->lazy = (struct span){0};
    a->floats = values;
    return ERR_OK;
}

static int attr_strings(struct onnx_reader *r, struct arena *mem, struct span message,
                        struct onnx_attr *a)
{
    struct proto p = proto_of(message);
    struct proto_field f;
    size_t at = 0;
    int rc = onnx_count(r, message, A_STRINGS, SIZE_MAX, "strings", &a->n);
    if (rc || (rc = ARRAY(r, mem, a->strings, a->n)))
        return rc;
    while (onnx_next(r, &p, &f, &rc))
        if (f.number == A_STRINGS && (rc = onnx_text(r, mem, &f, "strings", &a->strings[at++])))
            return rc;
    return rc;
}

/* The lists of trees, as long as a model has nodes. */
static bool stays_in_file(const char *name)
{
    return strncmp(name, "nodes_", 6) == 0 || strncmp(name, "class_", 6) == 0 ||
           strncmp(name, "target_", 7) == 0;
}

/* Counts the elements, and checks how they are coded. */
static int attr_lazy(struct onnx_reader *r, struct span message, struct onnx_attr *a)
{
    a->lazy = message;
    if (a->type == ONNX_ATTR_INTS)
        return onnx_numbers(r, message, A_INTS, PROTO_VARINT, "ints", &a->n, NULL, 0);
    if (a->type == ONNX_ATTR_FLOATS)
        return onnx_numbers(r, message, A_FLOATS, PROTO_I32, "floats", &a->n, NULL, 0);
    return onnx_count(r, message, A_STRINGS, SIZE_MAX, "strings", &a->n);
}

/* The type that the fields imply, for files that leave the field type out (IR version below 2). */
static int attr_scalar(struct onnx_reader *r, const struct proto_field *f, struct onnx_attr *a)
{
    struct onnx_tensor t;
    int rc = ERR_OK;
    switch (f->number) {
    case A_NAME:
        return onnx_name(r, f, "AttributeProto.name", &a->name);
    case A_F:
        a->f = proto_f32(f->u);
        return onnx_expect(r, f, PROTO_I32, "f");
    case A_I:
        a->i = (int64_t)f->u;
        return onnx_expect(r, f, PROTO_VARINT, "i");
    case A_S:
        return onnx_text(r, r->keep, f, "s", &a->s);
    case A_TYPE:
        a->type = f->u < 64 ? (int)f->u : 63;
        return onnx_expect(r, f, PROTO_VARINT, "type");
    case A_T:
        if ((rc = onnx_expect(r, f, PROTO_LEN, "t")) ||
            (rc = onnx_tensor(r, r->keep, f->bytes, &t)) || (rc = ARRAY(r, r->keep, a->t, 1ul)))
            return rc;
        *a->t = t.value;
        return ERR_OK;
    case A_G:
    case A_GRAPHS:
        return onnx_fail(r, "graphs inside operators are not supported");
    case A_REF:
        return onnx_fail(r, "attributes of model functions are not supported");
    default:
        return ERR_OK;
    }
}

static int read_attr(struct onnx_reader *r, struct arena *bulk, struct span message,
                     struct onnx_attr *ret)
{
    struct onnx_attr a = {.name = ""};
    struct proto p = proto_of(message);
    struct proto_field f;
    bool floats = false, ints = false, strings = false;
    int rc = ERR_OK;
    while (onnx_next(r, &p, &f, &rc)) {
        if ((rc = attr_scalar(r, &f, &a)))
            return rc;
        floats |= f.number == A_FLOATS;
        ints |= f.number == A_INTS;
        strings |= f.number == A_STRINGS;
    }
    if (rc)
        return rc;
    if (a.type == 0)
        a.type = floats    ? ONNX_ATTR_FLOATS
                 : ints    ? ONNX_ATTR_INTS
                 : strings ? ONNX_ATTR_STRINGS
                           : 0;
    size_t len = strlen(r->where);
    snprintf(r->where + len, sizeof r->where - len, ", attribute '%.60s'", a.name);
    const bool list =
        a.type == ONNX_ATTR_INTS || a.type == ONNX_ATTR_FLOATS || a.type == ONNX_ATTR_STRINGS;
    if (list && bulk == r->load && stays_in_file(a.name))
        rc = attr_lazy(r, message, &a);
    else if (a.type == ONNX_ATTR_INTS)
        rc = attr_ints(r, bulk, message, &a);
    else if (a.type == ONNX_ATTR_FLOATS)
        rc = attr_floats(r, bulk, message, &a);
    else if (a.type == ONNX_ATTR_STRINGS)
        rc = attr_strings(r, bulk, message, &a);
    if (!rc) {
        r->where[len] = 0;
        *ret = a;
    }
    return rc;
}

/* ---- nodes ---- */

static int read_node(struct onnx_reader *r, struct span message, size_t index,
                     struct onnx_node *ret)
{
    struct onnx_node n = {.name = "", .op = "", .domain = ""};
    struct proto p = proto_of(message);
    struct proto_field f;
    size_t n_in, n_out, n_attrs;
    int rc = ERR_OK;
    onnx_where(r, "node %zu", index);
    while (onnx_next(r, &p, &f, &rc)) {
        if (f.number == N_NAME)
            rc = onnx_name(r, &f, "name", &n.name);
        else if (f.number == N_OP)
            rc = onnx_name(r, &f, "op_type", &n.op);
        else if (f.number == N_DOMAIN)
            rc = onnx_name(r, &f, "domain", &n.domain);
        if (rc)
            return rc;
    }
    if (rc)
        return rc;
    if (strcmp(n.domain, "ai.onnx") == 0)
        n.domain = "";
    onnx_where(r, "node %zu (%.60s '%.60s')", index, n.op, n.name);
    if ((rc = onnx_count(r, message, N_INPUT, ONNX_NODE_PORTS_MAX, "input", &n_in)) ||
        (rc = onnx_count(r, message, N_OUTPUT, ONNX_NODE_PORTS_MAX, "output", &n_out)) ||
        (rc = onnx_count(r, message, N_ATTR, ONNX_ATTRS_MAX, "attribute", &n_attrs)) ||
        (rc = ARRAY(r, r->keep, n.in, n_in)) || (rc = ARRAY(r, r->keep, n.out, n_out)) ||
        (rc = ARRAY(r, r->keep, n.attrs, n_attrs)))
        return rc;
    struct arena *bulk = n.domain[0] ? r->load : r->keep;
    p = proto_of(message);
    while (onnx_next(r, &p, &f, &rc)) {
        if (f.number == N_INPUT)
            rc = onnx_name(r, &f, "input", &n.in[n.n_in++]);
        else if (f.number == N_OUTPUT)
            rc = onnx_name(r, &f, "output", &n.out[n.n_out++]);
        else if (f.number == N_ATTR)
            rc = read_attr(r, bulk, f.bytes, &n.attrs[n.n_attrs++]);
        if (rc)
            return rc;
    }
    if (!rc)
        *ret = n;
    return rc;
}

/* ---- inputs and outputs ---- */

/* Descends into the message in field number of message; an absent one is empty. */
static int inner(struct onnx_reader *r, struct span message, uint32_t number, const char *field,
                 struct span *ret, bool *ret_there)
{
    struct proto p = proto_of(message);
    struct proto_field f;
    int rc = ERR_OK;
    *ret = (struct span){NULL, 0};
    *ret_there = false;
    while (onnx_next(r, &p, &f, &rc))
        if (f.number == number) {
            if ((rc = onnx_expect(r, &f, PROTO_LEN, field)))
                return rc;
            *ret = f.bytes;
            *ret_there = true;
        }
    return rc;
}

static int read_dim(struct onnx_reader *r, struct span message, int64_t *ret)
{
    struct proto p = proto_of(message);
    struct proto_field f;
    int rc = ERR_OK;
    *ret = ONNX_DIM_UNKNOWN;
    while (onnx_next(r, &p, &f, &rc)) {
        if (f.number != 1)
            continue; /* dim_param: a name; the dimension is not known */
        if ((rc = onnx_expect(r, &f, PROTO_VARINT, "dim_value")))
            return rc;
        *ret = (int64_t)f.u;
        if (*ret < 0)
            return onnx_fail(r, "a dimension is negative (%lld)", (long long)*ret);
        if (*ret > TENSOR_ELEMENTS_MAX)
            return onnx_fail(r, "a dimension of %lld is over the %d allowed", (long long)*ret,
                             TENSOR_ELEMENTS_MAX);
    }
    return rc;
}

static int read_tensor_type(struct onnx_reader *r, struct span message, struct onnx_port *port)
{
    struct proto p = proto_of(message);
    struct proto_field f;
    struct span shape;
    int rc = inner(r, message, 2, "shape", &shape, &port->has_shape);
    while (!rc && onnx_next(r, &p, &f, &rc))
        if (f.number == 1 && !(rc = onnx_expect(r, &f, PROTO_VARINT, "elem_type")))
            port->elem = f.u < 64 ? (int32_t)f.u : 63;
    if (rc)
        return rc;
    p = proto_of(shape);
    while (onnx_next(r, &p, &f, &rc)) {
        if (f.number != 1)
            continue;
        if (port->rank == TENSOR_RANK_MAX)
            return onnx_fail(r, "more than %d dimensions", TENSOR_RANK_MAX);
        if ((rc = onnx_expect(r, &f, PROTO_LEN, "dim")) ||
            (rc = read_dim(r, f.bytes, &port->dims[port->rank++])))
            return rc;
    }
    return rc;
}

static int read_port(struct onnx_reader *r, struct span message, const char *kind, size_t index,
                     struct onnx_port *ret)
{
    struct onnx_port port = {.name = ""};
    struct proto p = proto_of(message);
    struct proto_field f;
    struct span type, tensor;
    bool there;
    int rc = ERR_OK;
    onnx_where(r, "%s %zu", kind, index);
    while (onnx_next(r, &p, &f, &rc))
        if (f.number == 1 && (rc = onnx_name(r, &f, "name", &port.name)))
            return rc;
    if (rc)
        return rc;
    onnx_where(r, "%s %zu ('%.60s')", kind, index, port.name);
    if ((rc = inner(r, message, 2, "type", &type, &there)) ||
        (rc = inner(r, type, 1, "tensor_type", &tensor, &there)) ||
        (there && (rc = read_tensor_type(r, tensor, &port))))
        return rc;
    *ret = port;
    return ERR_OK;
}

/* ---- graph and model ---- */

static int read_graph_element(struct onnx_reader *r, const struct proto_field *f,
                              struct onnx_model *m)
{
    switch (f->number) {
    case G_NODE:
        return read_node(r, f->bytes, m->n_nodes, &m->nodes[m->n_nodes]) ?: (m->n_nodes++, ERR_OK);
    case G_TENSOR:
        onnx_where(r, "initializer %zu", m->n_tensors);
        return onnx_tensor(r, r->keep, f->bytes, &m->tensors[m->n_tensors])
                   ?: (m->n_tensors++, ERR_OK);
    case G_INPUT:
        return read_port(r, f->bytes, "input", m->n_inputs, &m->inputs[m->n_inputs])
                   ?: (m->n_inputs++, ERR_OK);
    case G_OUTPUT:
        return read_port(r, f->bytes, "output", m->n_outputs, &m->outputs[m->n_outputs])
                   ?: (m->n_outputs++, ERR_OK);
    case G_SPARSE:
        onnx_where(r, "graph");
        return onnx_fail(r, "sparse initializers are not supported");
    default:
        return ERR_OK;
    }
}

static int read_graph(struct onnx_reader *r, struct span message, struct onnx_model *m)
{
    struct proto p = proto_of(message);
    struct proto_field f;
    size_t nodes, tensors, inputs, outputs;
    onnx_where(r, "graph");
    int rc = onnx_count(r, message, G_NODE, ONNX_NODES_MAX, "node", &nodes);
    if (rc || (rc = onnx_count(r, message, G_TENSOR, ONNX_TENSORS_MAX, "initializer", &tensors)) ||
        (rc = onnx_count(r, message, G_INPUT, ONNX_PORTS_MAX + ONNX_TENSORS_MAX, "input",
                         &inputs)) ||
        (rc = onnx_count(r, message, G_OUTPUT, ONNX_PORTS_MAX, "output", &outputs)) ||
        (rc = ARRAY(r, r->keep, m->nodes, nodes)) ||
        (rc = ARRAY(r, r->keep, m->tensors, tensors)) ||
        (rc = ARRAY(r, r->keep, m->inputs, inputs)) ||
        (rc = ARRAY(r, r->keep, m->outputs, outputs)))
        return rc;
    while (onnx_next(r, &p, &f, &rc))
        if ((rc = read_graph_element(r, &f, m)))
            return rc;
    return rc;
}

static int read_opset(struct onnx_reader *r, struct span message, struct onnx_model *m)
{
    struct onnx_opset o = {.domain = ""};
    struct proto p = proto_of(message);
    struct proto_field f;
    int rc = ERR_OK;
    onnx_where(r, "opset_import %zu", m->n_opsets);
    if (m->n_opsets == ONNX_OPSETS_MAX)
        return onnx_fail(r, "more than %d operator sets", ONNX_OPSETS_MAX);
    while (onnx_next(r, &p, &f, &rc)) {
        if (f.number == O_DOMAIN)
            rc = onnx_name(r, &f, "domain", &o.domain);
        else if (f.number == O_VERSION && !(rc = onnx_expect(r, &f, PROTO_VARINT, "version")))
            o.version = (int64_t)f.u;
        if (rc)
            return rc;
    }
    if (rc)
        return rc;
    if (strcmp(o.domain, "ai.onnx") == 0)
        o.domain = "";
    m->opsets[m->n_opsets++] = o;
    return ERR_OK;
}

static int read_model_field(struct onnx_reader *r, const struct proto_field *f,
                            struct onnx_model *m, struct span *graph)
{
    onnx_where(r, "%s", "");
    switch (f->number) {
    case M_IR_VERSION:
        m->ir_version = (int64_t)f->u;
        return onnx_expect(r, f, PROTO_VARINT, "ir_version");
    case M_PRODUCER:
        return onnx_name(r, f, "producer_name", &m->producer);
    case M_PRODUCER_VERSION:
        return onnx_name(r, f, "producer_version", &m->producer_version);
    case M_OPSET:
        return onnx_expect(r, f, PROTO_LEN, "opset_import") ?: read_opset(r, f->bytes, m);
    case M_GRAPH:
        *graph = f->bytes;
        return onnx_expect(r, f, PROTO_LEN, "graph");
    case M_FUNCTIONS:
        return onnx_fail(r, "functions inside the model are not supported");
    default:
        return ERR_OK;
    }
}

int onnx_read(struct span file, struct arena *keep, struct arena *load, struct onnx_model *ret,
              struct error *e)
{
    struct onnx_reader r = {.keep = keep, .load = load, .e = e};
    struct proto p = proto_of(file);
    struct proto_field f;
    struct span graph = {NULL, 0};
    int rc = ERR_OK;
    if (file.len > ONNX_FILE_BYTES_MAX)
        return error_set(e, ERR_LIMIT, "model: the file has %zu bytes, over the %d allowed",
                         file.len, ONNX_FILE_BYTES_MAX);
    *ret = (struct onnx_model){.producer = "", .producer_version = ""};
    while (onnx_next(&r, &p, &f, &rc))
        if ((rc = read_model_field(&r, &f, ret, &graph)))
            return rc;
    if (rc)
        return rc;
    if (!graph.p)
        return onnx_fail(&r, "this is no ONNX model: it has no graph");
    return read_graph(&r, graph, ret);
}
