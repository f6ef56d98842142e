#include "timetext.h"

#include <math.h>
#include <stdio.h>
#include <strings.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void skip_blanks(struct span *s)
{
    while (s->len > 0 && is_blank(s->p[0])) {
        s->p++;
        s->len--;
    }
}

static bool take_char(struct span *s, char c)
{
    if (s->len == 0 || (s->p[0] | 0x20) != (c | 0x20))
        return false;
    s->p++;
    s->len--;
    return true;
}

static bool take_word(struct span *s, const char *word)
{
    size_t n = strlen(word);
    if (s->len < n || strncasecmp(s->p, word, n) != 0)
        return false;
    s->p += n;
    s->len -= n;
    return true;
}

/* At least min digits; as many as there are up to max. */
static bool take_digits(struct span *s, size_t min, size_t max, int64_t *ret)
{
    size_t n = 0;
    int64_t x = 0;
    while (n < max && n < s->len && is_digit(s->p[n]))
        x = x * 10 + (s->p[n++] - '0');
    if (n < min)
        return false;
    s->p += n;
    s->len -= n;
    *ret = x;
    return true;
}

/* .123 as a part of a unit: microseconds of a second, rounded as a double is. */
static void take_fraction(struct span *s, double *ret)
{
    enum { DIGITS_MAX = 17 }; /* what comes behind cannot be seen in a double */
    double x = 0, scale = 1;
    size_t n = 0;
    for (; n < s->len && is_digit(s->p[n]); n++) {
        if (n >= DIGITS_MAX)
            continue;
        x = x * 10 + (s->p[n] - '0');
        scale *= 10;
    }
    s->p += n;
    s->len -= n;
    *ret = x / scale;
}

/* ---- dates and times of the day ---- */

/* YYYY-MM-DD and nothing else: what nearly all files have. */
static inline bool plain_date(struct span s, int64_t *y, int *m, int *d)
{
    static const uint8_t places[] = {0, 1, 2, 3, 5, 6, 8, 9};
    uint32_t odd = (s.p[4] != '-') | (s.p[7] != '-');
    uint8_t digits[8];
    for (size_t i = 0; i < sizeof digits; i++) {
        digits[i] = (uint8_t)(s.p[places[i]] - '0');
        odd |= digits[i] > 9;
    }
    *y = digits[0] * 1000 + digits[1] * 100 + digits[2] * 10 + digits[3];
    *m = digits[4] * 10 + digits[5];
    *d = digits[6] * 10 + digits[7];
    return !odd;
}

static bool take_date(struct span *s, struct calendar *c)
{
    int64_t m = 0, d = 0;
    char between;
    if (s->len >= 10 && plain_date(*s, &c->year, &c->month, &c->day)) {
        s->p += 10;
        s->len -= 10;
        return s->len == 0 || !is_digit(s->p[0]);
    }
    struct span whole = *s;
    if (!take_digits(s, 4, 8, &c->year))
        return false;
    if (whole.p + 8 == s->p) { /* YYYYMMDD */
        d = c->year % 100;
        m = c->year / 100 % 100;
        c->year /= 10000;
    } else {
        between = s->len > 0 ? s->p[0] : '\0';
        if ((between != '-' && between != '/' && between != '.') || !take_char(s, between) ||
            !take_digits(s, 1, 2, &m) || !take_char(s, between) || !take_digits(s, 1, 2, &d))
            return false;
    }
    c->month = (int)m;
    c->day = (int)d;
    return s->len == 0 || !is_digit(s->p[0]);
}

/* HH:MM, HH:MM:SS, HH:MM:SS.ffffff; 24:00 and a 60th second are what comes after them. */
static bool take_time(struct span *s, int64_t *ret_us)
{
    int64_t h, m, sec = 0;
    double fraction = 0;
    if (!take_digits(s, 1, 2, &h) || !take_char(s, ':') || !take_digits(s, 1, 2, &m))
        return false;
    if (take_char(s, ':')) {
        if (!take_digits(s, 1, 2, &sec))
            return false;
        if (take_char(s, '.'))
            take_fraction(s, &fraction);
    }
    int64_t us = (int64_t)rint(fraction * 1e6);
    if (h > 24 || m > 59 || sec > 60 || (h == 24 && (m > 0 || sec > 0 || us > 0)))
        return false;
    *ret_us = (h * 3600 + m * 60 + sec) * CALENDAR_SECOND_US + us;
    return true;
}

/* Z, UTC, GMT, +HH, +HHMM, +HH:MM, +HH:MM:SS; nothing is UTC. */
static bool take_offset(struct span *s, int64_t *ret_us)
{
    enum { HOURS_MAX = 15 };
    int64_t h, m = 0, sec = 0;
    *ret_us = 0;
    skip_blanks(s);
    if (take_word(s, "utc") || take_word(s, "gmt") || take_char(s, 'z'))
        return true;
    if (s->len == 0 || (s->p[0] != '+' && s->p[0] != '-'))
        return true;
    bool west = s->p[0] == '-';
    s->p++;
    s->len--;
    if (!take_digits(s, 1, 2, &h))
        return false;
    bool colon = take_char(s, ':');
    if ((colon || (s->len > 0 && is_digit(s->p[0]))) && !take_digits(s, 2, 2, &m))
        return false;
    if (colon && take_char(s, ':') && !take_digits(s, 2, 2, &sec))
        return false;
    if (h > HOURS_MAX || m > 59 || sec > 59)
        return false;
    *ret_us = (h * 3600 + m * 60 + sec) * CALENDAR_SECOND_US * (west ? -1 : 1);
    return true;
}

/* All that may stand in a text: date, time of the day, offset, BC. */
static enum parse read_all(struct span s, struct calendar *c, int64_t *of_day_us, int64_t *offset)
{
    *of_day_us = *offset = 0;
    skip_blanks(&s);
    if (!take_date(&s, c))
        return PARSE_MALFORMED;
    if (s.len > 0) {
        bool t = take_char(&s, 't');
        skip_blanks(&s);
        if (s.len > 0 && is_digit(s.p[0]) ? !take_time(&s, of_day_us) : t)
            return PARSE_MALFORMED;
        if (!take_offset(&s, offset))
            return PARSE_MALFORMED;
        skip_blanks(&s);
        bool bc = take_word(&s, "bc");
        skip_blanks(&s);
        if (s.len > 0)
            return PARSE_MALFORMED;
        if (bc && c->year > 0)
            c->year = 1 - c->year;
        else if (c->year == 0)
            return PARSE_MALFORMED;
    } else if (c->year == 0) {
        return PARSE_MALFORMED;
    }
    if (c->month < 1 || c->month > 12 || c->day < 1 ||
        c->day > calendar_month_days(c->year, c->month))
        return PARSE_MALFORMED;
    return PARSE_OK;
}

enum parse timetext_date(struct span s, int64_t *ret_days)
{
    struct calendar c = {0};
    int64_t of_day_us, offset;
    enum parse why = read_all(s, &c, &of_day_us, &offset);
    if (why != PARSE_OK)
        return why;
    int64_t days = calendar_days(c.year, c.month, c.day);
    if (!calendar_date_fits(days))
        return PARSE_RANGE;
    *ret_days = days;
    return PARSE_OK;
}

enum parse timetext_time(struct span s, bool zoned, int64_t *ret_us)
{
    struct calendar c = {0};
    int64_t of_day_us, offset, us;
    enum parse why = read_all(s, &c, &of_day_us, &offset);
    if (why != PARSE_OK)
        return why;
    if (!calendar_join(&c, &us) ||
        __builtin_add_overflow(us, of_day_us - (zoned ? offset : 0), &us) ||
        !calendar_time_fits(us))
        return PARSE_RANGE;
    *ret_us = us;
    return PARSE_OK;
}

/* ---- intervals ---- */

enum unit { UNIT_US, UNIT_DAYS, UNIT_MONTHS };

static const struct unit_name {
    const char *names; /* separated by blanks */
    enum unit unit;
    int64_t factor;
} unit_names[] = {
    {"us usec usecs microsecond microseconds", UNIT_US, 1},
    {"ms msec msecs millisecond milliseconds", UNIT_US, 1000},
    {"s sec secs second seconds", UNIT_US, CALENDAR_SECOND_US},
    {"m min mins minute minutes", UNIT_US, CALENDAR_MINUTE_US},
    {"h hr hrs hour hours", UNIT_US, CALENDAR_HOUR_US},
    {"d day days", UNIT_DAYS, 1},
    {"w week weeks", UNIT_DAYS, 7},
    {"mon mons month months", UNIT_MONTHS, 1},
    {"y yr yrs year years", UNIT_MONTHS, 12},
    {"decade decades decs", UNIT_MONTHS, 120},
    {"c cent century centuries", UNIT_MONTHS, 1200},
};

static const struct unit_name *take_unit(struct span *s)
{
    size_t n = 0;
    while (n < s->len && ((s->p[n] | 0x20) >= 'a' && (s->p[n] | 0x20) <= 'z'))
        n++;
    for (size_t i = 0; i < ARRAY_LEN(unit_names) && n > 0; i++) {
        for (const char *name = unit_names[i].names; *name; name += strspn(name, " ")) {
            size_t len = strcspn(name, " ");
            if (len == n && strncasecmp(name, s->p, n) == 0) {
                s->p += n;
                s->len -= n;
                return &unit_names[i];
            }
            name += len;
        }
    }
    return NULL;
}

static bool fits_i32(int64_t x)
{
    return x >= INT32_MIN && x <= INT32_MAX;
}

static enum parse add(struct interval *to, int64_t months, int64_t days, int64_t us)
{
    months += to->months;
    days += to->days;
    if (!fits_i32(months) || !fits_i32(days) || __builtin_add_overflow(to->us, us, &to->us))
        return PARSE_RANGE;
    to->months = (int32_t)months;
    to->days = (int32_t)days;
    return PARSE_OK;
}

/* x and fraction of the unit; a part of a day is hours, a part of a month is refused. */
static enum parse add_unit(struct interval *to, const struct unit_name *u, int64_t x,
                           double fraction, int64_t sign)
{
    double rest, whole = 0;
    int64_t n;
    if (__builtin_mul_overflow(x * sign, u->factor, &n))
        return PARSE_RANGE;
    rest = fraction * (double)u->factor;
    switch (u->unit) {
    case UNIT_US:
        return add(to, 0, 0, n + sign * (int64_t)rint(rest));
    case UNIT_DAYS:
        rest = modf(rest, &whole);
        if (!fits_i32(n))
            return PARSE_RANGE;
        return add(to, 0, n + sign * (int64_t)whole,
                   sign * (int64_t)rint(rest * (double)CALENDAR_DAY_US));
    case UNIT_MONTHS:
        break;
    }
    if (fraction != 0)
        return PARSE_MALFORMED;
    return fits_i32(n) ? add(to, n, 0, 0) : PARSE_RANGE;
}

/* One part: a number with its unit, or a time of any number of hours. */
static enum parse take_part(struct span *s, struct interval *to)
{
    enum { NUMBER_DIGITS = 15 };
    double fraction = 0;
    int64_t x = 0, minutes, seconds = 0;
    int64_t sign = take_char(s, '-') ? -1 : 1;
    if (sign > 0)
        (void)take_char(s, '+');
    if (!take_digits(s, 1, NUMBER_DIGITS, &x) || (s->len > 0 && is_digit(s->p[0])))
        return PARSE_MALFORMED;
    if (take_char(s, ':')) {
        if (!take_digits(s, 2, 2, &minutes))
            return PARSE_MALFORMED;
        if (take_char(s, ':')) {
            if (!take_digits(s, 2, 2, &seconds))
                return PARSE_MALFORMED;
            if (take_char(s, '.'))
                take_fraction(s, &fraction);
        }
        if (minutes > 59 || seconds > 59)
            return PARSE_MALFORMED;
        int64_t us = minutes * CALENDAR_MINUTE_US + seconds * CALENDAR_SECOND_US +
                     (int64_t)rint(fraction * 1e6);
        int64_t hours_us;
        if (__builtin_mul_overflow(x, CALENDAR_HOUR_US, &hours_us) ||
            __builtin_add_overflow(us, hours_us, &us))
            return PARSE_RANGE;
        return add(to, 0, 0, sign * us);
    }
    if (take_char(s, '.'))
        take_fraction(s, &fraction);
    skip_blanks(s);
    const struct unit_name *u = take_unit(s);
    return u ? add_unit(to, u, x, fraction, sign) : PARSE_MALFORMED;
}

enum parse timetext_interval(struct span s, struct interval *ret)
{
    struct interval i = {0};
    bool any = false;
    skip_blanks(&s);
    while (s.len > 0) {
        if (any && take_word(&s, "ago")) {
            if (i.us == INT64_MIN || i.days == INT32_MIN || i.months == INT32_MIN)
                return PARSE_RANGE;
            i = (struct interval){-i.us, -i.days, -i.months};
            skip_blanks(&s);
            break;
        }
        enum parse why = take_part(&s, &i);
        if (why != PARSE_OK)
            return why;
        any = true;
        skip_blanks(&s);
    }
    if (!any || s.len > 0)
        return PARSE_MALFORMED;
    *ret = i;
    return PARSE_OK;
}

/* ---- to text ---- */

/* At least so many digits. */
static char *put_digits(char *to, int64_t x, int min)
{
    char digits[24];
    int n = 0;
    for (; x > 0 || n < min; x /= 10)
        digits[n++] = (char)('0' + x % 10);
    while (n > 0)
        *to++ = digits[--n];
    return to;
}

static char *put_date(const struct calendar *c, char *to)
{
    to = put_digits(to, c->year > 0 ? c->year : 1 - c->year, 4);
    *to++ = '-';
    to = put_digits(to, c->month, 2);
    *to++ = '-';
    return put_digits(to, c->day, 2);
}

/* .5 and not .500000. */
static char *put_fraction(char *to, int us)
{
    if (us == 0)
        return to;
    *to++ = '.';
    to = put_digits(to, us, 6);
    while (to[-1] == '0')
        to--;
    return to;
}

static char *put_of_day(const struct calendar *c, char *to)
{
    to = put_digits(to, c->hour, 2);
    *to++ = ':';
    to = put_digits(to, c->minute, 2);
    *to++ = ':';
    return put_fraction(put_digits(to, c->second, 2), c->us);
}

static char *put_era(const struct calendar *c, char *to)
{
    if (c->year > 0)
        return to;
    memcpy(to, " BC", 3);
    return to + 3;
}

size_t timetext_put_date(int64_t days, char to[TIMETEXT_ROOM])
{
    struct calendar c;
    calendar_date(days, &c);
    return (size_t)(put_era(&c, put_date(&c, to)) - to);
}

size_t timetext_put_time(int64_t us, bool zoned, char to[TIMETEXT_ROOM])
{
    struct calendar c;
    calendar_of(us, &c);
    char *end = put_date(&c, to);
    *end++ = ' ';
    end = put_of_day(&c, end);
    if (zoned) {
        memcpy(end, "+00", 3);
        end += 3;
    }
    return (size_t)(put_era(&c, end) - to);
}

size_t timetext_put_rfc3339(int64_t us, char to[TIMETEXT_ROOM])
{
    struct calendar c;
    calendar_of(us, &c);
    char *end = put_date(&c, to);
    *end++ = 'T';
    end = put_of_day(&c, end);
    *end++ = 'Z';
    return (size_t)(put_era(&c, end) - to);
}

/* Years, months and days, each with its sign: PostgreSQL writes + behind something negative. */
static char *put_part(char *to, int64_t x, const char *unit, bool *any, bool *negative)
{
    if (x == 0)
        return to;
    to += sprintf(to, "%s%s%lld %s%s", *any ? " " : "", *negative && x > 0 ? "+" : "", (long long)x,
                  unit, x == 1 ? "" : "s");
    *any = true;
    *negative = x < 0;
    return to;
}

size_t timetext_put_interval(struct interval i, char to[TIMETEXT_ROOM])
{
    bool any = false, negative = false;
    char *end = to;
    end = put_part(end, i.months / 12, "year", &any, &negative);
    end = put_part(end, i.months % 12, "mon", &any, &negative);
    end = put_part(end, i.days, "day", &any, &negative);
    if (any && i.us == 0)
        return (size_t)(end - to);
    uint64_t us = i.us < 0 ? -(uint64_t)i.us : (uint64_t)i.us;
    if (any)
        *end++ = ' ';
    if (i.us < 0)
        *end++ = '-';
    else if (negative)
        *end++ = '+';
    end = put_digits(end, (int64_t)(us / (uint64_t)CALENDAR_HOUR_US), 2);
    *end++ = ':';
    end = put_digits(end, (int64_t)(us / (uint64_t)CALENDAR_MINUTE_US % 60), 2);
    *end++ = ':';
    end = put_digits(end, (int64_t)(us / (uint64_t)CALENDAR_SECOND_US % 60), 2);
    return (size_t)(put_fraction(end, (int)(us % (uint64_t)CALENDAR_SECOND_US)) - to);
}
