/*
 * op_tfidf.c: TfIdfVectorizer: how often each n-gram of the model's pool comes in a row. Terms become
 * their places in the pool once, so that n-grams are compared as numbers.
 */
#include "op_keys.h"
#include "op_text.h"

struct gram {
    const uint32_t *terms;
    uint32_t n, column;
};

struct tfidf_state {
    struct op_keys terms;
    struct gram *grams; /* sorted */
    size_t n_grams, width;
    int64_t n_min, n_max, skip_max;
    bool counts, weighs; /* TF and TFIDF count; IDF and TFIDF multiply with weights */
    float *weights;      /* by column */
};

static int compare_grams(const void *a_, const void *b_)
{
    const struct gram *a = a_, *b = b_;
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    for (uint32_t i = 0; i < a->n; i++)
        if (a->terms[i] != b->terms[i])
            return a->terms[i] < b->terms[i] ? -1 : 1;
    return 0;
}

static int read_mode(struct op_prepare *p, struct tfidf_state *s)
{
    struct span mode = op_attr_s(p->node, "mode", "");
    s->n_min = op_attr_i(p->node, "min_gram_length", 1);
    s->n_max = op_attr_i(p->node, "max_gram_length", 1);
    s->skip_max = op_attr_i(p->node, "max_skip_count", 0);
    s->counts = !span_eq(mode, SPAN("IDF"));
    s->weighs = !span_eq(mode, SPAN("TF"));
    if (!span_eq(mode, SPAN("TF")) && !span_eq(mode, SPAN("IDF")) && !span_eq(mode, SPAN("TFIDF")))
        return op_fail(p->e, p->node, "mode '%.*s' is unknown", (int)MIN(mode.len, (size_t)40),
                       mode.p);
    if (s->n_min < 1 || s->n_max < s->n_min || s->n_max > GRAM_TERMS_MAX)
        return op_fail(p->e, p->node, "n-grams of %lld to %lld terms; 1 to %d are supported",
                       (long long)s->n_min, (long long)s->n_max, GRAM_TERMS_MAX);
    if (s->skip_max < 0 || s->skip_max > GRAM_SKIP_MAX)
        return op_fail(p->e, p->node, "max_skip_count is %lld; 0 to %d are supported",
                       (long long)s->skip_max, GRAM_SKIP_MAX);
    return ERR_OK;
}

/* The pool has the n-grams of one term, then those of two, and so on; starts says where each begin. */
static int read_grams(struct op_prepare *p, struct tfidf_state *s, const struct tensor *pool,
                      const struct tensor *starts, const struct tensor *columns)
{
    uint32_t *terms = arena_alloc(p->keep, (pool->n + 1) * sizeof *terms);
    s->grams = arena_alloc(p->keep, (columns->n + 1) * sizeof *s->grams);
    if (!terms || !s->grams)
        return op_nomem(p->e, p->node);
    for (size_t i = 0; i < pool->n; i++)
        terms[i] = (uint32_t)op_keys_find(&s->terms, pool, i);
    for (size_t k = 0; k < starts->n; k++) {
        int64_t at = starts->i64[k], n = (int64_t)k + 1;
        int64_t end = k + 1 < starts->n ? starts->i64[k + 1] : (int64_t)pool->n;
        if (at < 0 || end < at || end > (int64_t)pool->n || (end - at) % n != 0)
            return op_fail(p->e, p->node, "ngram_counts[%zu] does not fit the pool of %zu", k,
                           pool->n);
        for (; at < end; at += n, s->n_grams++) {
            int64_t column = s->n_grams < columns->n ? columns->i64[s->n_grams] : -1;
            if (column < 0 || column >= GRAM_COLUMNS_MAX)
                return op_fail(p->e, p->node, "n-gram %zu has no column within the %d allowed",
                               s->n_grams, GRAM_COLUMNS_MAX);
            s->grams[s->n_grams] = (struct gram){terms + at, (uint32_t)n, (uint32_t)column};
            s->width = MAX(s->width, (size_t)column + 1);
        }
    }
    qsort(s->grams, s->n_grams, sizeof *s->grams, compare_grams);
    return ERR_OK;
}

int op_prepare_tfidf(struct op_prepare *p)
{
    struct tfidf_state *s = arena_zalloc(p->keep, sizeof *s);
    struct tensor pool, starts, columns, weights;
    if (!s)
        return op_nomem(p->e, p->node);
    p->node->state = s;
    int rc = read_mode(p, s);
    if (rc || (rc = op_keys_list(p, "pool_strings", ONNX_ATTR_STRINGS, &pool)) ||
        (pool.type == ELEM_NONE && (rc = op_keys_list(p, "pool_int64s", ONNX_ATTR_INTS, &pool))) ||
        (rc = op_keys_list(p, "ngram_counts", ONNX_ATTR_INTS, &starts)) ||
        (rc = op_keys_list(p, "ngram_indexes", ONNX_ATTR_INTS, &columns)) ||
        (rc = op_keys_list(p, "weights", ONNX_ATTR_FLOATS, &weights)))
        return rc;
    if (pool.n == 0 || starts.n == 0 || columns.n == 0)
        return op_fail(p->e, p->node, "pool, ngram_counts or ngram_indexes are missing");
    if ((rc = op_keys_make(p, &pool, &s->terms)) ||
        (rc = read_grams(p, s, &pool, &starts, &columns)))
        return rc;
    if (weights.n && weights.n != columns.n)
        return op_fail(p->e, p->node, "it has %zu weights for %zu n-grams", weights.n, columns.n);
    s->weights = arena_alloc(p->keep, (s->width + 1) * sizeof *s->weights);
    if (!s->weights)
        return op_nomem(p->e, p->node);
    for (size_t i = 0; i < s->width; i++)
        s->weights[i] = s->weighs && i < weights.n ? weights.f32[i] : 1;
    return ERR_OK;
}

/* Counts the n-grams of n terms, each step after the one before, in a row of places in the pool. */
static void count(const struct tfidf_state *s, const int64_t *ids, size_t width, size_t n,
                  size_t step, float *out)
{
    uint32_t terms[GRAM_TERMS_MAX];
    struct gram key = {.terms = terms, .n = (uint32_t)n};
    for (size_t first = 0; first + (n - 1) * step < width; first++) {
        size_t k = 0;
        for (; k < n && ids[first + k * step] >= 0; k++)
            terms[k] = (uint32_t)ids[first + k * step];
        const struct gram *found =
            k < n ? NULL : bsearch(&key, s->grams, s->n_grams, sizeof key, compare_grams);
        if (found)
            out[found->column] += 1;
    }
}

int op_run_tfidf(struct op_run *r)
{
    const struct tfidf_state *s = r->node->state;
    const struct tensor *t = r->in[0];
    char text[TENSOR_TEXT_BYTES];
    if (t->rank < 1 || t->rank > 2 || (t->type == ELEM_STR) != (s->terms.type == ELEM_STR) ||
        elem_float(t->type))
        return op_fail(r->e, r->node, "it takes rows of %s, not %s",
                       s->terms.type == ELEM_STR ? "strings" : "integers", tensor_text(t, text));
    size_t rows = t->rank == 2 ? (size_t)t->dims[0] : 1, width = (size_t)t->dims[t->rank - 1];
    int64_t dims[] = {t->dims[0], (int64_t)s->width};
    int rc = op_make(r, 0, ELEM_F32, t->rank, t->rank == 2 ? dims : dims + 1);
    int64_t *ids = arena_alloc(r->mem, (width + 1) * sizeof *ids);
    if (rc || !ids)
        return rc ? rc : op_nomem(r->e, r->node);
    memset(r->out[0].f32, 0, r->out[0].n * sizeof(float));
    for (size_t row = 0; row < rows; row++) {
        float *out = r->out[0].f32 + row * s->width;
        for (size_t i = 0; i < width; i++)
            ids[i] = op_keys_find(&s->terms, t, row * width + i);
        for (int64_t n = s->n_min; n <= s->n_max; n++)
            for (int64_t step = 1; step <= (n == 1 ? 1 : s->skip_max + 1); step++)
                count(s, ids, width, (size_t)n, (size_t)step, out);
        for (size_t i = 0; i < s->width; i++)
            out[i] = (s->counts ? out[i] : out[i] > 0) * s->weights[i];
    }
    return ERR_OK;
}
