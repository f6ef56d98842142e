/*
 * op_prep.h: the operators of ai.onnx.ml that make features: Scaler, Imputer, Normalizer,
 * Binarizer, FeatureVectorizer, OneHotEncoder, LabelEncoder, and ZipMap, which only names columns.
 *
 * Thread rule: states are immutable once the model is loaded.
 */
#ifndef DROVER_SCORE_OP_PREP_H
#define DROVER_SCORE_OP_PREP_H

#include "post.h"

/* Scaler and Imputer work feature by feature, with one value for each or one for all. */
struct scaler_state {
    float *offset, *scale;
    size_t n; /* of both: 1 or the number of features */
};

struct imputer_state {
    bool ints; /* works on int64 */
    float *values;
    int64_t *whole;
    size_t n;
    float replaced;
    int64_t replaced_whole;
};

int op_prepare_scaler(struct op_prepare *p);
int op_run_scaler(struct op_run *r);
int op_prepare_imputer(struct op_prepare *p);
int op_run_imputer(struct op_run *r);
int op_run_normalizer(struct op_run *r);
int op_run_lp_normalization(struct op_run *r);
int op_run_binarizer(struct op_run *r);
int op_run_feature_vectorizer(struct op_run *r);

int op_prepare_one_hot(struct op_prepare *p);
int op_run_one_hot(struct op_run *r);
int op_prepare_label_encoder(struct op_prepare *p);
int op_run_label_encoder(struct op_run *r);
int op_prepare_zip_map(struct op_prepare *p); /* the state is a struct labels */

#endif
