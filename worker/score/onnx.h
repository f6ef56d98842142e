/*
 * onnx.h: a model file as the messages of onnx.proto that drover needs: ModelProto, GraphProto,
 * NodeProto, AttributeProto, TensorProto, ValueInfoProto. Every declared length is checked against
 * the bytes that are left before anything is allocated, so memory stays within a small multiple of
 * the file's size. What the graph means is not known here (graph.h).
 *
 * Format: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (IR version 3 and later).
 *
 * Thread rule: pure functions over the caller's memory.
 */
#ifndef DROVER_SCORE_ONNX_H
#define DROVER_SCORE_ONNX_H

#include "tensor.h"

enum {
    ONNX_FILE_BYTES_MAX = 1 << 30,
    ONNX_NODES_MAX = 100000,
    ONNX_TENSORS_MAX = 100000,
    ONNX_PORTS_MAX = 1600, /* inputs, and outputs, of the graph */
    ONNX_NODE_PORTS_MAX = 16384,
    ONNX_ATTRS_MAX = 64,
    ONNX_NAME_BYTES_MAX = 4096,
    ONNX_STRING_BYTES_MAX = 1 << 20, /* of one string in a tensor or an attribute */
    ONNX_OPSETS_MAX = 64,
};

/* AttributeProto.AttributeType */
enum onnx_attr_type {
    ONNX_ATTR_FLOAT = 1,
    ONNX_ATTR_INT = 2,
    ONNX_ATTR_STRING = 3,
    ONNX_ATTR_TENSOR = 4,
    ONNX_ATTR_GRAPH = 5,
    ONNX_ATTR_FLOATS = 6,
    ONNX_ATTR_INTS = 7,
    ONNX_ATTR_STRINGS = 8
};

struct onnx_attr {
    const char *name;
    int type; /* enum onnx_attr_type, or another number of AttributeType */
    float f;
    int64_t i;
    struct span s;
    struct tensor *t;
    size_t n;         /* elements of the array below */
    struct span lazy; /* its bytes in the file instead: to be read by onnx_list.h. p NULL: not so */
    union {
        float *floats;
        int64_t *ints;
        struct span *strings;
    };
};

struct onnx_node {
    const char *name, *op, *domain; /* domain "" is ai.onnx */
    const char **in, **out;         /* "" stands for an input or output that is left out */
    struct onnx_attr *attrs;
    uint32_t n_in, n_out, n_attrs;
};

struct onnx_tensor {
    const char *name;
    struct tensor value;
};

enum { ONNX_DIM_UNKNOWN = -1 };

struct onnx_port {
    const char *name;
    int32_t elem; /* TensorProto.DataType; 0: no tensor (a sequence or a map) */
    bool has_shape;
    uint32_t rank;
    int64_t dims[TENSOR_RANK_MAX]; /* ONNX_DIM_UNKNOWN: named or left out */
};

struct onnx_opset {
    const char *domain;
    int64_t version;
};

struct onnx_model {
    int64_t ir_version;
    const char *producer, *producer_version;
    struct onnx_opset opsets[ONNX_OPSETS_MAX];
    size_t n_opsets;
    struct onnx_node *nodes;
    struct onnx_tensor *tensors;
    struct onnx_port *inputs, *outputs;
    size_t n_nodes, n_tensors, n_inputs, n_outputs;
};

/* Reads a model. Names, tensors and small attributes lie in keep; arrays of attributes of domain
 * ai.onnx.ml, which operators turn into something better, in load, and the lists of trees stay in the
 * file (onnx_attr.lazy). INVALID_SPEC, LIMIT, NOMEM. */
int onnx_read(struct span file, struct arena *keep, struct arena *load, struct onnx_model *ret,
              struct error *e) MUST_CHECK;

/* Reads a TensorProto alone (the test data of the ONNX project is kept so). */
int onnx_read_tensor(struct span message, struct arena *mem, struct onnx_tensor *ret,
                     struct error *e) MUST_CHECK;

#endif
