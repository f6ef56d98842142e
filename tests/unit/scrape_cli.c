/*
 * scrape_cli.c: drives one scrape loop from the command line, for the tests of the engine alone and
 * for measuring it.
 *
 * usage: scrape_cli --spec STAGE.json [--allow-net CIDR]... [--ca-file PEM] [--proxy URL]
 *                   [--grant N] [--task-urls N] [--connections N] [--memory BYTES] [--repeat N]
 *                   [--quiet] [--control] [URL]...
 *
 * URLs (of the arguments, and with --control of lines "add JOB GRANT URL...") are cut into tasks of
 * one host. Every line of standard output is an object with one member: row, reject, retry, found,
 * task; at the end stats (summed) and usage. With --control it reads commands until the end of
 * standard input: add, "cancel ID", "freeze", "thaw", "stop", "cpu" (prints the CPU time used).
 */
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "worker/output.h"
#include "worker/scrape/scrape.h"

enum { NETS_MAX = 16, STATS_MAX = 4096, WORDS_MAX = 4096 };

struct cli {
    struct scrape_spec *spec;
    struct scrape_loop *loop;
    uint32_t grant;
    size_t task_urls;
    bool quiet;
    uint64_t next_task_id;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    size_t tasks_open;
    struct output_stat stats[STATS_MAX];
    size_t n_stats;
    uint64_t n_rows, n_rejects, n_retries, n_found;
};

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "scrape_cli: %s: %s\n", what, detail);
    exit(2);
}

static void *checked(void *p)
{
    if (!p)
        die("memory", "none left");
    return p;
}

/* ---- output ---- */

static void put_member(struct buf *b, const char *name, const char *value)
{
    buf_printf(b, ", \"%s\": ", name);
    if (value)
        buf_json_str(b, span_str(value));
    else
        buf_str(b, "null");
}

static void put_rows(struct buf *b, const struct batch *rows)
{
    struct buf lines = {0};
    batch_write_ndjson(rows, &lines);
    for (size_t i = 0; i < lines.len;) {
        const uint8_t *end = memchr(lines.data + i, '\n', lines.len - i);
        size_t len = (size_t)(end - (lines.data + i));
        buf_str(b, "{\"row\": ");
        buf_append(b, lines.data + i, len);
        buf_str(b, "}\n");
        i += len + 1;
    }
    buf_done(&lines);
}

static void put_output(struct buf *b, const struct scrape_task *task, const struct output *o)
{
    put_rows(b, o->rows);
    for (size_t i = 0; i < o->n_rejects; i++) {
        buf_printf(b, "{\"reject\": {\"task\": %llu", (unsigned long long)task->id);
        put_member(b, "input", o->rejects[i].input);
        put_member(b, "reason", o->rejects[i].reason);
        put_member(b, "detail", o->rejects[i].detail);
        buf_str(b, "}}\n");
    }
    for (size_t i = 0; i < o->n_retries; i++) {
        buf_printf(b, "{\"retry\": {\"task\": %llu, \"depth\": %u", (unsigned long long)task->id,
                   o->retries[i].depth);
        put_member(b, "input", o->retries[i].input);
        put_member(b, "reason", o->retries[i].reason);
        put_member(b, "detail", o->retries[i].detail);
        buf_str(b, "}}\n");
    }
    for (size_t i = 0; i < o->n_found; i++) {
        buf_printf(b, "{\"found\": {\"depth\": %u", o->found[i].depth);
        put_member(b, "url", o->found[i].url);
        buf_str(b, "}}\n");
    }
    buf_printf(b, "{\"task\": {\"id\": %llu, \"key_delay_ms\": %u, \"key_backoff_ms\": %u",
               (unsigned long long)task->id, o->key_delay_ms, o->key_backoff_ms);
    put_member(b, "error", o->error == ERR_OK ? NULL : err_name((enum err)o->error));
    put_member(b, "reason", o->error == ERR_OK ? NULL : o->error_reason);
    put_member(b, "detail", o->error == ERR_OK ? NULL : o->error_detail);
    buf_str(b, "}}\n");
}

static void add_stat(struct cli *c, const char *name, int64_t value)
{
    for (size_t i = 0; i < c->n_stats; i++) {
        if (strcmp(c->stats[i].name, name) == 0) {
            c->stats[i].value += value;
            return;
        }
    }
    if (c->n_stats < STATS_MAX)
        c->stats[c->n_stats++] =
            (struct output_stat){.name = checked(strdup(name)), .value = value};
}

static void on_done(struct scrape_task *task, struct output *output)
{
    struct cli *c = task->user;
    struct buf text = {0};
    if (!c->quiet)
        put_output(&text, task, output);
    pthread_mutex_lock(&c->lock);
    fwrite(text.data, 1, text.len, stdout);
    fflush(stdout);
    for (size_t i = 0; i < output->n_stats; i++)
        add_stat(c, output->stats[i].name, output->stats[i].value);
    c->n_rows += output->rows->n_rows;
    c->n_rejects += output->n_rejects;
    c->n_retries += output->n_retries;
    c->n_found += output->n_found;
    c->tasks_open--;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    buf_done(&text);
    output_free(output);
    for (size_t i = 0; i < task->n_urls; i++)
        free(task->urls[i].url);
    free(task->urls);
    free(task);
}

static double cpu_s(struct rusage *u)
{
    getrusage(RUSAGE_SELF, u);
    return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
           (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e6;
}

/* ru_maxrss would count the parent's memory at the time of the fork too. */
static long peak_kb(void)
{
    char line[256];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %ld kB", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb;
}

static void put_end(struct cli *c, double seconds)
{
    struct rusage u;
    double cpu = cpu_s(&u);
    printf("{\"stats\": {\"rows\": %llu, \"rejects\": %llu, \"retries_out\": %llu, \"found\": %llu",
           (unsigned long long)c->n_rows, (unsigned long long)c->n_rejects,
           (unsigned long long)c->n_retries, (unsigned long long)c->n_found);
    for (size_t i = 0; i < c->n_stats; i++)
        printf(", \"%s\": %lld", c->stats[i].name, (long long)c->stats[i].value);
    printf("}}\n{\"usage\": {\"seconds\": %.3f, \"cpu_s\": %.3f, \"peak_rss_kb\": %ld}}\n", seconds,
           cpu, peak_kb());
    fflush(stdout);
}

/* ---- tasks ---- */

static struct scrape_task *task_new(struct cli *c, uint64_t job_id, uint32_t grant)
{
    struct scrape_task *task = checked(calloc(1, sizeof *task));
    task->id = ++c->next_task_id;
    task->spec = c->spec;
    task->job_id = job_id;
    task->attempt = 1;
    task->grant = grant;
    task->urls = checked(calloc(c->task_urls, sizeof *task->urls));
    task->user = c;
    task->done = on_done;
    return task;
}

static void submit(struct cli *c, struct scrape_task *task)
{
    if (!task)
        return;
    pthread_mutex_lock(&c->lock);
    c->tasks_open++;
    pthread_mutex_unlock(&c->lock);
    scrape_loop_add(c->loop, task);
}

/* Cuts runs of URLs of one host into tasks. */
static void add_urls(struct cli *c, uint64_t job_id, uint32_t grant, char **urls, size_t n)
{
    struct scrape_task *task = NULL;
    char key[1024] = "";
    for (size_t i = 0; i < n; i++) {
        struct buf canonical = {0};
        size_t key_len;
        struct error e = {0};
        if (scrape_url_canonical(span_str(urls[i]), &canonical, &key_len, &e) != ERR_OK)
            die(urls[i], e.detail);
        char *url = checked(buf_take_str(&canonical));
        bool same = task && strlen(key) == key_len && memcmp(key, url, key_len) == 0;
        if (!same || task->n_urls == c->task_urls) {
            submit(c, task);
            task = task_new(c, job_id, grant);
            snprintf(key, sizeof key, "%.*s", (int)key_len, url);
        }
        task->urls[task->n_urls++] = (struct scrape_url){.url = url};
    }
    submit(c, task);
}

static void command(struct cli *c, char *line)
{
    static char *words[WORDS_MAX];
    size_t n = 0;
    for (char *save, *w = strtok_r(line, " \n", &save); w && n < WORDS_MAX;
         w = strtok_r(NULL, " \n", &save))
        words[n++] = w;
    if (n == 0)
        return;
    struct rusage u;
    if (strcmp(words[0], "add") == 0 && n > 3)
        add_urls(c, strtoull(words[1], NULL, 10), (uint32_t)atoi(words[2]), words + 3, n - 3);
    else if (strcmp(words[0], "cancel") == 0 && n == 2)
        scrape_loop_cancel(c->loop, strtoull(words[1], NULL, 10));
    else if (strcmp(words[0], "freeze") == 0)
        scrape_loop_freeze(c->loop, true);
    else if (strcmp(words[0], "thaw") == 0)
        scrape_loop_freeze(c->loop, false);
    else if (strcmp(words[0], "stop") == 0)
        scrape_loop_stop(c->loop);
    else if (strcmp(words[0], "cpu") == 0)
        printf("{\"cpu\": %.6f}\n", cpu_s(&u));
    else
        die("unknown command", words[0]);
    fflush(stdout);
}

static void *loop_thread(void *user)
{
    scrape_loop_run(user);
    return NULL;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct scrape_spec *read_spec(const char *path)
{
    json_error_t je;
    struct error e = {0};
    struct scrape_spec *spec = NULL;
    json_t *stage = json_load_file(path, 0, &je);
    if (!stage)
        die(path, je.text);
    if (scrape_spec_compile(stage, &spec, &e) != ERR_OK)
        die(path, e.detail);
    json_decref(stage);
    return spec;
}

int main(int argc, char **argv)
{
    struct cli c = {.grant = 4,
                    .task_urls = 64,
                    .lock = PTHREAD_MUTEX_INITIALIZER,
                    .changed = PTHREAD_COND_INITIALIZER};
    const char *nets[NETS_MAX + 1] = {NULL}, *spec = NULL;
    struct scrape_config config = {.allow_nets = nets};
    size_t n_nets = 0;
    unsigned long repeat = 1;
    bool control = false;
    struct error e = {0};
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        const char *o = argv[i] + 2;
        if (strcmp(o, "quiet") == 0) {
            c.quiet = true;
            continue;
        }
        if (strcmp(o, "control") == 0) {
            control = true;
            continue;
        }
        const char *v = i + 1 < argc ? argv[++i] : "";
        if (strcmp(o, "spec") == 0)
            spec = v;
        else if (strcmp(o, "allow-net") == 0 && n_nets < NETS_MAX)
            nets[n_nets++] = v;
        else if (strcmp(o, "ca-file") == 0)
            config.ca_file = v;
        else if (strcmp(o, "proxy") == 0)
            config.proxy = v;
        else if (strcmp(o, "grant") == 0)
            c.grant = (uint32_t)atoi(v);
        else if (strcmp(o, "task-urls") == 0)
            c.task_urls = (size_t)atoi(v);
        else if (strcmp(o, "connections") == 0)
            config.connections_max = (uint32_t)atoi(v);
        else if (strcmp(o, "memory") == 0)
            config.memory_max_bytes = (size_t)atoll(v);
        else if (strcmp(o, "repeat") == 0)
            repeat = strtoul(v, NULL, 10);
        else
            die("unknown option", argv[i]);
    }
    if (!spec)
        die("missing", "--spec");
    if (scrape_init(&e) != ERR_OK || scrape_loop_new(&config, &c.loop, &e) != ERR_OK)
        die("loop", e.detail);
    c.spec = read_spec(spec);
    pthread_t thread;
    double began = now_s();
    if (pthread_create(&thread, NULL, loop_thread, c.loop) != 0)
        die("thread", "cannot be started");
    for (unsigned long k = 0; k < repeat; k++)
        add_urls(&c, 1, c.grant, argv + i, (size_t)(argc - i));
    char *line = NULL;
    size_t cap = 0;
    while (control && getline(&line, &cap, stdin) > 0)
        command(&c, line);
    free(line);
    pthread_mutex_lock(&c.lock);
    while (!control && c.tasks_open > 0)
        pthread_cond_wait(&c.changed, &c.lock);
    pthread_mutex_unlock(&c.lock);
    scrape_loop_stop(c.loop);
    pthread_join(thread, NULL);
    double seconds = now_s() - began;
    scrape_loop_free(c.loop);
    put_end(&c, seconds);
    for (size_t k = 0; k < c.n_stats; k++)
        free((char *)(uintptr_t)c.stats[k].name);
    scrape_spec_free(c.spec);
    scrape_done();
    return 0;
}
