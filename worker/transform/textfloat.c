#include "textfloat.h"

#include <errno.h>
#include <math.h>

#include "common/shortest.h"

enum {
    POWER_MAX = 22, /* the largest power of ten that a double holds exactly */
    DIGITS_64 = 18  /* that surely fit into 64 bits */
};

#define MANTISSA_MAX (UINT64_C(1) << 53)

static const double powers[POWER_MAX + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

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

/* Digits, perhaps with a point among them, as in nearly all files (Clinger, How to Read Floating Point
 * Numbers Accurately, 1990: the fast case). False: it takes more. */
static bool read_plain(struct span s, double *ret)
{
    const char *p = s.p, *end = s.p + s.len;
    uint64_t m = 0;
    int digits = 0, places = 0;
    const bool minus = p < end && *p == '-';
    p += minus;
    for (; p < end && *p >= '0' && *p <= '9'; p++, digits++)
        m = m * 10 + (uint64_t)(*p - '0');
    if (p < end && *p == '.')
        for (p++; p < end && *p >= '0' && *p <= '9'; p++, digits++, places++)
            m = m * 10 + (uint64_t)(*p - '0');
    if (p != end || digits == 0 || digits > DIGITS_64 || m > MANTISSA_MAX)
        return false;
    const double v = (double)m / powers[places];
    *ret = minus ? -v : v;
    return true;
}

enum textfloat textfloat_read(struct span s, double *ret)
{
    char text[TEXTFLOAT_READ_MAX + 1], *end;
    if (s.len <= DIGITS_64 + 2 && read_plain(s, ret))
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
