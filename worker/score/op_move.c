/* op_move.c: operators that put elements elsewhere: Concat, Split, Slice, Gather, Transpose. */
#include "op_shape.h"

/* ---- Concat ---- */

/* A float32 matrix of one column, or one that lies as columns, joins others without a copy. */
static bool joins_as_columns(const struct tensor *t)
{
    return t->type == ELEM_F32 && t->rank == 2 && (t->cols || t->dims[1] == 1);
}

static int concat_columns(struct op_run *r, int64_t width)
{
    const float **cols = arena_alloc(r->mem, ((size_t)width + 1) * sizeof *cols);
    size_t at = 0;
    if (!cols)
        return op_nomem(r->e, r->node);
    for (uint32_t i = 0; i < r->node->n_in; i++)
        for (int64_t c = 0; c < r->in[i]->dims[1]; c++)
            cols[at++] = r->in[i]->cols ? r->in[i]->cols[c] : r->in[i]->f32;
    int64_t rows = r->in[0]->dims[0];
    r->out[0] = (struct tensor){.type = ELEM_F32,
                                .rank = 2,
                                .dims = {rows, width},
                                .n = (size_t)(rows * width),
                                .cols = cols};
    return ERR_OK;
}

static int concat_check(struct op_run *r, uint32_t axis, int64_t *ret_size, bool *ret_columns)
{
    const struct tensor *first = r->in[0];
    *ret_size = 0;
    *ret_columns = axis == 1 && r->node->n_in > 1;
    for (uint32_t i = 0; i < r->node->n_in; i++) {
        const struct tensor *t = r->in[i];
        char a[TENSOR_TEXT_BYTES], b[TENSOR_TEXT_BYTES];
        bool fits = t && t->type == first->type && t->rank == first->rank;
        for (uint32_t d = 0; fits && d < t->rank; d++)
            fits = d == axis || t->dims[d] == first->dims[d];
        if (!fits)
            return op_fail(r->e, r->node, "input %u does not fit the first: %s and %s", i,
                           t ? tensor_text(t, a) : "nothing", tensor_text(first, b));
        *ret_size += t->dims[axis];
        *ret_columns &= joins_as_columns(t);
    }
    return *ret_size > TENSOR_ELEMENTS_MAX ? op_fail(r->e, r->node, "the output is too large")
                                           : ERR_OK;
}

int op_run_concat(struct op_run *r)
{
    const struct tensor *first = r->in[0];
    uint32_t axis = 0;
    int64_t size, dims[TENSOR_RANK_MAX];
    bool columns;
    if (!op_axis(op_attr_i(r->node, "axis", 1), first->rank, &axis))
        return op_fail(r->e, r->node, "its axis is out of range");
    int rc = concat_check(r, axis, &size, &columns);
    if (rc)
        return rc;
    if (columns)
        return concat_columns(r, size);
    memcpy(dims, first->dims, sizeof dims);
    dims[axis] = size;
    if ((rc = op_make(r, 0, first->type, first->rank, dims)))
        return rc;
    size_t width = elem_bytes(first->type), offset = 0;
    size_t out_run = (size_t)size * op_axes_of(first, axis).inner * width;
    for (uint32_t i = 0; i < r->node->n_in; i++) {
        const struct tensor *t = tensor_dense(r->in[i], r->mem);
        if (!t)
            return op_nomem(r->e, r->node);
        struct op_axes a = op_axes_of(t, axis);
        size_t run = a.n * a.inner * width;
        for (size_t o = 0; run && o < a.outer; o++)
            memcpy((char *)r->out[0].data + o * out_run + offset, (char *)t->data + o * run, run);
        offset += run;
    }
    return ERR_OK;
}

/* ---- Split, Slice ---- */

int op_run_split(struct op_run *r)
{
    const struct tensor *t = r->in[0];
    uint32_t axis = 0, n_out = r->node->n_out;
    int64_t *sizes = arena_alloc(r->mem, (n_out + 1) * sizeof *sizes);
    size_t n;
    if (!sizes)
        return op_nomem(r->e, r->node);
    if (!op_axis(op_attr_i(r->node, "axis", 0), t->rank, &axis))
        return op_fail(r->e, r->node, "its axis is out of range");
    int rc = op_ints(r, "split", 1, n_out, sizes, &n);
    if (rc)
        return rc;
    int64_t left = t->dims[axis], each = (left + n_out - 1) / n_out;
    for (uint32_t i = 0; n == SIZE_MAX && i < n_out; i++) /* equal parts, the last may be smaller */
        sizes[i] = MAX(left - (int64_t)i * each, (int64_t)0);
    for (uint32_t i = 0; n == SIZE_MAX && i + 1 < n_out; i++)
        sizes[i] = MIN(sizes[i], each);
    if (n != SIZE_MAX && n != n_out)
        return op_fail(r->e, r->node, "it has %u outputs and %zu sizes", n_out, n);
    for (uint32_t i = 0; i < n_out; i++) {
        if (sizes[i] < 0 || sizes[i] > left)
            return op_fail(r->e, r->node, "the sizes do not add up to dimension %u", axis);
        left -= sizes[i];
    }
    if (left != 0)
        return op_fail(r->e, r->node, "the sizes do not add up to dimension %u", axis);
    struct op_axes a = op_axes_of(t, axis);
    size_t width = elem_bytes(t->type), offset = 0;
    for (uint32_t i = 0; i < n_out; i++) {
        int64_t dims[TENSOR_RANK_MAX];
        memcpy(dims, t->dims, sizeof dims);
        dims[axis] = sizes[i];
        if ((rc = op_make(r, i, t->type, t->rank, dims)))
            return rc;
        size_t run = (size_t)sizes[i] * a.inner * width;
        for (size_t o = 0; run && o < a.outer; o++)
            memcpy((char *)r->out[i].data + o * run,
                   (char *)t->data + o * a.n * a.inner * width + offset, run);
        offset += run;
    }
    return ERR_OK;
}

/* What the output's elements are: for each dimension a start and a step. */
static void copy_slice(const struct tensor *t, struct tensor *out, const int64_t *start,
                       const int64_t *step)
{
    size_t width = elem_bytes(t->type);
    int64_t at[TENSOR_RANK_MAX] = {0}, strides[TENSOR_RANK_MAX], stride = 1;
    for (uint32_t d = t->rank; d-- > 0;) {
        strides[d] = stride;
        stride *= t->dims[d];
    }
    for (size_t i = 0; i < out->n; i++) {
        int64_t from = 0;
        for (uint32_t d = 0; d < t->rank; d++)
            from += (start[d] + at[d] * step[d]) * strides[d];
        memcpy((char *)out->data + i * width, (char *)t->data + (size_t)from * width, width);
        for (uint32_t d = t->rank; d-- > 0;) {
            if (++at[d] < out->dims[d])
                break;
            at[d] = 0;
        }
    }
}

/* The first index and the number of indices of a slice, as in Python. */
static void slice_range(int64_t size, int64_t step, int64_t *start, int64_t end, int64_t *ret_n)
{
    int64_t lo = step > 0 ? 0 : -1, hi = step > 0 ? size : size - 1;
    int64_t s = *start, e = end;
    s = s < 0 ? s + size : s;
    e = e < 0 && e >= -size ? e + size : e < -size ? lo : e;
    s = MIN(s, hi);
    s = MAX(s, step > 0 ? lo : (int64_t)0);
    e = MIN(e, hi + (step > 0 ? 0 : 1));
    e = MAX(e, lo);
    *start = s;
    if (step > 0)
        *ret_n = e > s ? (e - s - 1) / step + 1 : 0;
    else
        *ret_n = s > e && size > 0 ? (s - e - 1) / -step + 1 : 0;
}

int op_run_slice(struct op_run *r)
{
    const struct tensor *t = r->in[0];
    int64_t starts[TENSOR_RANK_MAX], ends[TENSOR_RANK_MAX], axes[TENSOR_RANK_MAX];
    int64_t steps[TENSOR_RANK_MAX], start[TENSOR_RANK_MAX] = {0}, step[TENSOR_RANK_MAX];
    int64_t dims[TENSOR_RANK_MAX];
    size_t n, n_ends, n_axes, n_steps;
    int rc = op_ints(r, "starts", 1, TENSOR_RANK_MAX, starts, &n);
    if (rc || (rc = op_ints(r, "ends", 2, TENSOR_RANK_MAX, ends, &n_ends)) ||
        (rc = op_ints(r, "axes", 3, TENSOR_RANK_MAX, axes, &n_axes)) ||
        (rc = op_ints(r, "steps", 4, TENSOR_RANK_MAX, steps, &n_steps)))
        return rc;
    if (n == SIZE_MAX || n_ends != n || (n_axes != SIZE_MAX && n_axes != n) ||
        (n_steps != SIZE_MAX && n_steps != n) || n > t->rank)
        return op_fail(r->e, r->node, "starts, ends, axes and steps are not of one length");
    memcpy(dims, t->dims, sizeof dims);
    for (uint32_t d = 0; d < t->rank; d++)
        step[d] = 1;
    for (size_t i = 0; i < n; i++) {
        uint32_t d = 0;
        if (!op_axis(n_axes == SIZE_MAX ? (int64_t)i : axes[i], t->rank, &d))
            return op_fail(r->e, r->node, "axis %lld is out of range", (long long)axes[i]);
        step[d] = n_steps == SIZE_MAX ? 1 : steps[i];
        if (step[d] == 0 || step[d] < -TENSOR_ELEMENTS_MAX)
            return op_fail(r->e, r->node, "step %lld is not possible", (long long)step[d]);
        step[d] = MIN(step[d], (int64_t)TENSOR_ELEMENTS_MAX);
        start[d] = MAX(starts[i], INT64_MIN / 2);
        slice_range(t->dims[d], step[d], &start[d], MAX(ends[i], INT64_MIN / 2), &dims[d]);
    }
    if ((rc = op_make(r, 0, t->type, t->rank, dims)))
        return rc;
    copy_slice(t, &r->out[0], start, step);
    return ERR_OK;
}

/* ---- Gather, ArrayFeatureExtractor ---- */

/* Columns chosen from a matrix that lies as columns: pointers are all that moves. */
static int gather_columns(struct op_run *r, const struct tensor *t, const struct tensor *indices)
{
    const float **cols = arena_alloc(r->mem, (indices->n + 1) * sizeof *cols);
    if (!cols)
        return op_nomem(r->e, r->node);
    for (size_t i = 0; i < indices->n; i++) {
        uint32_t c;
        if (!op_axis(tensor_i64(indices, i), (uint32_t)t->dims[1], &c))
            return op_fail(r->e, r->node, "index %lld is out of range",
                           (long long)tensor_i64(indices, i));
        cols[i] = t->cols[c];
    }
    r->out[0] = (struct tensor){.type = ELEM_F32,
                                .rank = 2,
                                .dims = {t->dims[0], (int64_t)indices->n},
                                .n = (size_t)t->dims[0] * indices->n,
                                .cols = cols};
    return ERR_OK;
}

static int gather(struct op_run *r, const struct tensor *t, const struct tensor *indices,
                  uint32_t axis, uint32_t rank, const int64_t *dims)
{
    struct op_axes a = op_axes_of(t, axis);
    size_t width = elem_bytes(t->type) * a.inner;
    int rc = op_make(r, 0, t->type, rank, dims);
    if (rc)
        return rc;
    for (size_t i = 0; i < indices->n; i++) {
        int64_t k = tensor_i64(indices, i);
        k = k < 0 ? k + (int64_t)a.n : k;
        if (k < 0 || k >= (int64_t)a.n)
            return op_fail(r->e, r->node, "index %lld is out of range (there are %zu)",
                           (long long)k, a.n);
        for (size_t o = 0; o < a.outer; o++)
            memcpy((char *)r->out[0].data + (o * indices->n + i) * width,
                   (char *)t->data + (o * a.n + (size_t)k) * width, width);
    }
    return ERR_OK;
}

int op_run_gather(struct op_run *r)
{
    const struct tensor *t = r->in[0], *indices = r->in[1];
    int64_t dims[TENSOR_RANK_MAX];
    uint32_t axis = 0, rank = 0;
    if (indices->type != ELEM_I64 && indices->type != ELEM_I32)
        return op_fail(r->e, r->node, "indices must be integers, not %s", elem_name(indices->type));
    if (!op_axis(op_attr_i(r->node, "axis", 0), t->rank, &axis))
        return op_fail(r->e, r->node, "its axis is out of range");
    if (t->cols && axis == 1 && indices->rank == 1)
        return gather_columns(r, t, indices);
    t = tensor_dense(t, r->mem);
    if (!t)
        return op_nomem(r->e, r->node);
    if (t->rank + indices->rank - 1 > TENSOR_RANK_MAX)
        return op_fail(r->e, r->node, "the output has more than %d dimensions", TENSOR_RANK_MAX);
    for (uint32_t d = 0; d < axis; d++)
        dims[rank++] = t->dims[d];
    for (uint32_t d = 0; d < indices->rank; d++)
        dims[rank++] = indices->dims[d];
    for (uint32_t d = axis + 1; d < t->rank; d++)
        dims[rank++] = t->dims[d];
    return gather(r, t, indices, axis, rank, dims);
}

/* Chooses from the last dimension. The indices may come as any tensor of integers. */
int op_run_extract(struct op_run *r)
{
    const struct tensor *t = r->in[0], *indices = r->in[1];
    int64_t dims[TENSOR_RANK_MAX];
    if (indices->type != ELEM_I64 && indices->type != ELEM_I32)
        return op_fail(r->e, r->node, "indices must be integers, not %s", elem_name(indices->type));
    if (t->rank == 0)
        return op_fail(r->e, r->node, "its input has no dimension");
    if (t->cols)
        return gather_columns(r, t, indices);
    memcpy(dims, t->dims, sizeof dims);
    dims[t->rank - 1] = (int64_t)indices->n;
    int rc = gather(r, t, indices, t->rank - 1, t->rank, dims);
    if (!rc && t->rank == 1) { /* a row vector comes back as a matrix of one row */
        struct tensor flat = r->out[0];
        op_alias(r, 0, &flat, 2, (int64_t[]){1, (int64_t)indices->n});
    }
    return rc;
}

/* Each element of the output is found by its own place, but for the axis, where the index says. */
int op_run_gather_elements(struct op_run *r)
{
    const struct tensor *t = r->in[0], *indices = r->in[1];
    size_t at[TENSOR_RANK_MAX] = {0}, strides[TENSOR_RANK_MAX], width = elem_bytes(t->type);
    uint32_t axis = 0;
    bool fits = t->rank == indices->rank;
    if (indices->type != ELEM_I64 && indices->type != ELEM_I32)
        return op_fail(r->e, r->node, "indices must be integers, not %s", elem_name(indices->type));
    if (!fits || !op_axis(op_attr_i(r->node, "axis", 0), t->rank, &axis))
        return op_fail(r->e, r->node, "its axis, or the rank of its indices, is out of range");
    for (uint32_t d = t->rank; d-- > 0;) {
        strides[d] = d + 1 < t->rank ? strides[d + 1] * (size_t)t->dims[d + 1] : 1;
        fits &= d == axis || indices->dims[d] <= t->dims[d];
    }
    if (!fits)
        return op_fail(r->e, r->node, "its indices have more elements than its input");
    int rc = op_make(r, 0, t->type, indices->rank, indices->dims);
    for (size_t i = 0; !rc && i < indices->n; i++) {
        int64_t k = tensor_i64(indices, i);
        size_t from = 0;
        k = k < 0 ? k + t->dims[axis] : k;
        if (k < 0 || k >= t->dims[axis])
            return op_fail(r->e, r->node, "index %lld is out of range (there are %lld)",
                           (long long)k, (long long)t->dims[axis]);
        for (uint32_t d = 0; d < t->rank; d++)
            from += (d == axis ? (size_t)k : at[d]) * strides[d];
        memcpy((char *)r->out[0].data + i * width, (char *)t->data + from * width, width);
        for (uint32_t d = t->rank; d-- > 0 && ++at[d] == (size_t)indices->dims[d];)
            at[d] = 0;
    }
    return rc;
}

/* ---- Transpose ---- */

int op_run_transpose(struct op_run *r)
{
    const struct tensor *t = r->in[0];
    int64_t perm[TENSOR_RANK_MAX], dims[TENSOR_RANK_MAX];
    size_t n, strides[TENSOR_RANK_MAX], steps[TENSOR_RANK_MAX], stride = 1;
    size_t at[TENSOR_RANK_MAX] = {0}, from = 0, width = elem_bytes(t->type);
    bool seen[TENSOR_RANK_MAX] = {false};
    int rc = op_ints(r, "perm", UINT32_MAX, TENSOR_RANK_MAX, perm, &n);
    if (rc)
        return rc;
    for (uint32_t d = 0; n == SIZE_MAX && d < t->rank; d++)
        perm[d] = t->rank - 1 - d;
    if (n != SIZE_MAX && n != t->rank)
        return op_fail(r->e, r->node, "perm has %zu elements, the input %u dimensions", n, t->rank);
    for (uint32_t d = t->rank; d-- > 0;) {
        strides[d] = stride;
        stride *= (size_t)t->dims[d];
    }
    for (uint32_t d = 0; d < t->rank; d++) {
        if (perm[d] < 0 || perm[d] >= (int64_t)t->rank || seen[perm[d]])
            return op_fail(r->e, r->node, "perm is no permutation");
        seen[perm[d]] = true;
        dims[d] = t->dims[perm[d]];
        steps[d] = strides[perm[d]];
    }
    if ((rc = op_make(r, 0, t->type, t->rank, dims)))
        return rc;
    for (size_t i = 0; i < t->n; i++) {
        memcpy((char *)r->out[0].data + i * width, (char *)t->data + from * width, width);
        for (uint32_t d = t->rank; d-- > 0;) {
            from += steps[d];
            if (++at[d] < (size_t)dims[d])
                break;
            from -= steps[d] * at[d];
            at[d] = 0;
        }
    }
    return ERR_OK;
}
