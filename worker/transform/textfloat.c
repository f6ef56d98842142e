#include "textfloat.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>

enum { DIGITS_SURE = 15, DIGITS_MAX = 17, EXPONENT_LOW = -4, EXPONENT_HIGH = 15 };

/*
 * Does the decimal lie exactly between x and a neighbour? It reads back as x if x is even, but
 * PostgreSQL does not rely on how others round ties, and takes more digits.
 */
static bool on_boundary(const char *decimal, double x)
{
    enum { EXACT_DIGITS = 40 };
    char want[64], have[64];
    long double y = strtold(decimal, NULL);
    long double up = ((long double)x + (long double)nextafter(x, INFINITY)) / 2;
    long double down = ((long double)x + (long double)nextafter(x, 0)) / 2;
    if (y != up && y != down)
        return false;
    snprintf(want, sizeof want, "%.*Le", EXACT_DIGITS, y);
    size_t n = strcspn(decimal, "e"); /* the rest of the exact value must be zeros */
    snprintf(have, sizeof have, "%.*s", (int)n, decimal);
    return strncmp(want, have, n) == 0 && strspn(want + n, "0") == strcspn(want + n, "e");
}

/* The shortest that reads back. Fewer than 15 digits need not be tried, as they would only end in
 * zeros, except for subnormal numbers, which have less precision. */
static int shortest(double x, char digits[TEXTFLOAT_MAX], int *ret_exponent)
{
    char text[TEXTFLOAT_MAX * 2];
    for (int precision = x < DBL_MIN ? 1 : DIGITS_SURE; precision <= DIGITS_MAX; precision++) {
        snprintf(text, sizeof text, "%.*e", precision - 1, x);
        if (precision == DIGITS_MAX || (strtod(text, NULL) == x && !on_boundary(text, x)))
            break;
    }
    int n = 0;
    const char *p = text;
    for (; *p != 'e'; p++)
        if (*p != '.')
            digits[n++] = *p;
    *ret_exponent = atoi(p + 1);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    return n;
}

size_t textfloat_write(double x, char ret[TEXTFLOAT_MAX])
{
    char digits[TEXTFLOAT_MAX] = "";
    int exponent;
    if (isnan(x))
        return (size_t)snprintf(ret, TEXTFLOAT_MAX, "NaN");
    if (isinf(x))
        return (size_t)snprintf(ret, TEXTFLOAT_MAX, x < 0 ? "-Infinity" : "Infinity");
    if (x == 0)
        return (size_t)snprintf(ret, TEXTFLOAT_MAX, signbit(x) ? "-0" : "0");
    char *to = ret;
    if (x < 0)
        *to++ = '-';
    int n = shortest(fabs(x), digits, &exponent);
    if (exponent < EXPONENT_LOW || exponent >= EXPONENT_HIGH) {
        *to++ = digits[0];
        if (n > 1)
            *to++ = '.';
        memcpy(to, digits + 1, (size_t)n - 1);
        to += n - 1;
        to += sprintf(to, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return (size_t)(to - ret);
    }
    if (exponent < 0) {
        *to++ = '0';
        *to++ = '.';
        for (int i = -1; i > exponent; i--)
            *to++ = '0';
    }
    for (int i = 0; i < n || i <= exponent; i++) {
        *to++ = i < n ? digits[i] : '0';
        if (i == exponent && i + 1 < n)
            *to++ = '.';
    }
    return (size_t)(to - ret);
}

enum textfloat textfloat_read(struct span s, double *ret)
{
    char text[TEXTFLOAT_READ_MAX + 1], *end;
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
