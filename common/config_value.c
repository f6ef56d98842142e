#include "config_value.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit durations[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000},
                                        {"ms", 1},       {"min", 60000}, {"", 1000}};
static const struct unit sizes[] = {{"TiB", INT64_C(1) << 40},
                                    {"GiB", 1 << 30},
                                    {"MiB", 1 << 20},
                                    {"KiB", 1 << 10},
                                    {"", 1},
                                    {"B", 1},
                                    {"k", 1 << 10},
                                    {"K", 1 << 10},
                                    {"M", 1 << 20},
                                    {"G", 1 << 30},
                                    {"T", INT64_C(1) << 40},
                                    {"kB", 1000},
                                    {"KB", 1000},
                                    {"MB", 1000000},
                                    {"GB", 1000000000},
                                    {"TB", INT64_C(1000000000000)}};
enum { UNITS_WRITTEN = 5 }; /* the first of each table, largest first */

static bool parse(const char *text, const struct unit *units, size_t n, int64_t *ret)
{
    char *end;
    /* strtod also takes signs, blanks, hexadecimal and names */
    if (!isdigit((unsigned char)text[0]) || text[strspn(text, "0")] == 'x' ||
        text[strspn(text, "0")] == 'X')
        return false;
    double v = strtod(text, &end);
    if (*end == ' ')
        end++;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(end, units[i].name) == 0) {
            v *= (double)units[i].factor;
            if (!(v >= 0 && v < 9.2e18))
                return false;
            *ret = (int64_t)llround(v);
            return true;
        }
    }
    return false;
}

bool config_value_duration(const char *text, int64_t *ret_ms)
{
    return parse(text, durations, ARRAY_LEN(durations), ret_ms);
}

bool config_value_bytes(const char *text, int64_t *ret)
{
    return parse(text, sizes, ARRAY_LEN(sizes), ret);
}

bool config_value_int(const char *text, int64_t *ret)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end || isspace((unsigned char)*text) || *text == '+')
        return false;
    *ret = v;
    return true;
}

bool config_value_bool(const char *text, int64_t *ret)
{
    static const struct {
        const char *text;
        int64_t value;
    } words[] = {{"true", 1},  {"yes", 1}, {"on", 1},  {"1", 1},
                 {"false", 0}, {"no", 0},  {"off", 0}, {"0", 0}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(text, words[i].text) == 0) {
            *ret = words[i].value;
            return true;
        }
    }
    return false;
}

static const char *write_in(int64_t v, const struct unit *units, char *ret)
{
    size_t i = 0;
    while (i < UNITS_WRITTEN - 1 && (v == 0 || v % units[i].factor))
        i++;
    snprintf(ret, CONFIG_VALUE_TEXT_LEN, "%lld%s", (long long)(v / units[i].factor), units[i].name);
    return ret;
}

const char *config_value_write_duration(int64_t ms, char ret[CONFIG_VALUE_TEXT_LEN])
{
    return write_in(ms, durations, ret);
}

const char *config_value_write_bytes(int64_t v, char ret[CONFIG_VALUE_TEXT_LEN])
{
    return write_in(v, sizes, ret);
}
