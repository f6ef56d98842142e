#include "textfloat.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>

enum {
    DIGITS_SURE = 15,
    DIGITS_MAX = 17,
    EXPONENT_LOW = -4,
    EXPONENT_HIGH = 15,
    POWER_MAX = 22, /* the largest power of ten that a double holds exactly */
    DIGITS_64 = 18  /* that surely fit into 64 bits */
};

#define MANTISSA_MAX (UINT64_C(1) << 53)

static const double powers[POWER_MAX + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

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

/* The same for a number that is some decimal of at most 15 digits, which nearly all in files are: those are
 * far enough from each other that each is the shortest of its double. An integer and a power of ten that are
 * both exact have a quotient that is rounded once, as a reader's is. 0: it is none. */
static int shortest_plain(double x, char digits[TEXTFLOAT_MAX], int *ret_exponent)
{
    int exponent = 0; /* x < 10^(exponent + 1) */
    if (!(x >= 1e-5 && x < 1e15))
        return 0;
    while (exponent < DIGITS_SURE && x >= powers[exponent + 1])
        exponent++;
    for (double y = x; y < 1; y *= 10)
        exponent--;
    const int power = MIN(DIGITS_SURE - 1 - exponent, (int)POWER_MAX);
    const double whole = nearbyint(x * powers[power]);
    if (whole >= 1e15 || whole / powers[power] < x || whole / powers[power] > x)
        return 0;
    uint64_t m = (uint64_t)whole;
    int n = 0;
    char reversed[TEXTFLOAT_MAX];
    while (m % 10 == 0)
        m /= 10;
    for (; m > 0; m /= 10)
        reversed[n++] = (char)('0' + m % 10);
    for (int i = 0; i < n; i++)
        digits[i] = reversed[n - 1 - i];
    /* by how many digits the whole has before the point of the power */
    int places = 0;
    for (double w = whole; places < DIGITS_SURE && w >= powers[places]; places++)
        ;
    *ret_exponent = places - 1 - power;
    return n;
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
    int n = shortest_plain(fabs(x), digits, &exponent);
    if (n == 0)
        n = shortest(fabs(x), digits, &exponent);
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
    while (s.len > 0 && (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r'))) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 &&
           (s.p[s.len - 1] == ' ' || (s.p[s.len - 1] >= '\t' && s.p[s.len - 1] <= '\r')))
        s.len--;
    if (s.len > 0 && s.len <= DIGITS_64 + 2 && read_plain(s, ret))
        return TEXTFLOAT_OK;
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
