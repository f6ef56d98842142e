/* value_date.h: writing dates; reading them is declared in value.h. Pure functions. */
#ifndef DROVER_VALUE_DATE_H
#define DROVER_VALUE_DATE_H

#include "value.h"

/* As a JSON string: "YYYY-MM-DD" of days, or RFC 3339 in UTC of microseconds. */
void value_date_write(int64_t v, bool date_only, struct buf *out);

#endif
