/*
 * predict_json.h: the body of a request for a prediction, read straight into the model's batch:
 *
 *     {"rows": [{"age": 41, "city": "Oslo"}, ...]}
 *     {"columns": ["age", "city"], "rows": [[41, "Oslo"], ...]}
 *
 * JSON as RFC 8259 has it: no NaN, no comments, UTF-8. Errors name row and column, or the place in the
 * text.
 *
 * Thread rule: pure functions.
 */
#ifndef DROVER_PREDICT_JSON_H
#define DROVER_PREDICT_JSON_H

#include "coordinator/edge/model_info.h"

enum { PREDICT_JSON_DEPTH_MAX = 16 };

/* body: with a NUL behind it. Appends whole rows to out; after an error some may be there. MALFORMED: it is no
 * JSON; INVALID_ARGUMENT, LIMIT, NOMEM. */
int predict_json_read(const struct model_info *info, struct span body, struct batch *out,
                      struct arena *mem, struct error *e) MUST_CHECK;

#endif
