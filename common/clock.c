#include "clock.h"

#include <stdio.h>
#include <time.h>

uint64_t clock_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t clock_ms(void)
{
    return clock_us() / 1000;
}

int64_t clock_wall_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void clock_rfc3339(int64_t unix_ms, char ret[CLOCK_TEXT_LEN])
{
    const int64_t first = INT64_C(-62167219200000); /* 0000-01-01 */
    const int64_t last = INT64_C(253402300799999);  /* 9999-12-31 */
    int64_t ms = unix_ms < first ? first : unix_ms > last ? last : unix_ms;
    int64_t rest = ((ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((ms - rest) / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(ret, CLOCK_TEXT_LEN, "%Y-%m-%dT%H:%M:%S", &tm);
    if (tm.tm_year + 1900 < 1000) /* strftime does not pad the year */
        n = (size_t)snprintf(ret, CLOCK_TEXT_LEN, "%04d", (tm.tm_year + 1900) % 10000) +
            strftime(ret + 4, CLOCK_TEXT_LEN - 4, "-%m-%dT%H:%M:%S", &tm);
    snprintf(ret + n, CLOCK_TEXT_LEN - n, ".%03dZ", (int)(rest % 1000));
}
