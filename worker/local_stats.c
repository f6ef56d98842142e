#include "local_stats.h"

#include <stdio.h>
#include <sys/resource.h>

#include "common/reason.h"

static json_t *fill_rates(const struct local_stats *l)
{
    json_t *counts = tally_json(&l->stats, "fill."), *rates = json_object();
    const char *name;
    json_t *value;
    json_object_foreach(counts, name, value) json_object_set_new(
        rates, name,
        json_real(l->n_rows ? (double)json_integer_value(value) / (double)l->n_rows : 0.0));
    json_decref(counts);
    return rates;
}

/* The most memory that this program had. Not ru_maxrss, which begins with what the process that
 * started it had. */
static double peak_mb(void)
{
    char line[256];
    unsigned long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "VmHWM: %lu kB", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return (double)kib / 1024;
}

uint64_t local_stats_rejects(const struct local_stats *s)
{
    return s->n_rejects + (uint64_t)tally_get(&s->stats, STAT_REJECTS_NOT_LISTED);
}

int local_stats_json(const struct local_stats *s, const char *state, double seconds, json_t **ret,
                     struct error *e)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    const int64_t pages = tally_get(&s->stats, "pages"), bytes = tally_get(&s->stats, "bytes");
    const double cpu_s = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                         (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
    *ret = json_pack(
        "{s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:s?, s:o, s:o}",
        "state", state, "rows", (json_int_t)s->n_rows, "pages", (json_int_t)pages, "bytes",
        (json_int_t)bytes, "seconds", seconds, "pages_per_s",
        seconds > 0 ? (double)pages / seconds : 0.0, "cpu_s", cpu_s, "peak_mb", peak_mb(), "inputs",
        (json_int_t)s->n_inputs, "duplicates", (json_int_t)s->n_duplicates, "beyond_items_max",
        (json_int_t)s->n_beyond, "tasks", (json_int_t)s->n_tasks_done, "failed_tasks",
        (json_int_t)s->n_failed, "retried", (json_int_t)s->n_retries, "rejects",
        (json_int_t)local_stats_rejects(s), "rejects_by_reason", tally_json(&s->reasons, ""),
        "first_reject", s->first_reject[0] ? s->first_reject : NULL, "fill", fill_rates(s), "stats",
        tally_json(&s->stats, ""));
    return *ret ? ERR_OK : error_set(e, ERR_NOMEM, "no memory for the statistics");
}

void local_stats_done(struct local_stats *s)
{
    tally_done(&s->stats);
    tally_done(&s->reasons);
}
