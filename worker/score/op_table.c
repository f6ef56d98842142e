/*
 * op_table.c: every operator that drover runs: domain, name, the versions of the operator set that
 * the kernel is right for, numbers of inputs and outputs, and the kernel.
 */
#include "op_linear.h"
#include "op_math.h"
#include "op_matmul.h"
#include "op_prep.h"
#include "op_reduce.h"
#include "op_shape.h"
#include "op_text.h"
#include "tree_op.h"

#define ML "ai.onnx.ml"
#define ANY OP_SET_MAX
#define MANY ONNX_NODE_PORTS_MAX

/* clang-format off */
const struct op op_table[] = {
    /* domain, name, since, until, in_min, in_max, out_max, flags, prepare, run */
    {"", "Abs", 6, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Add", 7, ANY, 2, 2, 1, 0, NULL, op_run_binary},
    {"", "And", 7, ANY, 2, 2, 1, 0, NULL, op_run_binary},
    {"", "ArgMax", 1, ANY, 1, 1, 1, 0, NULL, op_run_arg},
    {"", "ArgMin", 1, ANY, 1, 1, 1, 0, NULL, op_run_arg},
    {"", "BatchNormalization", 9, ANY, 5, 5, 1, 0, NULL, op_run_batch_normalization},
    {"", "Cast", 6, ANY, 1, 1, 1, OP_COLUMNS, NULL, op_run_cast},
    {"", "CastLike", 15, ANY, 2, 2, 1, OP_COLUMNS, NULL, op_run_cast},
    {"", "Ceil", 6, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Clip", 6, ANY, 1, 3, 1, 0, NULL, op_run_clip},
    {"", "Concat", 4, ANY, 1, MANY, 1, OP_COLUMNS, NULL, op_run_concat},
    {"", "Constant", 1, ANY, 0, 0, 1, 0, op_prepare_constant, op_run_constant},
    {"", "ConstantOfShape", 9, ANY, 1, 1, 1, 0, NULL, op_run_constant_of_shape},
    {"", "Cos", 7, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "CumSum", 11, ANY, 2, 2, 1, 0, NULL, op_run_cum_sum},
    {"", "Div", 7, ANY, 2, 2, 1, 0, NULL, op_run_binary},
    {"", "Dropout", 7, ANY, 1, 3, 2, OP_COLUMNS, NULL, op_run_identity},
    {"", "Elu", 6, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Equal", 7, ANY, 2, 2, 1, 0, NULL, op_run_binary},
    {"", "Erf", 9, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Exp", 6, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Expand", 8, ANY, 2, 2, 1, 0, NULL, op_run_expand},
    {"", "Flatten", 1, ANY, 1, 1, 1, 0, NULL, op_run_flatten},
    {"", "Floor", 6, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Gather", 1, ANY, 2, 2, 1, OP_COLUMNS, NULL, op_run_gather},
    {"", "GatherElements", 11, ANY, 2, 2, 1, 0, NULL, op_run_gather_elements},
    {"", "Gemm", 7, ANY, 2, 3, 1, OP_COLUMNS, op_prepare_gemm, op_run_gemm},
    {"", "Greater", 7, ANY, 2, 2, 1, 0, NULL, op_run_binary},
    {"", "GreaterOrEqual", 12, ANY, 2, 2, 1, 0, NULL, op_run_binary},
    {"", "HardSigmoid", 6, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Identity", 1, ANY, 1, 1, 1, OP_COLUMNS, NULL, op_run_identity},
    {"", "IsInf", 10, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "IsNaN", 9, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "LeakyRelu", 6, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Less", 7, ANY, 2, 2, 1, 0, NULL, op_run_binary},
    {"", "LessOrEqual", 12, ANY, 2, 2, 1, 0, NULL, op_run_binary},
    {"", "Log", 6, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "LogSoftmax", 1, ANY, 1, 1, 1, 0, NULL, op_run_softmax},
    {"", "LpNormalization", 1, ANY, 1, 1, 1, 0, NULL, op_run_lp_normalization},
    {"", "MatMul", 1, ANY, 2, 2, 1, OP_COLUMNS, op_prepare_matmul, op_run_matmul},
    {"", "Max", 6, ANY, 1, MANY, 1, 0, NULL, op_run_binary},
    {"", "Mean", 8, ANY, 1, MANY, 1, 0, NULL, op_run_mean},
    {"", "Min", 6, ANY, 1, MANY, 1, 0, NULL, op_run_binary},
    {"", "Mul", 7, ANY, 2, 2, 1, 0, NULL, op_run_binary},
    {"", "Neg", 6, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Not", 1, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Or", 7, ANY, 2, 2, 1, 0, NULL, op_run_binary},
    {"", "Pow", 7, ANY, 2, 2, 1, 0, NULL, op_run_binary},
    {"", "Reciprocal", 6, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "ReduceL1", 1, ANY, 1, 2, 1, 0, NULL, op_run_reduce},
    {"", "ReduceL2", 1, ANY, 1, 2, 1, 0, NULL, op_run_reduce},
    {"", "ReduceLogSum", 1, ANY, 1, 2, 1, 0, NULL, op_run_reduce},
    {"", "ReduceLogSumExp", 1, ANY, 1, 2, 1, 0, NULL, op_run_reduce},
    {"", "ReduceMax", 1, ANY, 1, 2, 1, 0, NULL, op_run_reduce},
    {"", "ReduceMean", 1, ANY, 1, 2, 1, 0, NULL, op_run_reduce},
    {"", "ReduceMin", 1, ANY, 1, 2, 1, 0, NULL, op_run_reduce},
    {"", "ReduceProd", 1, ANY, 1, 2, 1, 0, NULL, op_run_reduce},
    {"", "ReduceSum", 1, ANY, 1, 2, 1, 0, NULL, op_run_reduce},
    {"", "ReduceSumSquare", 1, ANY, 1, 2, 1, 0, NULL, op_run_reduce},
    {"", "Relu", 6, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Reshape", 5, ANY, 2, 2, 1, 0, NULL, op_run_reshape},
    {"", "Round", 11, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Selu", 6, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Shape", 1, ANY, 1, 1, 1, OP_COLUMNS, NULL, op_run_shape},
    {"", "Sigmoid", 6, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Sign", 9, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Sin", 7, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Slice", 1, ANY, 1, 5, 1, 0, NULL, op_run_slice},
    {"", "Softmax", 1, ANY, 1, 1, 1, 0, NULL, op_run_softmax},
    {"", "Softplus", 1, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Split", 2, ANY, 1, 2, MANY, 0, NULL, op_run_split},
    {"", "Sqrt", 6, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "Squeeze", 1, ANY, 1, 2, 1, 0, NULL, op_run_squeeze},
    {"", "StringNormalizer", 10, ANY, 1, 1, 1, 0, op_prepare_string_normalizer,
     op_run_string_normalizer},
    {"", "Sub", 7, ANY, 2, 2, 1, 0, NULL, op_run_binary},
    {"", "Sum", 8, ANY, 1, MANY, 1, 0, NULL, op_run_binary},
    {"", "Tanh", 6, ANY, 1, 1, 1, 0, NULL, op_run_unary},
    {"", "TfIdfVectorizer", 9, ANY, 1, 1, 1, 0, op_prepare_tfidf, op_run_tfidf},
    {"", "TopK", 1, ANY, 1, 2, 2, 0, NULL, op_run_top_k},
    {"", "Transpose", 1, ANY, 1, 1, 1, 0, NULL, op_run_transpose},
    {"", "Unsqueeze", 1, ANY, 1, 2, 1, 0, NULL, op_run_unsqueeze},
    {"", "Where", 9, ANY, 3, 3, 1, 0, NULL, op_run_where},
    {"", "Xor", 7, ANY, 2, 2, 1, 0, NULL, op_run_binary},

    {"com.microsoft", "Tokenizer", 1, ANY, 1, 1, 1, 0, op_prepare_tokenizer, op_run_tokenizer},

    {ML, "ArrayFeatureExtractor", 1, 5, 2, 2, 1, OP_COLUMNS, NULL, op_run_extract},
    {ML, "Binarizer", 1, 5, 1, 1, 1, 0, NULL, op_run_binarizer},
    {ML, "FeatureVectorizer", 1, 5, 1, MANY, 1, 0, NULL, op_run_feature_vectorizer},
    {ML, "Imputer", 1, 5, 1, 1, 1, OP_COLUMNS, op_prepare_imputer, op_run_imputer},
    {ML, "LabelEncoder", 1, 5, 1, 1, 1, 0, op_prepare_label_encoder, op_run_label_encoder},
    {ML, "LinearClassifier", 1, 5, 1, 1, 2, OP_COLUMNS, op_prepare_linear_classifier,
     op_run_linear},
    {ML, "LinearRegressor", 1, 5, 1, 1, 1, OP_COLUMNS, op_prepare_linear_regressor, op_run_linear},
    {ML, "Normalizer", 1, 5, 1, 1, 1, 0, NULL, op_run_normalizer},
    {ML, "OneHotEncoder", 1, 5, 1, 1, 1, 0, op_prepare_one_hot, op_run_one_hot},
    {ML, "Scaler", 1, 5, 1, 1, 1, OP_COLUMNS, op_prepare_scaler, op_run_scaler},
    {ML, "SVMClassifier", 1, 5, 1, 1, 2, 0, op_prepare_svm_classifier, op_run_svm},
    {ML, "SVMRegressor", 1, 5, 1, 1, 1, 0, op_prepare_svm_regressor, op_run_svm},
    {ML, "TreeEnsemble", 5, 5, 1, 1, 1, OP_COLUMNS, tree_prepare_v5, tree_run_op},
    {ML, "TreeEnsembleClassifier", 1, 5, 1, 1, 2, OP_COLUMNS, tree_prepare_classifier, tree_run_op},
    {ML, "TreeEnsembleRegressor", 1, 5, 1, 1, 1, OP_COLUMNS, tree_prepare_regressor, tree_run_op},
    {ML, "ZipMap", 1, 5, 1, 1, 1, OP_COLUMNS, op_prepare_zip_map, op_run_identity},
};
/* clang-format on */
const size_t op_count = ARRAY_LEN(op_table);
