/* value_date.c: dates and times of pages; the known forms and strptime-like formats. */
#include "value_date.h"

#include <stdio.h>
#include <strings.h>

#define US_PER_S INT64_C(1000000)

/* What was read so far. Fields that a form does not have keep their start value. */
struct parts {
    int64_t year;
    int month, day, hour, minute, second;
    int64_t us;
    int offset_minutes; /* east of Greenwich */
    bool pm, twelve;    /* "3 PM" */
};

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible
 * low-level date algorithms", days_from_civil). */
static int64_t days_of(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

/* The inverse (civil_from_days). */
static void date_of(int64_t days, int64_t *y, int *m, int *d)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *d = (int)(doy - (153 * mp + 2) / 5 + 1);
    *m = (int)(mp < 10 ? mp + 3 : mp - 9);
    *y = yoe + era * 400 + (*m <= 2);
}

static int days_in_month(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static bool finish(struct parts *p, bool date_only, int64_t *ret)
{
    if (p->twelve) {
        if (p->hour < 1 || p->hour > 12)
            return false;
        p->hour = p->hour % 12 + (p->pm ? 12 : 0);
    }
    if (p->year < 1 || p->year > 9999 || p->month < 1 || p->month > 12 || p->day < 1 ||
        p->day > days_in_month(p->year, p->month) || p->hour > 23 || p->minute > 59 ||
        p->second > 60)
        return false;
    int64_t days = days_of(p->year, p->month, p->day);
    if (date_only) {
        *ret = days; /* as the page says it, whatever its zone */
        return true;
    }
    int64_t minutes = (days * 24 + p->hour) * 60 + p->minute - p->offset_minutes;
    *ret = (minutes * 60 + p->second) * US_PER_S + p->us;
    return true;
}

/* ---- pieces of a text ---- */

static bool read_digits(struct span *s, size_t min, size_t max, int64_t *ret)
{
    size_t n = 0;
    int64_t v = 0;
    while (n < max && n < s->len && digit(s->p[n]))
        v = v * 10 + (s->p[n++] - '0');
    if (n < min)
        return false;
    *s = (struct span){s->p + n, s->len - n};
    *ret = v;
    return true;
}

static bool read_int(struct span *s, size_t min, size_t max, int *ret)
{
    int64_t v;
    if (!read_digits(s, min, max, &v))
        return false;
    *ret = (int)v;
    return true;
}

static bool read_char(struct span *s, char c)
{
    if (s->len == 0 || s->p[0] != c)
        return false;
    *s = (struct span){s->p + 1, s->len - 1};
    return true;
}

static size_t skip_space(struct span *s)
{
    size_t n, all = 0;
    while ((n = value_space(*s)) > 0) {
        *s = (struct span){s->p + n, s->len - n};
        all += n;
    }
    return all;
}

/* One of the names, whole or its first three letters (September also as "Sept"); -1: none. */
static int read_name(struct span *s, const char *const *names, size_t n_names)
{
    size_t n = 0;
    while (n < s->len && ((s->p[n] | 32) >= 'a' && (s->p[n] | 32) <= 'z'))
        n++;
    for (size_t i = 0; i < n_names; i++) {
        size_t len = strlen(names[i]);
        bool same = n >= 3 && n <= len && strncasecmp(s->p, names[i], n) == 0;
        if (same && (n == 3 || n == len || (n == 4 && len == 9))) {
            *s = (struct span){s->p + n, s->len - n};
            (void)read_char(s, '.');
            return (int)i;
        }
    }
    return -1;
}

static int read_month(struct span *s)
{
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    return read_name(s, months, ARRAY_LEN(months)) + 1;
}

static bool read_weekday(struct span *s)
{
    static const char *const days[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                       "Friday", "Saturday", "Sunday"};
    return read_name(s, days, ARRAY_LEN(days)) >= 0;
}

/* "Z", "UTC", "GMT", "+01:00", "+0100", "+01"; nothing else. */
static bool read_zone(struct span *s, struct parts *p)
{
    static const char *const names[] = {"UTC", "GMT", "Z"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t n = strlen(names[i]);
        if (s->len >= n && strncasecmp(s->p, names[i], n) == 0) {
            *s = (struct span){s->p + n, s->len - n};
            return true;
        }
    }
    bool negative = s->len > 0 && s->p[0] == '-';
    int hours, minutes = 0;
    if (!read_char(s, '+') && !read_char(s, '-'))
        return false;
    if (!read_int(s, 2, 2, &hours))
        return false;
    bool colon = read_char(s, ':');
    if (!read_int(s, 2, 2, &minutes) && colon)
        return false;
    if (hours > 15 || minutes > 59)
        return false;
    p->offset_minutes = (hours * 60 + minutes) * (negative ? -1 : 1);
    return true;
}

static void read_fraction(struct span *s, struct parts *p)
{
    int64_t unit = US_PER_S;
    while (s->len > 0 && digit(s->p[0])) {
        unit /= 10;
        p->us += (s->p[0] - '0') * unit;
        *s = (struct span){s->p + 1, s->len - 1};
    }
}

static bool read_half(struct span *s, struct parts *p)
{
    if (s->len < 2 || (s->p[1] | 32) != 'm' || ((s->p[0] | 32) != 'a' && (s->p[0] | 32) != 'p'))
        return false;
    p->twelve = true;
    p->pm = (s->p[0] | 32) == 'p';
    *s = (struct span){s->p + 2, s->len - 2};
    return true;
}

/* "14:05[:09[.123]] [PM] [zone]" */
static bool read_time(struct span *s, struct parts *p)
{
    if (!read_int(s, 1, 2, &p->hour) || !read_char(s, ':') || !read_int(s, 2, 2, &p->minute))
        return false;
    if (read_char(s, ':')) {
        if (!read_int(s, 2, 2, &p->second))
            return false;
        if (read_char(s, '.') || read_char(s, ','))
            read_fraction(s, p);
    }
    skip_space(s);
    if (read_half(s, p))
        skip_space(s);
    (void)read_zone(s, p);
    return true;
}

/* ---- the known forms ---- */

/* "1994-11-06", "1994/11/06", "19941106" */
static bool read_year_first(struct span *s, struct parts *p)
{
    if (!read_digits(s, 4, 4, &p->year))
        return false;
    char mark = s->len > 0 ? s->p[0] : 0;
    if (mark != '-' && mark != '/' && mark != '.')
        return read_int(s, 2, 2, &p->month) && read_int(s, 2, 2, &p->day);
    return read_char(s, mark) && read_int(s, 1, 2, &p->month) && read_char(s, mark) &&
           read_int(s, 1, 2, &p->day);
}

static void skip_ordinal(struct span *s) /* "6th" */
{
    static const char *const ends[] = {"st", "nd", "rd", "th"};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (s->len >= 2 && strncasecmp(s->p, ends[i], 2) == 0) {
            *s = (struct span){s->p + 2, s->len - 2};
            return;
        }
}

/* "06.11.1994" (with points the day is first everywhere), "6 November 1994", "06-Nov-1994" */
static bool read_day_first(struct span *s, struct parts *p)
{
    if (!read_int(s, 1, 2, &p->day))
        return false;
    if (s->len > 1 && s->p[0] == '.' && digit(s->p[1]))
        return read_char(s, '.') && read_int(s, 1, 2, &p->month) && read_char(s, '.') &&
               read_digits(s, 4, 4, &p->year);
    skip_ordinal(s);
    (void)read_char(s, '.');
    if (!read_char(s, '-') && skip_space(s) == 0)
        return false;
    p->month = read_month(s);
    if (p->month == 0)
        return false;
    (void)read_char(s, ',');
    if (!read_char(s, '-') && skip_space(s) == 0)
        return false;
    return read_digits(s, 4, 4, &p->year);
}

/* "Nov 6, 1994", "November 6th 1994" */
static bool read_month_first(struct span *s, struct parts *p)
{
    p->month = read_month(s);
    if (p->month == 0 || skip_space(s) == 0 || !read_int(s, 1, 2, &p->day))
        return false;
    skip_ordinal(s);
    (void)read_char(s, ',');
    return skip_space(s) > 0 && read_digits(s, 4, 4, &p->year);
}

static bool parse_known(struct span s, struct parts *p)
{
    typedef bool (*form)(struct span *, struct parts *);
    static const form forms[] = {read_year_first, read_day_first, read_month_first};
    if (read_weekday(&s)) {
        (void)read_char(&s, ',');
        skip_space(&s);
    }
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        struct span rest = s;
        struct parts try = *p;
        if (!forms[i](&rest, &try))
            continue;
        if (!read_char(&rest, 'T') && !read_char(&rest, 't')) {
            (void)read_char(&rest, ',');
            skip_space(&rest);
        }
        if (rest.len > 0 && !read_time(&rest, &try))
            continue;
        skip_space(&rest);
        *p = try;
        return rest.len == 0;
    }
    return false;
}

/* ---- formats ---- */

static bool read_two_digit_year(struct span *s, struct parts *p)
{
    if (!read_digits(s, 2, 2, &p->year))
        return false;
    p->year += p->year < 69 ? 2000 : 1900; /* as POSIX strptime */
    return true;
}

static bool read_directive(char directive, struct span *s, struct parts *p)
{
    switch (directive) {
    case 'Y':
        return read_digits(s, 4, 4, &p->year);
    case 'y':
        return read_two_digit_year(s, p);
    case 'm':
        return read_int(s, 1, 2, &p->month);
    case 'd':
    case 'e':
        return read_int(s, 1, 2, &p->day);
    case 'b':
    case 'B':
        p->month = read_month(s);
        return p->month > 0;
    case 'a':
    case 'A':
        return read_weekday(s);
    case 'H':
        return read_int(s, 1, 2, &p->hour);
    case 'I':
        p->twelve = true;
        return read_int(s, 1, 2, &p->hour);
    case 'M':
        return read_int(s, 1, 2, &p->minute);
    case 'S':
        return read_int(s, 1, 2, &p->second);
    case 'f':
        read_fraction(s, p);
        return true;
    case 'p':
        return read_half(s, p);
    case 'z':
    case 'Z':
        return read_zone(s, p);
    default:
        return directive == '%' && read_char(s, '%');
    }
}

static bool unix_format(const char *format)
{
    return strcmp(format, "unix") == 0 || strcmp(format, "unix_ms") == 0;
}

bool value_format_ok(const char *format, size_t *ret_at)
{
    if (unix_format(format))
        return true;
    for (size_t i = 0; format[i]; i++)
        if (format[i] == '%' && (!format[i + 1] || !strchr("YymdebBaAHIMSfpzZ%", format[++i]))) {
            *ret_at = i;
            return false;
        }
    return true;
}

static bool parse_format(struct span s, const char *format, struct parts *p)
{
    for (; *format; format++) {
        if (value_space(span_str(format)) == 1) {
            skip_space(&s);
        } else if (*format == '%') {
            if (!read_directive(*++format, &s, p))
                return false;
        } else if (!read_char(&s, *format)) {
            return false;
        }
    }
    skip_space(&s);
    return s.len == 0;
}

static bool parse_unix(struct span s, bool ms, bool date_only, int64_t *ret)
{
    bool negative = read_char(&s, '-');
    int64_t v;
    if (!read_digits(&s, 1, 15, &v))
        return false;
    struct parts fraction = {0};
    if (!ms && read_char(&s, '.'))
        read_fraction(&s, &fraction);
    if (s.len > 0 || v > (ms ? INT64_C(253402300799999) : INT64_C(253402300799)))
        return false;
    int64_t us = ms ? v * 1000 : v * US_PER_S + fraction.us;
    us = negative ? -us : us;
    int64_t day_us = 86400 * US_PER_S;
    *ret = date_only ? (us - (us % day_us + day_us) % day_us) / day_us : us;
    return true;
}

bool value_parse_date(struct span text, const char *format, bool date_only, int64_t *ret)
{
    struct parts p = {.year = 1970, .month = 1, .day = 1};
    text = value_strip(text);
    if (text.len == 0 || text.len >= VALUE_NUMBER_BYTES_MAX)
        return false;
    if (format && unix_format(format))
        return parse_unix(text, format[4] != 0, date_only, ret);
    bool ok = format ? parse_format(text, format, &p) : parse_known(text, &p);
    return ok && finish(&p, date_only, ret);
}

void value_date_write(int64_t v, bool date_only, struct buf *out)
{
    int64_t day_us = 86400 * US_PER_S, year;
    int month, day;
    int64_t us = date_only ? 0 : (v % day_us + day_us) % day_us;
    date_of(date_only ? v : (v - us) / day_us, &year, &month, &day);
    buf_printf(out, "\"%04lld-%02d-%02d", (long long)year, month, day);
    if (!date_only) {
        int64_t s = us / US_PER_S;
        buf_printf(out, "T%02d:%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
        if (us % US_PER_S)
            buf_printf(out, ".%06d", (int)(us % US_PER_S));
        buf_byte(out, 'Z');
    }
    buf_byte(out, '"');
}
