/*
 * log.h: one line per state change on standard error: JSON when it is not a terminal, readable text
 * when it is. Each line is one write(2), so that lines of threads do not mix.
 *
 *     LOG_INFO("worker connected", log_str("worker", name), log_u64("slots", slots));
 *
 * Keys used everywhere: ts level msg job task worker sink err. It refuses to log payloads or secrets
 * by having no helper for them; a value is cut at LOG_VALUE_MAX bytes.
 *
 * Thread rule: any thread, after log_init.
 */
#ifndef DROVER_LOG_H
#define DROVER_LOG_H

#include "err.h"

enum { LOG_VALUE_MAX = 1000 };

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_OFF };
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_field {
    const char *key; /* NULL: skipped */
    enum { LOG_TYPE_STR, LOG_TYPE_I64, LOG_TYPE_U64, LOG_TYPE_F64 } type;
    struct span str; /* p == NULL: the field is skipped */
    union {
        int64_t i64;
        uint64_t u64;
        double f64;
    } v;
};

void log_init(enum log_level level);
void log_format(enum log_format format); /* AUTO until called */
/* "debug", "info", "warn", "error" or "off"; false for anything else. */
bool log_level_parse(const char *text, enum log_level *ret);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *msg, const struct log_field *fields, size_t n);

static inline struct log_field log_span(const char *key, struct span v)
{
    return (struct log_field){.key = key, .type = LOG_TYPE_STR, .str = v};
}

static inline struct log_field log_str(const char *key, const char *v)
{
    return log_span(key, span_str(v));
}

static inline struct log_field log_u64(const char *key, uint64_t v)
{
    return (struct log_field){.key = key, .type = LOG_TYPE_U64, .v.u64 = v};
}

static inline struct log_field log_i64(const char *key, int64_t v)
{
    return (struct log_field){.key = key, .type = LOG_TYPE_I64, .v.i64 = v};
}

static inline struct log_field log_f64(const char *key, double v)
{
    return (struct log_field){.key = key, .type = LOG_TYPE_F64, .v.f64 = v};
}

/* key err: the detail of e, or the text of its code when there is none. */
static inline struct log_field log_err(const struct error *e)
{
    return log_str("err", e->detail[0] ? e->detail : err_text(e->code));
}

#define LOG_AT(level, msg, ...)                                                                    \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            const struct log_field log_fields_[] = {{0}, ##__VA_ARGS__};                           \
            log_write(level, msg, log_fields_ + 1, ARRAY_LEN(log_fields_) - 1);                    \
        }                                                                                          \
    } while (0)

#define LOG_DEBUG(msg, ...) LOG_AT(LOG_LEVEL_DEBUG, msg, ##__VA_ARGS__)
#define LOG_INFO(msg, ...) LOG_AT(LOG_LEVEL_INFO, msg, ##__VA_ARGS__)
#define LOG_WARN(msg, ...) LOG_AT(LOG_LEVEL_WARN, msg, ##__VA_ARGS__)
#define LOG_ERROR(msg, ...) LOG_AT(LOG_LEVEL_ERROR, msg, ##__VA_ARGS__)

#endif
