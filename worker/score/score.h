/*
 * score.h: the score engine as the rest of drover sees it: models in ONNX's format (model.h),
 * stages of jobs that run them over batches of rows (stage.h), and samples that prove a model right
 * (verify.h). docs/SCORE.md tells what it supports.
 *
 * Thread rule: models and stages are immutable and may be shared; a scratch has one owner.
 */
#ifndef DROVER_SCORE_SCORE_H
#define DROVER_SCORE_SCORE_H

#include "model.h"
#include "stage.h"
#include "verify.h"

#endif
