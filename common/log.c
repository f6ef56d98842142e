#include "log.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "utf8.h"

enum { LINE_MAX_BYTES = 16 * 1024 };

/* The two settings of the process; everything else of drover is free of globals, but a log that had
 * to be passed to every function would be worse. */
static _Atomic int log_level = LOG_LEVEL_INFO;
static _Atomic int log_form = LOG_FORMAT_AUTO;

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};

void log_init(enum log_level level)
{
    log_level = (int)level;
}

void log_format(enum log_format format)
{
    log_form = (int)format;
}

bool log_level_parse(const char *text, enum log_level *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_enabled(enum log_level level)
{
    return (int)level >= log_level && level < LOG_LEVEL_OFF;
}

/* At most LOG_VALUE_MAX bytes, not cut inside a character. */
static struct span cut(struct span s)
{
    if (s.len <= LOG_VALUE_MAX)
        return s;
    s.len = LOG_VALUE_MAX;
    while (s.len > LOG_VALUE_MAX - 4 && ((unsigned char)s.p[s.len] & 0xC0) == 0x80)
        s.len--;
    return s;
}

static void write_number(struct buf *line, const struct log_field *f, bool json)
{
    if (f->type == LOG_TYPE_I64)
        buf_printf(line, "%lld", (long long)f->v.i64);
    else if (f->type == LOG_TYPE_U64)
        buf_printf(line, "%llu", (unsigned long long)f->v.u64);
    else if (json && !isfinite(f->v.f64))
        buf_str(line, "null");
    else
        buf_printf(line, "%.6g", f->v.f64);
}

static void write_json(struct buf *line, enum log_level level, const char *msg, const char *ts,
                       const struct log_field *fields, size_t n)
{
    buf_printf(line, "{\"ts\":\"%s\",\"level\":\"%s\",\"msg\":", ts, level_names[level]);
    buf_json_str(line, cut(span_str(msg)));
    for (size_t i = 0; i < n; i++) {
        const struct log_field *f = &fields[i];
        if (!f->key || (f->type == LOG_TYPE_STR && !f->str.p))
            continue;
        buf_byte(line, ',');
        buf_json_str(line, span_str(f->key));
        buf_byte(line, ':');
        if (f->type == LOG_TYPE_STR)
            buf_json_str(line, cut(f->str));
        else
            write_number(line, f, true);
    }
    buf_str(line, "}\n");
}

/* Without quotes when it is one plain word. */
static bool plain(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 127)
            return false;
    }
    return s.len > 0;
}

static void write_text(struct buf *line, enum log_level level, const char *msg, const char *ts,
                       const struct log_field *fields, size_t n)
{
    buf_printf(line, "%.8s %-5s %s", ts + strlen("2026-11-20T"), level_names[level], msg);
    for (size_t i = 0; i < n; i++) {
        const struct log_field *f = &fields[i];
        if (!f->key || (f->type == LOG_TYPE_STR && !f->str.p))
            continue;
        buf_printf(line, " %s=", f->key);
        if (f->type != LOG_TYPE_STR)
            write_number(line, f, false);
        else if (plain(cut(f->str)))
            buf_append(line, f->str.p, cut(f->str).len);
        else
            buf_json_str(line, cut(f->str)); /* no control character reaches a terminal */
    }
    buf_byte(line, '\n');
}

void log_write(enum log_level level, const char *msg, const struct log_field *fields, size_t n)
{
    char ts[CLOCK_TEXT_LEN];
    struct buf line;
    int form = log_form;
    if (!log_enabled(level))
        return;
    if (form == LOG_FORMAT_AUTO) {
        form = isatty(STDERR_FILENO) ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
        log_form = form;
    }
    clock_rfc3339(clock_wall_ms(), ts);
    buf_init(&line, LINE_MAX_BYTES);
    if (form == LOG_FORMAT_JSON)
        write_json(&line, level, msg, ts, fields, n);
    else
        write_text(&line, level, msg, ts, fields, n);
    if (!buf_ok(&line)) { /* too many fields: the message alone */
        buf_clear(&line);
        buf_printf(&line, "{\"ts\":\"%s\",\"level\":\"%s\",\"msg\":", ts, level_names[level]);
        buf_json_str(&line, cut(span_str(msg)));
        buf_str(&line, "}\n");
    }
    /* nobody to tell when standard error is gone */
    ssize_t written = write(STDERR_FILENO, line.data, line.len);
    (void)written;
    buf_done(&line);
}
