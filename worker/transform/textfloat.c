#include "textfloat.h"

#include <errno.h>
#include <math.h>

#include "common/nearest.h"

size_t textfloat_write(double x, char ret[TEXTFLOAT_MAX])
{
    if (isnan(x) || isinf(x)) {
        const struct span name = isnan(x) ? SPAN("NaN")
                                 : x < 0  ? SPAN("-Infinity")
                                          : SPAN("Infinity");
        memcpy(ret, name.p, name.len);
        return name.len;
    }
    return shortest_write(x, ret);
}

enum textfloat textfloat_read(struct span s, double *ret)
{
    char text[TEXTFLOAT_READ_MAX + 1], *end;
    if (nearest_read(s, ret))
        return TEXTFLOAT_OK;
    while (s.len > 0 && (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r'))) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 &&
           (s.p[s.len - 1] == ' ' || (s.p[s.len - 1] >= '\t' && s.p[s.len - 1] <= '\r')))
        s.len--;
    if (s.len == 0 || s.len > TEXTFLOAT_READ_MAX || memchr(s.p, '\0', s.len))
        return TEXTFLOAT_MALFORMED;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    errno = 0;
    double v = strtod(text, &end);
    if (end != text + s.len)
        return TEXTFLOAT_MALFORMED;
    if (errno == ERANGE && (v == 0 || isinf(v)))
        return TEXTFLOAT_RANGE;
    *ret = v;
    return TEXTFLOAT_OK;
}
