#include "compare.h"

int compare_rows(const struct vec *a, uint32_t i, const struct vec *b, uint32_t j,
                 struct arena *scratch)
{
    switch (a->type) {
    case SQLTYPE_BOOL:
        return a->b8[i] - b->b8[j];
    case SQLTYPE_NUMERIC:
        return num_cmp(vec_num(a, i), vec_num(b, j), scratch);
    case SQLTYPE_FLOAT8:
        return compare_f64(a->f64[i], b->f64[j]);
    case SQLTYPE_TEXT:
        return compare_text(a->text[i], b->text[j]);
    case SQLTYPE_INTERVAL:
        return compare_interval(a->interval[i], b->interval[j]);
    default:
        return (a->i64[i] > b->i64[j]) - (a->i64[i] < b->i64[j]);
    }
}
