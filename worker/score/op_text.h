/*
 * op_text.h: text as exporters of text models write it: letter case (StringNormalizer), words
 * (Tokenizer, of ONNX Runtime's domain com.microsoft), and counts of terms (TfIdfVectorizer).
 *
 * Thread rule: states are immutable once the model is loaded.
 */
#ifndef DROVER_SCORE_OP_TEXT_H
#define DROVER_SCORE_OP_TEXT_H

#include "op.h"

enum {
    TOKEN_MATCH_STEPS_MAX = 10000, /* of the regular expression, for one match */
    GRAM_TERMS_MAX = 16,           /* of an n-gram */
    GRAM_SKIP_MAX = 16,            /* terms between two of an n-gram */
    GRAM_COLUMNS_MAX = 1 << 20,
};

int op_prepare_string_normalizer(struct op_prepare *p);
int op_run_string_normalizer(struct op_run *r);
int op_prepare_tokenizer(struct op_prepare *p);
int op_run_tokenizer(struct op_run *r);
int op_prepare_tfidf(struct op_prepare *p);
int op_run_tfidf(struct op_run *r);

#endif
