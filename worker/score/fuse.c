/* fuse.c: what the fusions share, and dense products. */
#include "fuse.h"

#include "op_math.h"
#include "op_matmul.h"

struct node *fuse_sole_maker(const struct fuse *f, int32_t value)
{
    if (value < 0 || f->uses[value] != 1 || f->g->values[value].maker < 0)
        return NULL;
    return &f->g->nodes[f->g->values[value].maker];
}

struct node *fuse_sole_user(const struct fuse *f, int32_t value)
{
    if (value < 0 || f->uses[value] != 1)
        return NULL;
    for (size_t i = 0; i < f->g->n_nodes; i++)
        for (uint32_t k = 0; k < f->g->nodes[i].n_in; k++)
            if (f->g->nodes[i].in[k] == value)
                return f->gone[i] ? NULL : &f->g->nodes[i];
    return NULL;
}

/* The first node makes what the second one made. */
static void absorb(struct fuse *f, struct node *first, const struct node *second)
{
    f->gone[second - f->g->nodes] = true;
    first->out[0] = second->out[0];
    f->g->values[first->out[0]].maker = (int32_t)(first - f->g->nodes);
}

/* The constant of an Add that is a bias of m outputs, or NULL. */
static const float *bias_of(const struct fuse *f, const struct node *add, int32_t product, size_t m)
{
    if (strcmp(add->op->name, "Add") != 0)
        return NULL;
    int32_t other = add->in[0] == product ? add->in[1] : add->in[0];
    const struct tensor *c = other < 0 ? NULL : f->g->values[other].constant;
    if (!c || c->type != ELEM_F32 || c->n != m || c->rank < 1 || c->rank > 2 ||
        c->dims[c->rank - 1] != (int64_t)m)
        return NULL;
    return c->f32;
}

static bool activation_of(const struct node *n, enum simd_activation *ret)
{
    *ret = strcmp(n->op->name, "Relu") == 0      ? SIMD_RELU
           : strcmp(n->op->name, "Sigmoid") == 0 ? SIMD_SIGMOID
           : strcmp(n->op->name, "Tanh") == 0    ? SIMD_TANH
                                                 : SIMD_NONE;
    return *ret != SIMD_NONE;
}

int fuse_dense(struct fuse *f)
{
    for (size_t i = 0; i < f->g->n_nodes; i++) {
        struct node *n = &f->g->nodes[i];
        struct dense_state *s = n->state;
        enum simd_activation activation;
        if (f->gone[i] || !s || (n->op->run != op_run_matmul && n->op->run != op_run_gemm) ||
            f->g->values[n->out[0]].shape.rank != 2)
            continue;
        struct node *next = fuse_sole_user(f, n->out[0]);
        const float *bias = next && !s->bias ? bias_of(f, next, n->out[0], s->dense.m) : NULL;
        if (bias) {
            absorb(f, n, next);
            next = fuse_sole_user(f, n->out[0]);
            n->note = "with the addition that follows";
        }
        bool active = next && activation_of(next, &activation);
        if (active) {
            absorb(f, n, next);
            n->note = "with the addition and the activation that follow";
        }
        if ((bias || active) &&
            dense_fuse(s, bias ? bias : s->bias, active ? activation : SIMD_NONE, f->g->keep))
            return op_nomem(f->e, n);
    }
    return ERR_OK;
}
