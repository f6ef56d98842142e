#include "sink.h"

const struct sink_kind sink_postgres = {.kind = SPEC_SINK_POSTGRES};
