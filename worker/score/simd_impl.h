/*
 * simd_impl.h: the kernels of simd.h, for the vector width and target that simd.c has set (WIDTH,
 * TARGET, NAME). Included once for each level, so it has no guard.
 */
typedef float NAME(vf) __attribute__((vector_size(4 * WIDTH)));
typedef int32_t NAME(vi) __attribute__((vector_size(4 * WIDTH)));
#define vf NAME(vf)
#define vi NAME(vi)
#define INLINE TARGET static inline __attribute__((always_inline))

INLINE vf NAME(load)(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void NAME(store)(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

INLINE vf NAME(choose)(vi mask, vf yes, vf no)
{
    return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}

/* Cephes' expf: 2 to the nearest whole power, times a polynomial for the rest. */
INLINE vf NAME(exp)(vf x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to whole numbers */
    vf zero = {0};
    vf v = NAME(choose)(x > 88.72f, zero + 88.72f, x);
    v = NAME(choose)(v < -87.33f, zero - 87.33f, v);
    vf shifted = v * 1.44269504088896341f + magic;
    vf n = shifted - magic;
    vf r = v - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    vf p = zero + 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    vi power = ((vi)shifted - 0x4B400000 + 126) << 23; /* half of it: 2^128 would not fit */
    p = p * (vf)power * 2.0f;
    p = NAME(choose)(x > 88.7228390f, zero + __builtin_inff(), p);
    p = NAME(choose)(x < -87.33f, zero, p);
    return NAME(choose)(x == x, p, x);
}

INLINE vf NAME(sigmoid)(vf x)
{
    vf size = (vf)((vi)x & 0x7FFFFFFF);
    vf e = NAME(exp)(-size);
    vf one = e - e + 1.0f;
    return NAME(choose)(x < 0, e / (one + e), one / (one + e));
}

/* Cephes' tanhf: a polynomial near zero, by exp elsewhere. */
INLINE vf NAME(tanh)(vf x)
{
    vf size = (vf)((vi)x & 0x7FFFFFFF), z = x * x;
    vf e = NAME(exp)(-2.0f * size);
    vf far = (1.0f - e) / (1.0f + e);
    far = (vf)((vi)far | ((vi)x & (int32_t)0x80000000));
    vf p = z * -5.70498872745e-3f + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    vf near = p * z * x + x;
    return NAME(choose)(size < 0.625f, near, far);
}

INLINE vf NAME(relu)(vf x)
{
    vf zero = {0};
    return NAME(choose)(x < 0, zero, x);
}

/* In place over an array; the last few go through a vector of their own. */
#define MAP(name)                                                                                  \
    TARGET static void NAME(name##_all)(float *v, size_t n)                                        \
    {                                                                                              \
        float last[WIDTH] = {0};                                                                   \
        size_t i = 0;                                                                              \
        for (; i + WIDTH <= n; i += WIDTH)                                                         \
            NAME(store)(v + i, NAME(name)(NAME(load)(v + i)));                                     \
        if (i == n)                                                                                \
            return;                                                                                \
        memcpy(last, v + i, (n - i) * sizeof *v);                                                  \
        NAME(store)(last, NAME(name)(NAME(load)(last)));                                           \
        memcpy(v + i, last, (n - i) * sizeof *v);                                                  \
    }
MAP(exp)
MAP(relu)
MAP(sigmoid)
MAP(tanh)
#undef MAP

/* rows x (vectors * WIDTH) outputs of one panel, all in registers. x: a row after the other, or the
 * columns from row `first` on. */
INLINE void NAME(tile)(const struct simd_dense *d, const float *w, const float *bias,
                       const float *x, const float *const *columns, size_t first, size_t rows,
                       size_t vectors, float *out, size_t n_columns)
{
    vf acc[6][2];
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < vectors; v++)
            acc[r][v] = NAME(load)(bias + v * WIDTH);
    for (size_t k = 0; k < d->k; k++) {
        const float *at = columns ? columns[k] + first : x + first * d->k + k;
        size_t step = columns ? 1 : d->k;
        vf row[2];
        for (size_t v = 0; v < vectors; v++)
            row[v] = NAME(load)(w + k * vectors * WIDTH + v * WIDTH);
        for (size_t r = 0; r < rows; r++)
            for (size_t v = 0; v < vectors; v++)
                acc[r][v] = acc[r][v] + row[v] * at[r * step];
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < vectors; v++) {
            vf y = d->activation == SIMD_RELU ? NAME(relu)(acc[r][v]) : acc[r][v];
            float part[WIDTH];
            float *to = out + (first + r) * d->m + v * WIDTH;
            if ((v + 1) * WIDTH <= n_columns) {
                NAME(store)(to, y);
            } else if (v * WIDTH < n_columns) {
                NAME(store)(part, y);
                memcpy(to, part, (n_columns - v * WIDTH) * sizeof *part);
            }
        }
}

INLINE void NAME(panel)(const struct simd_dense *d, size_t first, const float *x,
                        const float *const *columns, size_t rows, size_t vectors, float *out)
{
    const float *w = d->weights + first * d->k, *bias = d->bias + first;
    size_t n = d->m - first < d->panel ? d->m - first : d->panel, r = 0;
    for (; r + 6 <= rows; r += 6)
        NAME(tile)(d, w, bias, x, columns, r, 6, vectors, out + first, n);
    for (; r < rows; r++)
        NAME(tile)(d, w, bias, x, columns, r, 1, vectors, out + first, n);
}

TARGET static void NAME(dense)(const struct simd_dense *d, const float *x,
                               const float *const *columns, size_t rows, float *out)
{
    for (size_t first = 0; first < d->m; first += d->panel)
        if (d->panel == WIDTH)
            NAME(panel)(d, first, x, columns, rows, 1, out);
        else if (columns)
            NAME(panel)(d, first, NULL, columns, rows, 2, out);
        else
            NAME(panel)(d, first, x, NULL, rows, 2, out);
    if (d->activation == SIMD_SIGMOID)
        NAME(sigmoid_all)(out, rows * d->m);
    else if (d->activation == SIMD_TANH)
        NAME(tanh_all)(out, rows * d->m);
}

TARGET static void NAME(columns)(const float *const *columns, const float *w, size_t n_columns,
                                 size_t rows, float *out)
{
    size_t i = 0;
    for (; i + 4 * WIDTH <= rows; i += 4 * WIDTH) {
        vf acc[4];
        for (size_t v = 0; v < 4; v++)
            acc[v] = NAME(load)(out + i + v * WIDTH);
        for (size_t c = 0; c < n_columns; c++)
            for (size_t v = 0; v < 4; v++)
                acc[v] = acc[v] + NAME(load)(columns[c] + i + v * WIDTH) * w[c];
        for (size_t v = 0; v < 4; v++)
            NAME(store)(out + i + v * WIDTH, acc[v]);
    }
    for (; i < rows; i++)
        for (size_t c = 0; c < n_columns; c++)
            out[i] += columns[c][i] * w[c];
}

TARGET static void NAME(dots)(const float *x, const float *w, size_t k, size_t rows, float bias,
                              float *out)
{
    for (size_t r = 0; r < rows; r++, x += k) {
        vf acc = {0};
        float sums[WIDTH];
        size_t i = 0;
        for (; i + WIDTH <= k; i += WIDTH)
            acc = acc + NAME(load)(x + i) * NAME(load)(w + i);
        NAME(store)(sums, acc);
        for (size_t half = WIDTH / 2; half > 0; half /= 2)
            for (size_t j = 0; j < half; j++)
                sums[j] += sums[j + half];
        for (; i < k; i++)
            sums[0] += x[i] * w[i];
        out[r] = sums[0] + bias;
    }
}

#undef vf
#undef vi
#undef INLINE
