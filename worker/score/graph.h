/*
 * graph.h: the checked graph of a model: operators found, names resolved, nodes in an order that
 * makes every input before it is used. It runs nodes; it knows nothing of batches (bind.h) and of
 * what may be fused (plan.h).
 *
 * Thread rule: immutable once built; graph_run may be called by many threads, each with an arena.
 */
#ifndef DROVER_SCORE_GRAPH_H
#define DROVER_SCORE_GRAPH_H

#include "op.h"

enum {
    GRAPH_RUN_BYTES_MAX = 256 << 20,  /* memory of one run of one block of rows */
    GRAPH_RUN_ELEMENTS_MAX = 1 << 30, /* that all nodes of a run read and write: a limit on time */
};

/* What trial runs found (plan.h): dimensions that are as many as the rows, or vary with them. */
enum { SHAPE_ROWS = -1, SHAPE_VARIES = -2 };
struct shape {
    enum elem_type type; /* ELEM_NONE: not known */
    uint32_t rank;
    int64_t dims[TENSOR_RANK_MAX];
};

struct value {
    const char *name;
    const struct tensor *constant; /* NULL: computed, or an input */
    int32_t maker;                 /* number of the node; -1: an input or a constant */
    struct shape shape;
};

struct graph {
    struct arena *keep, *load; /* load: gone once the model is loaded */
    struct value *values;
    struct node *nodes;
    int32_t *inputs, *outputs; /* numbers of values */
    const struct onnx_port *input_ports, *output_ports;
    size_t n_values, n_nodes, n_inputs, n_outputs;
    int64_t set_version; /* of ai.onnx */
};

/* Builds the graph of a model that lies in keep. INVALID_SPEC names the node that is at fault. */
int graph_build(const struct onnx_model *m, struct arena *keep, struct arena *load,
                struct graph *ret, struct error *e) MUST_CHECK;

/* Prepares one node, whose constant inputs are known. */
int graph_prepare(struct graph *g, struct node *n, struct error *e) MUST_CHECK;

/* Runs one node. vals has a pointer for each value; the outputs are set in it. */
int graph_run_node(const struct node *n, const struct tensor **vals, struct arena *mem, bool trial,
                   struct error *e) MUST_CHECK;

/* Runs all nodes. Inputs must be set in vals (graph_vals). trial: see struct op_run. */
int graph_run(const struct graph *g, const struct tensor **vals, struct arena *mem, bool trial,
              struct error *e) MUST_CHECK;

/* Pointers for all values with the constants set. NULL: NOMEM. */
const struct tensor **graph_vals(const struct graph *g, struct arena *mem) MUST_CHECK;

#endif
