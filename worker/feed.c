#include "feed.h"

#include <errno.h>

int feed_open(struct feed *f, const json_t *texts, const char *path, size_t line_max,
              struct error *e)
{
    *f = (struct feed){.texts = texts, .path = path, .line_max = line_max};
    if (!path)
        return ERR_OK;
    f->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    f->line = malloc(line_max);
    if (!f->file)
        return error_set(e, ERR_IO, "cannot read %s: %s", path, strerror(errno));
    if (!f->line)
        return error_set(e, ERR_NOMEM, "no memory for a line");
    return ERR_OK;
}

static void close_file(struct feed *f)
{
    if (f->file && f->file != stdin)
        fclose(f->file);
    f->file = NULL;
}

void feed_close(struct feed *f)
{
    close_file(f);
    free(f->line);
    f->line = NULL;
}

static struct span trimmed(struct span s)
{
    static const char blank[] = " \t\r\n";
    while (s.len > 0 && strchr(blank, s.p[0])) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 && strchr(blank, s.p[s.len - 1]))
        s.len--;
    return s;
}

/* One line without its end; false at the end of the file. */
static int read_line(struct feed *f, bool *ret_line, struct span *ret, struct error *e)
{
    size_t n = 0;
    int c;
    while ((c = getc(f->file)) != EOF && c != '\n') {
        if (n == f->line_max)
            return error_set(e, ERR_LIMIT, "%s, line %llu: longer than %zu bytes", f->path,
                             (unsigned long long)f->n_lines + 1, f->line_max);
        f->line[n++] = (char)c;
    }
    if (c == EOF && ferror(f->file))
        return error_set(e, ERR_IO, "cannot read %s: %s", f->path, strerror(errno));
    f->n_lines++;
    *ret_line = c != EOF || n > 0;
    *ret = (struct span){f->line, n};
    return ERR_OK;
}

int feed_next(struct feed *f, struct span *ret, struct error *e)
{
    *ret = (struct span){0};
    if (f->texts && f->next < json_array_size(f->texts)) {
        const json_t *text = json_array_get(f->texts, f->next++);
        *ret = (struct span){json_string_value(text), json_string_length(text)};
        return ERR_OK;
    }
    while (f->file) {
        struct span line;
        bool more = false;
        const int rc = read_line(f, &more, &line, e);
        if (rc != ERR_OK)
            return rc;
        if (!more) {
            close_file(f);
            break;
        }
        line = trimmed(line);
        if (line.len > 0 && line.p[0] != '#') {
            *ret = line;
            break;
        }
    }
    return ERR_OK;
}
