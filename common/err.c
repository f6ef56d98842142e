#include "err.h"

#include <stdarg.h>
#include <stdio.h>

struct err_row {
    enum err code;
    enum err_class class;
    const char *name, *text;
};

static const struct err_row table[] = {
#define ERR_ROW(name_, number, class_, text_) {ERR_##name_, ERR_CLASS_##class_, #name_, text_},
    ERR_TABLE(ERR_ROW)
#undef ERR_ROW
};

static const struct err_row *row_of(enum err code)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].code == code)
            return &table[i];
    return NULL;
}

const char *err_name(enum err code)
{
    const struct err_row *row = row_of(code);
    return row ? row->name : "UNKNOWN";
}

const char *err_text(enum err code)
{
    const struct err_row *row = row_of(code);
    return row ? row->text : "unknown error";
}

enum err_class err_class(enum err code)
{
    const struct err_row *row = row_of(code);
    return row ? row->class : ERR_CLASS_BUG;
}

int error_set(struct error *e, enum err code, const char *fmt, ...)
{
    if (e) {
        va_list args;
        e->code = code;
        va_start(args, fmt);
        vsnprintf(e->detail, sizeof e->detail, fmt, args);
        va_end(args);
    }
    return (int)code;
}
