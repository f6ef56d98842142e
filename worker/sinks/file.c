#include "sink.h"

const struct sink_kind sink_file = {.kind = SPEC_SINK_FILE};
