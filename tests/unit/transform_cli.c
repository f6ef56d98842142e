/*
 * transform_cli.c: drives the transform engine from the command line, for the tests of the engine
 * alone and for measuring it.
 *
 * usage: transform_cli (--sql SQL | --stage JSON) [--format csv|ndjson|copy] [--simd NAME] [--explain]
 *                      [--rejects FILE] [--parts N [--seed N]] [--table NAME=FILE] [--functions]
 *                      FILE > out
 *
 * --stage is the whole stage; --sql stands for one that has only SQL. --parts cuts the file into N
 * ranges, runs each by itself, and loads what they saved in an order drawn from --seed. --rejects
 * takes one JSON object for each rejected row. --table gives a lookup table its rows, as often as
 * there are tables. --functions lists the table of functions. The counts go to standard error.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/transform/func.h"
#include "worker/transform/transform.h"
#include "worker/transform/write.h"
#include "worker/transform/write_copy.h"

enum { PARTS_MAX = 4096, TABLES_MAX = 16 };

struct cli {
    const char *sql, *stage, *file;
    enum write_format format;
    bool copy; /* binary COPY instead */
    enum simd simd;
    bool explain;
    size_t parts;
    unsigned seed;
    FILE *rejects;
    const char *tables[TABLES_MAX]; /* NAME=FILE */
    size_t n_tables;
};

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "transform_cli: %s: %s\n", what, detail);
    exit(2);
}

static void check(int rc, const struct error *e)
{
    if (rc)
        die(err_name((enum err)rc), e->detail);
}

static int flush(void *user, const void *p, size_t n, struct error *e)
{
    (void)user;
    for (size_t at = 0; at < n;) {
        ssize_t put = write(STDOUT_FILENO, (const char *)p + at, n - at);
        if (put < 0 && errno != EINTR)
            return error_set(e, ERR_IO, "writing: %s", strerror(errno));
        at += put > 0 ? (size_t)put : 0;
    }
    return ERR_OK;
}

static void on_reject(void *user, const struct run_reject *r)
{
    struct cli *c = user;
    struct buf line = {0};
    if (!c->rejects)
        return;
    buf_printf(&line, "{\"line\":%llu,\"reason\":\"%s\",\"column\":", (unsigned long long)r->line,
               r->reason);
    if (r->column)
        buf_json_str(&line, span_str(r->column));
    else
        buf_str(&line, "null");
    buf_printf(&line, ",\"character\":%u,\"value\":", r->character);
    buf_json_str(&line, r->value.p ? r->value : SPAN(""));
    buf_str(&line, "}\n");
    fwrite(line.data, 1, line.len, c->rejects);
    buf_done(&line);
}

static void list_functions(void)
{
    const struct func *f;
    for (size_t i = 0; (f = func_at(i)); i++) {
        printf("%s\t", f->name);
        for (size_t k = 0; k < f->n_args; k++)
            printf("%s%s", k > 0 ? ", " : "", sqltype_name(f->args[k]));
        printf("\t%s\t%s\t%s\n", sqltype_name(f->result), f->example,
               f->answer ? f->answer : "NULL");
    }
    exit(0);
}

static void arguments(struct cli *c, int argc, char **argv)
{
    *c = (struct cli){.simd = simd_best(), .parts = 1};
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(a, "--explain") == 0) {
            c->explain = true;
        } else if (strcmp(a, "--functions") == 0) {
            list_functions();
        } else if (strncmp(a, "--", 2) != 0) {
            c->file = a;
        } else if (!value) {
            die(a, "a value is wanted");
        } else {
            i++;
            if (strcmp(a, "--sql") == 0)
                c->sql = value;
            else if (strcmp(a, "--stage") == 0)
                c->stage = value;
            else if (strcmp(a, "--format") == 0 && strcmp(value, "copy") == 0)
                c->copy = true;
            else if (strcmp(a, "--format") == 0)
                c->format = strcmp(value, "ndjson") == 0 ? WRITE_NDJSON : WRITE_CSV;
            else if (strcmp(a, "--simd") == 0 && !simd_of_name(value, &c->simd))
                die(value, "not on this processor");
            else if (strcmp(a, "--rejects") == 0 && !(c->rejects = fopen(value, "w")))
                die(value, strerror(errno));
            else if (strcmp(a, "--parts") == 0)
                c->parts = (size_t)strtoul(value, NULL, 10);
            else if (strcmp(a, "--table") == 0 && c->n_tables < TABLES_MAX)
                c->tables[c->n_tables++] = value;
            else if (strcmp(a, "--seed") == 0)
                c->seed = (unsigned)strtoul(value, NULL, 10);
        }
    }
    if ((!c->sql && !c->stage) || !c->file || c->parts < 1 || c->parts > PARTS_MAX)
        die("arguments", "see the comment at the top of transform_cli.c");
}

static json_t *stage_of(const struct cli *c)
{
    json_error_t wrong;
    json_t *stage = c->stage ? json_loads(c->stage, 0, &wrong)
                             : json_pack("{s:s, s:s}", "kind", "transform", "sql", c->sql);
    if (!stage)
        die("--stage", c->stage ? wrong.text : "the SQL is not UTF-8");
    return stage;
}

static void load_table(struct transform *t, const char *name_and_file)
{
    struct error e = {0};
    const char *equals = strchr(name_and_file, '=');
    char name[100];
    snprintf(name, sizeof name, "%.*s", equals ? (int)(equals - name_and_file) : 0, name_and_file);
    int fd = equals ? open(equals + 1, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        die(name_and_file, strerror(errno));
    check(transform_table(t, name, fd, &e), &e);
    close(fd);
}

/* The header of the file first, so that * and unknown columns are known when the SQL is read. */
static struct transform *compile(struct cli *c, int fd, char ***ret_names, size_t *ret_n)
{
    struct error e = {0};
    struct transform *t = NULL;
    json_t *stage = stage_of(c), *probe = json_deep_copy(stage);
    json_object_set_new(probe, "sql", json_string("SELECT 1 FROM input"));
    json_object_del(probe, "columns");
    json_object_del(probe, "tables");
    check(transform_compile(probe, NULL, NULL, 0, &t, &e), &e);
    check(transform_names(t, fd, ret_names, ret_n, &e), &e);
    transform_free(t);
    check(transform_compile(stage, NULL, (const char *const *)*ret_names, *ret_n, &t, &e), &e);
    json_decref(probe);
    json_decref(stage);
    for (size_t i = 0; i < c->n_tables; i++)
        load_table(t, c->tables[i]);
    return t;
}

/* Ranges of about the same size. */
static size_t cut(const struct cli *c, const struct transform *t, int fd,
                  struct transform_range *ranges)
{
    struct stat st;
    struct transform_cut cut;
    struct error e = {0};
    size_t n = 0;
    ranges[n++] = transform_whole_file;
    if (c->parts == 1 || fstat(fd, &st) != 0 || !transform_can_cut(t, fd))
        return n;
    check(transform_cut_init(&cut, t, fd, transform_whole_file.begin, NULL, &e), &e);
    for (size_t i = 1; i < c->parts; i++) {
        struct split_point p;
        check(transform_cut_next(&cut, (uint64_t)st.st_size * i / c->parts, &p, &e), &e);
        if (p.offset <= ranges[n - 1].begin.offset || p.offset >= (uint64_t)st.st_size)
            continue;
        ranges[n - 1].end = p.offset;
        ranges[n++] = (struct transform_range){.begin = p, .end = UINT64_MAX};
    }
    transform_cut_done(&cut);
    return n;
}

/* Each range in a run of its own, and what they saved into `all`, in any order. */
static void run_parts(struct cli *c, const struct transform *t, int fd, const char *const *names,
                      size_t n_names, const struct transform_range *ranges, size_t n,
                      struct transform_run *all)
{
    struct error e = {0};
    struct sink nothing = {0}; /* no row comes there before a run ends */
    struct buf *states = calloc(n, sizeof *states);
    for (size_t i = 0; states && i < n; i++) {
        struct transform_run *part = NULL;
        check(transform_open(t, &nothing, on_reject, c, c->simd, &part, &e), &e);
        check(transform_file(part, fd, &ranges[i], names, n_names, &e), &e);
        check(transform_save(part, &states[i], &e), &e);
        transform_close(part);
    }
    for (size_t left = n; states && left > 0; left--) {
        size_t i = (size_t)rand_r(&c->seed) % left;
        struct buf state = states[i];
        states[i] = states[left - 1];
        check(transform_load(all, buf_span(&state), &e), &e);
        buf_done(&state);
    }
    free(states);
}

static void run(struct cli *c, const struct transform *t, int fd, const char *const *names,
                size_t n_names)
{
    struct error e = {0};
    struct write w;
    struct write_copy copy;
    struct transform_run *all = NULL;
    static struct transform_range ranges[PARTS_MAX];
    const struct plan *p = transform_plan(t);
    const char **shown = calloc(p->n_shown + 1, sizeof *shown);
    for (size_t i = 0; shown && i < p->n_shown; i++)
        shown[i] = p->results[i].name;
    check(write_init(&w, c->format, shown, p->n_shown, ',', '"', flush, NULL, &e), &e);
    w.simd = c->simd;
    check(write_copy_init(&copy, p->n_shown, flush, NULL, &e), &e);
    check(transform_open(t, c->copy ? &copy.sink : &w.sink, on_reject, c, c->simd, &all, &e), &e);
    size_t n = cut(c, t, fd, ranges);
    if (n > 1 && transform_gathers(t))
        run_parts(c, t, fd, names, n_names, ranges, n, all);
    else
        for (size_t i = 0; i < n; i++)
            check(transform_file(all, fd, &ranges[i], names, n_names, &e), &e);
    check(transform_end(all, &e), &e);
    check(c->copy ? write_copy_end(&copy, &e) : write_end(&w, &e), &e);
    struct run_counts counts = transform_counts(all);
    fprintf(stderr,
            "{\"rows\": %llu, \"results\": %llu, \"rejects\": %llu, "
            "\"skipped\": %llu}\n",
            (unsigned long long)counts.rows, (unsigned long long)counts.results,
            (unsigned long long)counts.rejects, (unsigned long long)counts.skipped);
    transform_close(all);
    write_done(&w);
    write_copy_done(&copy);
    free(shown);
}

int main(int argc, char **argv)
{
    struct cli c;
    char **names;
    size_t n_names;
    arguments(&c, argc, argv);
    int fd = open(c.file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die(c.file, strerror(errno));
    struct transform *t = compile(&c, fd, &names, &n_names);
    if (c.explain) {
        struct buf text = {0};
        transform_explain(t, &text);
        fwrite(text.data, 1, text.len, stdout);
        buf_done(&text);
    } else {
        run(&c, t, fd, (const char *const *)names, n_names);
    }
    if (c.rejects)
        fclose(c.rejects);
    free(names);
    transform_free(t);
    close(fd);
    return 0;
}
