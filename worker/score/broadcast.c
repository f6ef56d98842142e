#include "broadcast.h"

/* The size of dimension d (counted in the output's rank) of an input. */
static int64_t dim_of(const struct tensor *t, uint32_t rank, uint32_t d)
{
    uint32_t missing = rank - t->rank;
    return d < missing ? 1 : t->dims[d - missing];
}

static bool output_shape(const struct tensor *const *in, struct broadcast *b)
{
    for (uint32_t i = 0; i < b->n_in; i++)
        b->rank = MAX(b->rank, in[i]->rank);
    for (uint32_t d = 0; d < b->rank; d++) {
        b->dims[d] = 1;
        for (uint32_t i = 0; i < b->n_in; i++) {
            int64_t n = dim_of(in[i], b->rank, d);
            if (n == 1 || n == b->dims[d])
                continue;
            if (b->dims[d] != 1)
                return false;
            b->dims[d] = n;
        }
    }
    return true;
}

/* Strides of the inputs, 0 where they repeat; neighbours that step as one become one loop. */
bool broadcast_make(const struct tensor *const *in, uint32_t n_in, struct broadcast *ret)
{
    struct broadcast b = {.n_in = n_in};
    size_t next[BROADCAST_INPUTS], counts[TENSOR_RANK_MAX],
        steps[BROADCAST_INPUTS][TENSOR_RANK_MAX];
    uint32_t n = 0; /* loops, from the inside out */
    if (!output_shape(in, &b))
        return false;
    for (uint32_t i = 0; i < n_in; i++)
        next[i] = 1;
    for (uint32_t d = b.rank; d-- > 0;) {
        if (b.dims[d] == 1)
            continue;
        bool joins = n > 0;
        for (uint32_t i = 0; i < n_in; i++) {
            int64_t size = dim_of(in[i], b.rank, d);
            steps[i][n] = size == 1 ? 0 : next[i];
            next[i] *= (size_t)size;
            joins = joins && steps[i][n] == steps[i][n - 1] * counts[n - 1];
        }
        if (joins)
            counts[n - 1] *= (size_t)b.dims[d];
        else
            counts[n++] = (size_t)b.dims[d];
    }
    b.run = 1;
    for (uint32_t i = 0; n > 0 && i < n_in; i++)
        b.run_steps[i] = steps[i][0];
    if (n > 0)
        b.run = counts[0];
    for (uint32_t k = n; k-- > 1;) {
        b.counts[b.n_loops] = counts[k];
        for (uint32_t i = 0; i < n_in; i++)
            b.steps[i][b.n_loops] = steps[i][k];
        b.n_loops++;
    }
    *ret = b;
    return true;
}

void broadcast_each(const struct broadcast *b, broadcast_fn fn, void *user)
{
    size_t at[TENSOR_RANK_MAX] = {0}, in[BROADCAST_INPUTS] = {0}, out = 0;
    for (uint32_t d = 0; d < b->rank; d++)
        if (b->dims[d] == 0)
            return;
    for (;;) {
        fn(b, in, out, user);
        out += b->run;
        uint32_t k = b->n_loops;
        for (; k-- > 0;) {
            for (uint32_t i = 0; i < b->n_in; i++)
                in[i] += b->steps[i][k];
            if (++at[k] < b->counts[k])
                break;
            for (uint32_t i = 0; i < b->n_in; i++)
                in[i] -= b->steps[i][k] * b->counts[k];
            at[k] = 0;
        }
        if (k == UINT32_MAX)
            return;
    }
}
