#include "timeformat.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

enum field {
    F_LITERAL,
    F_SEPARATOR, /* one character that is no letter and no digit */
    F_YEAR,      /* with the number of digits */
    F_ISO_YEAR,
    F_MONTH,
    F_MONTH_NAME,
    F_MONTH_SHORT,
    F_DAY,
    F_DAY_NAME,
    F_DAY_SHORT,
    F_DAY_OF_YEAR,
    F_WEEKDAY,
    F_ISO_WEEKDAY,
    F_ISO_WEEK,
    F_WEEK_OF_YEAR,
    F_WEEK_OF_MONTH,
    F_QUARTER,
    F_CENTURY,
    F_HOUR,
    F_HOUR12,
    F_MINUTE,
    F_SECOND,
    F_MS,
    F_US,
    F_OF_DAY, /* seconds since midnight */
    F_HALF,   /* AM, PM */
    F_ZONE,
    F_OFFSET,
    F_N
};

enum letters { LETTERS_UPPER, LETTERS_FIRST, LETTERS_LOWER };

struct item {
    enum field field;
    uint8_t digits;
    bool fill; /* FM: no zeros and blanks */
    bool dots; /* a.m. */
    enum letters letters;
    struct span text; /* LITERAL, SEPARATOR */
};

struct timeformat {
    size_t n;
    struct item items[];
};

/* Longer ones first. Each stands there in capitals, and is meant in small letters too; names of
 * months and days have a third way. */
static const struct pattern {
    const char *text;
    enum field field;
    uint8_t digits;
    bool reads;
} patterns[] = {
    {"YYYY", F_YEAR, 4, true},        {"YYY", F_YEAR, 3, true},
    {"YY", F_YEAR, 2, true},          {"Y", F_YEAR, 1, true},
    {"IYYY", F_ISO_YEAR, 4, false},   {"IW", F_ISO_WEEK, 2, false},
    {"ID", F_ISO_WEEKDAY, 1, false},  {"MONTH", F_MONTH_NAME, 0, true},
    {"MON", F_MONTH_SHORT, 0, true},  {"MM", F_MONTH, 2, true},
    {"MI", F_MINUTE, 2, true},        {"MS", F_MS, 3, true},
    {"DAY", F_DAY_NAME, 0, true},     {"DY", F_DAY_SHORT, 0, true},
    {"DDD", F_DAY_OF_YEAR, 3, true},  {"DD", F_DAY, 2, true},
    {"D", F_WEEKDAY, 1, false},       {"HH24", F_HOUR, 2, true},
    {"HH12", F_HOUR12, 2, true},      {"HH", F_HOUR12, 2, true},
    {"SSSSS", F_OF_DAY, 5, true},     {"SSSS", F_OF_DAY, 5, true},
    {"SS", F_SECOND, 2, true},        {"US", F_US, 6, true},
    {"AM", F_HALF, 0, true},          {"PM", F_HALF, 0, true},
    {"A.M.", F_HALF, 0, true},        {"P.M.", F_HALF, 0, true},
    {"WW", F_WEEK_OF_YEAR, 2, false}, {"W", F_WEEK_OF_MONTH, 1, false},
    {"Q", F_QUARTER, 1, false},       {"CC", F_CENTURY, 2, false},
    {"TZ", F_ZONE, 0, false},         {"OF", F_OFFSET, 0, false},
};

static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};
static const char *const weekdays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};

enum { NAME_MAX_BYTES = 9 }; /* September, Wednesday */

/* ---- understanding ---- */

static bool is_letter(char c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool is_name(enum field f)
{
    return f == F_MONTH_NAME || f == F_MONTH_SHORT || f == F_DAY_NAME || f == F_DAY_SHORT;
}

/* How the pattern is written at s: false when it is not there. */
static bool pattern_at(const struct pattern *p, struct span s, enum letters *ret)
{
    size_t n = strlen(p->text);
    bool upper = true, lower = true, first = is_name(p->field);
    if (s.len < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char small = (char)tolower((unsigned char)p->text[i]);
        upper &= s.p[i] == p->text[i];
        lower &= s.p[i] == small;
        first &= s.p[i] == (i == 0 ? p->text[i] : small);
    }
    *ret = upper ? LETTERS_UPPER : lower ? LETTERS_LOWER : LETTERS_FIRST;
    return upper || lower || first;
}

static bool refuse(char why[FUNC_WHY_LEN], const char *what, struct span s, size_t n)
{
    snprintf(why, FUNC_WHY_LEN, "the pattern %.*s %s", (int)MIN(n, s.len), s.p, what);
    return false;
}

/* Text between quotes, or one other character. Returns the bytes that it took. */
static size_t take_literal(struct arena *a, struct span s, struct item *item)
{
    size_t n = 0, at = 0;
    bool quoted = s.p[0] == '"';
    char *copy = arena_alloc(a, s.len + 1);
    if (!copy)
        return 0;
    if (!quoted) {
        do
            copy[n++] = s.p[at++];
        while (at < s.len && ((uint8_t)s.p[at] & 0xc0) == 0x80);
    }
    for (at += quoted; quoted && at < s.len && s.p[at] != '"'; at++) {
        if (s.p[at] == '\\' && at + 1 < s.len)
            at++;
        copy[n++] = s.p[at];
    }
    at += quoted && at < s.len;
    bool separator = !quoted && n == 1 && !is_letter(copy[0]) && !isdigit((uint8_t)copy[0]);
    *item = (struct item){.field = separator ? F_SEPARATOR : F_LITERAL, .text = {copy, n}};
    return at;
}

static bool take_pattern(struct span s, bool reading, struct item *item, size_t *ret_n,
                         char why[FUNC_WHY_LEN])
{
    enum letters letters;
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        const struct pattern *p = &patterns[i];
        size_t n = strlen(p->text);
        if (!pattern_at(p, s, &letters))
            continue;
        if (reading && !p->reads)
            return refuse(why, "is for to_char only", s, n);
        if (s.len > n + 1 && strncasecmp(s.p + n, "th", 2) == 0)
            return refuse(why, "with TH is not supported", s, n);
        bool fill = item->fill;
        *item = (struct item){.field = p->field,
                              .digits = p->digits,
                              .fill = fill,
                              .dots = p->text[1] == '.',
                              .letters = letters};
        *ret_n = n;
        return true;
    }
    size_t n = 0;
    while (n < s.len && is_letter(s.p[n]))
        n++;
    return refuse(why, "is not supported (text stands between \"quotes\")", s, n);
}

/* A time is read from some fields, each of which says it once. */
static bool check_reading(const struct timeformat *f, char why[FUNC_WHY_LEN])
{
    uint8_t seen[F_N] = {0};
    for (size_t i = 0; i < f->n; i++) {
        enum field field = f->items[i].field;
        if (field == F_MONTH_NAME || field == F_MONTH_SHORT)
            field = F_MONTH;
        if (field == F_HOUR12)
            field = F_HOUR;
        if (field >= F_YEAR && ++seen[field] > 1) {
            snprintf(why, FUNC_WHY_LEN, "the format has the same field twice");
            return false;
        }
    }
    if (!seen[F_YEAR])
        snprintf(why, FUNC_WHY_LEN, "the format has no year");
    return seen[F_YEAR] > 0;
}

bool timeformat_new(struct arena *a, struct span text, bool reading, struct timeformat **ret,
                    char why[FUNC_WHY_LEN])
{
    struct timeformat *f = arena_zalloc(a, sizeof *f + (text.len + 1) * sizeof f->items[0]);
    if (!f)
        return false;
    bool fill = false;
    for (struct span s = text; s.len > 0;) {
        struct item *item = &f->items[f->n];
        size_t n = 0;
        if (!fill && s.len >= 2 && strncasecmp(s.p, "fm", 2) == 0) {
            fill = true;
            s.p += 2;
            s.len -= 2;
            continue;
        }
        item->fill = fill;
        if (is_letter(s.p[0])) {
            if (!take_pattern(s, reading, item, &n, why))
                return false;
        } else {
            n = take_literal(a, s, item);
        }
        if (n == 0)
            return false;
        fill = false;
        f->n++;
        s.p += n;
        s.len -= n;
    }
    if (reading && !check_reading(f, why))
        return false;
    *ret = f;
    return true;
}

/* ---- writing ---- */

size_t timeformat_bound(const struct timeformat *f)
{
    enum { FIELD_BYTES = 24 };
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++)
        n += FIELD_BYTES + f->items[i].text.len;
    return n;
}

static char *put_number(char *to, const struct item *item, int64_t x, int digits)
{
    return to + sprintf(to, "%0*lld", item->fill ? 0 : digits, (long long)x);
}

static char *put_name(char *to, const struct item *item, const char *name, bool is_short)
{
    size_t n = is_short ? 3 : strlen(name);
    for (size_t i = 0; i < n; i++) {
        bool up = item->letters == LETTERS_UPPER || (item->letters == LETTERS_FIRST && i == 0);
        to[i] = (char)(up ? toupper((uint8_t)name[i]) : tolower((uint8_t)name[i]));
    }
    while (!is_short && !item->fill && n < NAME_MAX_BYTES)
        to[n++] = ' ';
    return to + n;
}

static char *put_half(char *to, const struct item *item, int hour)
{
    const char *text = item->dots ? (hour < 12 ? "A.M." : "P.M.") : (hour < 12 ? "AM" : "PM");
    bool lower = item->letters == LETTERS_LOWER;
    for (; *text; text++)
        *to++ = (char)(lower ? tolower((uint8_t)*text) : *text);
    return to;
}

static char *put_year(char *to, const struct item *item, int64_t year)
{
    static const int64_t last[] = {0, 10, 100, 1000};
    int64_t shown = year > 0 ? year : 1 - year;
    if (item->digits < 4)
        shown %= last[item->digits];
    return put_number(to, item, shown, item->digits);
}

static char *put_days(char *to, const struct item *item, const struct calendar *c, int64_t days)
{
    int64_t year;
    int week = calendar_iso_week(days, &year), weekday = calendar_weekday(days);
    switch (item->field) {
    case F_ISO_YEAR:
        return put_year(to, item, year);
    case F_ISO_WEEK:
        return put_number(to, item, week, 2);
    case F_DAY_NAME:
        return put_name(to, item, weekdays[weekday], false);
    case F_DAY_SHORT:
        return put_name(to, item, weekdays[weekday], true);
    case F_DAY_OF_YEAR:
        return put_number(to, item, calendar_day_of_year(c), 3);
    case F_WEEKDAY:
        return put_number(to, item, weekday + 1, 1);
    case F_ISO_WEEKDAY:
        return put_number(to, item, (weekday + 6) % 7 + 1, 1);
    case F_WEEK_OF_YEAR:
        return put_number(to, item, (calendar_day_of_year(c) - 1) / 7 + 1, 2);
    case F_WEEK_OF_MONTH:
        return put_number(to, item, (c->day - 1) / 7 + 1, 1);
    case F_QUARTER:
        return put_number(to, item, (c->month - 1) / 3 + 1, 1);
    default:
        return c->year > 0 ? put_number(to, item, (c->year + 99) / 100, 2)
                           : put_number(to, item, -((100 - c->year) / 100), 3);
    }
}

static char *put_field(char *to, const struct item *item, const struct calendar *c, int64_t days,
                       bool zoned)
{
    switch (item->field) {
    case F_LITERAL:
    case F_SEPARATOR:
        memcpy(to, item->text.p, item->text.len);
        return to + item->text.len;
    case F_YEAR:
        return put_year(to, item, c->year);
    case F_MONTH:
        return put_number(to, item, c->month, 2);
    case F_MONTH_NAME:
        return put_name(to, item, months[c->month - 1], false);
    case F_MONTH_SHORT:
        return put_name(to, item, months[c->month - 1], true);
    case F_DAY:
        return put_number(to, item, c->day, 2);
    case F_HOUR:
        return put_number(to, item, c->hour, 2);
    case F_HOUR12:
        return put_number(to, item, c->hour % 12 == 0 ? 12 : c->hour % 12, 2);
    case F_MINUTE:
        return put_number(to, item, c->minute, 2);
    case F_SECOND:
        return put_number(to, item, c->second, 2);
    case F_MS:
        return to + sprintf(to, "%03d", c->us / 1000);
    case F_US:
        return to + sprintf(to, "%06d", c->us);
    case F_OF_DAY:
        return to + sprintf(to, "%d", c->hour * 3600 + c->minute * 60 + c->second);
    case F_HALF:
        return put_half(to, item, c->hour);
    case F_ZONE:
        memcpy(to, item->letters == LETTERS_LOWER ? "utc" : "UTC", 3);
        return to + (zoned ? 3 : 0);
    case F_OFFSET:
        memcpy(to, "+00", 3);
        return to + 3;
    default:
        return put_days(to, item, c, days);
    }
}

size_t timeformat_write(const struct timeformat *f, int64_t us, bool zoned, char *to)
{
    struct calendar c;
    char *end = to;
    int64_t days = calendar_floor(us, CALENDAR_DAY_US);
    calendar_of(us, &c);
    for (size_t i = 0; i < f->n; i++)
        end = put_field(end, &f->items[i], &c, days, zoned);
    return (size_t)(end - to);
}

/* ---- reading ---- */

struct parts {
    int64_t of[F_N];
    bool afternoon, has[F_N];
};

static void skip_blanks(struct span *s)
{
    while (s->len > 0 && isspace((uint8_t)s->p[0])) {
        s->p++;
        s->len--;
    }
}

/* Is what comes behind item k no digit? Then the number takes all digits that there are. */
static bool ends_number(const struct timeformat *f, size_t k)
{
    if (k + 1 == f->n)
        return true;
    const struct item *next = &f->items[k + 1];
    if (next->field == F_LITERAL)
        return !(next->text.len == 1 && isdigit((uint8_t)next->text.p[0]));
    return next->field == F_SEPARATOR || next->digits == 0;
}

static bool read_number(struct span *s, size_t digits, bool all, int64_t *ret, size_t *ret_n)
{
    enum { DIGITS_MAX = 9 };
    size_t n = 0;
    int64_t x = 0;
    skip_blanks(s);
    while (n < s->len && n < (all ? (size_t)DIGITS_MAX + 1 : digits) && isdigit((uint8_t)s->p[n]))
        x = x * 10 + (s->p[n++] - '0');
    if (n == 0 || n > DIGITS_MAX || (!all && n < digits))
        return false;
    s->p += n;
    s->len -= n;
    *ret = x;
    *ret_n = n;
    return true;
}

static bool read_name(struct span *s, const char *const *list, size_t n_list, bool is_short,
                      int64_t *ret)
{
    for (size_t i = 0; i < n_list; i++) {
        size_t n = is_short ? 3 : strlen(list[i]);
        if (s->len < n || strncasecmp(s->p, list[i], n) != 0)
            continue;
        s->p += n;
        s->len -= n;
        *ret = (int64_t)i + 1;
        return true;
    }
    return false;
}

static bool read_half(struct span *s, bool dots, bool *ret)
{
    static const char *const halves[2][2] = {{"am", "pm"}, {"a.m.", "p.m."}};
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(halves[dots][i]);
        if (s->len < n || strncasecmp(s->p, halves[dots][i], n) != 0)
            continue;
        s->p += n;
        s->len -= n;
        *ret = i == 1;
        return true;
    }
    return false;
}

/* Years of two digits are those nearest to 2020. */
static int64_t full_year(int64_t year)
{
    if (year < 70)
        return year + 2000;
    if (year < 100)
        return year + 1900;
    return year < 520 ? year + 2000 : year + 1000;
}

static bool read_field(const struct timeformat *f, size_t k, struct span *s, struct parts *p)
{
    static const int64_t fraction[] = {1000000, 100000, 10000, 1000, 100, 10, 1};
    const struct item *item = &f->items[k];
    int64_t x = 0;
    size_t n;
    enum field field = item->field;
    skip_blanks(s);
    if (field == F_MONTH_NAME || field == F_MONTH_SHORT) {
        if (!read_name(s, months, ARRAY_LEN(months), field == F_MONTH_SHORT, &x))
            return false;
        field = F_MONTH;
    } else if (field == F_DAY_NAME || field == F_DAY_SHORT) {
        return read_name(s, weekdays, ARRAY_LEN(weekdays), field == F_DAY_SHORT, &x);
    } else if (field == F_HALF) {
        return read_half(s, item->dots, &p->afternoon);
    } else {
        if (!read_number(s, item->digits, item->fill || ends_number(f, k), &x, &n))
            return false;
        if (field == F_YEAR && item->digits < 4 && n < 4)
            x = full_year(x);
        if (field == F_MS || field == F_US) {
            if (n > item->digits)
                return false;
            x *= fraction[n];
        }
    }
    p->of[field] = x;
    p->has[field] = true;
    return true;
}

static bool join(const struct parts *p, struct calendar *ret)
{
    enum { HALF_HOURS = 12, YEAR_MAX = 294276 };
    struct calendar c = {.year = p->of[F_YEAR], .month = 1, .day = 1};
    int64_t month = p->has[F_MONTH] ? p->of[F_MONTH] : 1;
    int64_t day = p->has[F_DAY] ? p->of[F_DAY] : 1, hour = p->of[F_HOUR];
    if (c.year < 1 || c.year > YEAR_MAX || month < 1 || month > 12 || day < 1 ||
        day > calendar_month_days(c.year, (int)month))
        return false;
    c.month = (int)month;
    c.day = (int)day;
    if (p->has[F_DAY_OF_YEAR] && !(p->has[F_MONTH] && p->has[F_DAY])) {
        int64_t first = calendar_days(c.year, 1, 1), days = first + p->of[F_DAY_OF_YEAR] - 1;
        if (days < first || days >= calendar_days(c.year + 1, 1, 1))
            return false;
        calendar_date(days, &c);
    }
    if (p->has[F_HOUR12]) {
        hour = p->of[F_HOUR12];
        if (hour < 1 || hour > HALF_HOURS)
            return false;
        hour = hour % HALF_HOURS + (p->afternoon ? HALF_HOURS : 0);
    }
    int64_t minute = p->of[F_MINUTE], second = p->of[F_SECOND];
    if (p->has[F_OF_DAY]) {
        hour = p->of[F_OF_DAY] / 3600;
        minute = p->of[F_OF_DAY] / 60 % 60;
        second = p->of[F_OF_DAY] % 60;
    }
    if (hour > 23 || minute > 59 || second > 59)
        return false;
    c.hour = (int)hour;
    c.minute = (int)minute;
    c.second = (int)second;
    c.us = (int)(p->of[F_MS] + p->of[F_US]);
    *ret = c;
    return c.us < CALENDAR_SECOND_US;
}

/* As PostgreSQL's DCH_from_char: one separator of the format takes one of the text or none, text
 * takes as many characters, blanks before a field are skipped, what is left at the end of either
 * does not matter. */
bool timeformat_read(const struct timeformat *f, struct span s, struct calendar *ret)
{
    struct parts p = {0};
    for (size_t k = 0; k < f->n && s.len > 0; k++) {
        const struct item *item = &f->items[k];
        if (item->field == F_SEPARATOR) {
            bool one = !is_letter(s.p[0]) && !isdigit((uint8_t)s.p[0]) && (uint8_t)s.p[0] < 0x80;
            s.p += one;
            s.len -= one;
        } else if (item->field == F_LITERAL) {
            size_t n = MIN(item->text.len, s.len);
            s.p += n;
            s.len -= n;
        } else if (!read_field(f, k, &s, &p)) {
            return false;
        }
    }
    return join(&p, ret);
}
