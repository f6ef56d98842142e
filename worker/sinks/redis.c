#include "sink.h"

const struct sink_kind sink_redis = {.kind = SPEC_SINK_REDIS};
