/*
 * simd.h: dense float32 arithmetic for the processor at hand: AVX-512, AVX2 with FMA, or the
 * vectors that every x86-64 (or other) processor has. One source, simd_impl.h, compiled for each.
 * The last bits of sums differ between them, since the order of additions does.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_SCORE_SIMD_H
#define DROVER_SCORE_SIMD_H

#include "common/arena.h"

enum simd_level { SIMD_BASE, SIMD_AVX2, SIMD_AVX512, SIMD_LEVELS };
enum simd_activation { SIMD_NONE, SIMD_RELU, SIMD_SIGMOID, SIMD_TANH };

enum simd_level simd_level(void); /* the best of this processor */

/* A matrix of weights [k][m] in panels of the columns that one pass computes, with a bias. */
struct simd_dense {
    enum simd_level level;
    size_t k, m, panel; /* columns of a panel */
    float *weights;     /* [panel number][k][panel] */
    float *bias;        /* panels * panel, zero where there is none */
    enum simd_activation activation;
};

/* w: k rows of m; bias: m values or NULL. False: no memory. */
bool simd_dense_make(struct arena *keep, const float *w, size_t k, size_t m, const float *bias,
                     enum simd_activation activation, struct simd_dense *ret) MUST_CHECK;

/* out[rows][m] = activation(x[rows][k] * weights + bias). x may come as k columns instead. */
void simd_dense_run(const struct simd_dense *d, const float *x, const float *const *columns,
                    size_t rows, float *out);

/* out[i] += sum over c of w[c] * columns[c][i] */
void simd_columns(const float *const *columns, const float *w, size_t n_columns, size_t rows,
                  float *out);

/* out[r] = bias + sum over i of x[r][i] * w[i], for rows of k. */
void simd_dots(const float *x, const float *w, size_t k, size_t rows, float bias, float *out);

/* In place. exp, sigmoid and tanh are within 2e-7 (relative) of the exact value. */
void simd_exp(float *v, size_t n);
void simd_relu(float *v, size_t n);
void simd_sigmoid(float *v, size_t n);
void simd_tanh(float *v, size_t n);

#endif
