/*
 * fault.h: the one table of what can be wrong with a row. The code stands in the reject and in the
 * documentation (docs/TRANSFORM.md); a code never changes its meaning.
 *
 * Thread rule: constants.
 */
#ifndef DROVER_TRANSFORM_FAULT_H
#define DROVER_TRANSFORM_FAULT_H

/* BAD_: the text is no value of the type: these follow on_error, `null` included. The others come
 * from computing and reject the row (or fail the task) under any policy but `fail`. */
#define FAULT_BAD_VALUE "BAD_VALUE"       /* does not parse as the type */
#define FAULT_OUT_OF_RANGE "OUT_OF_RANGE" /* parses, but the type cannot hold it */
#define FAULT_BAD_TEXT "BAD_TEXT"         /* not UTF-8, or with a NUL */
#define FAULT_RAGGED "RAGGED_ROW"         /* fewer or more fields than columns */
#define FAULT_JSON "BAD_JSON"             /* a line of NDJSON is no object */
#define FAULT_CAPTURE "CUT_CAPTURE"       /* a capture ends in the middle of a packet */
#define FAULT_DIVISION "DIVISION_BY_ZERO"
#define FAULT_OVERFLOW "NUMERIC_OVERFLOW" /* the result of a computation is out of range */
#define FAULT_REGEX "REGEX_LIMIT"         /* a pattern needs too many steps for the text */
#define FAULT_ARGUMENT "INVALID_ARGUMENT" /* sqrt(-1), ln(0), substring of negative length */

#endif
