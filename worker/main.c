/*
 * main.c: drover-worker: the command line, and which of its three ways to run is meant.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/agent.h"
#include "worker/check.h"
#include "worker/engines.h"
#include "worker/local.h"
#include "worker/local_job.h"
#include "worker/score/score.h"
#include "worker/settings.h"

enum { EXIT_OK = 0, EXIT_ERROR = 1, EXIT_USAGE = 2, EXIT_STOPPED = 130 };

static int complain(const struct error *e)
{
    fprintf(stderr, "drover-worker: %s\n", e->detail[0] ? e->detail : err_text(e->code));
    switch (e->code) {
    case ERR_INVALID_SPEC:
    case ERR_INVALID_ARGUMENT:
    case ERR_CONFIG:
        return EXIT_USAGE;
    default:
        return EXIT_ERROR;
    }
}

/* ---- serving a coordinator ---- */

static int serve(const struct config *c)
{
    struct error e = {0};
    struct settings o;
    int rc = settings_service(c, &o, &e);
    if (rc != ERR_OK)
        return complain(&e);
    const uint64_t files = settings_raise_files();
    if (files < settings_files_needed(&o))
        LOG_WARN("few open files are allowed: raise LimitNOFILE", log_u64("files", files),
                 log_u64("need", settings_files_needed(&o)));
    for (size_t i = 0; i < o.inputs.n_roots; i++)
        if (access(o.inputs.roots[i], R_OK | X_OK) != 0)
            LOG_WARN("a folder of input_roots cannot be read: its files cannot either",
                     log_str("path", o.inputs.roots[i]), log_str("err", strerror(errno)));
    const struct agent_config agent = {
        .coordinator = o.coordinator,
        .key = o.has_key ? &o.key : NULL,
        .server_key = o.has_key ? o.server_key : NULL,
        .id = o.id,
        .host = o.host,
        .kinds = engines_kinds(),
        .loops = o.loops,
        .slots = o.slots,
        .scrape = o.scrape,
        .inputs = {.roots = o.inputs.roots,
                   .n_roots = o.inputs.n_roots,
                   .temporary = o.cache_dir,
                   .download_bytes_max = o.inputs.download_bytes_max},
        .sink_connections = o.sink_connections,
        .result_budget_bytes = o.result_budget_bytes,
        .cache = {.dir = o.cache_dir, .bytes_max = o.cache_bytes_max},
        .drain_ms = o.drain_ms,
    };
    agent_block_signals();
    rc = scrape_init(&e);
    if (rc == ERR_OK) {
        rc = agent_run(&agent, &e);
        scrape_done();
    }
    settings_done(&o);
    return rc == ERR_OK ? EXIT_OK : complain(&e);
}

/* ---- running one job alone ---- */

/* To standard output, or to standard error when rows are there. */
static void print_stats(json_t *stats, const char *output)
{
    FILE *f = output && strcmp(output, "-") == 0 ? stderr : stdout;
    json_dumpf(stats, f, JSON_COMPACT | JSON_REAL_PRECISION(6));
    fputc('\n', f);
    fflush(f);
    json_decref(stats);
}

static bool read_format(const struct config *c, enum local_format *ret)
{
    const char *name = config_flag(c, "format");
    if (!name)
        return true;
    *ret = strcmp(name, "csv") == 0 ? LOCAL_FORMAT_CSV : LOCAL_FORMAT_NDJSON;
    if (strcmp(name, "csv") == 0 || strcmp(name, "ndjson") == 0)
        return true;
    fprintf(stderr, "drover-worker: --format: \"%s\" is none of csv, ndjson\n", name);
    return false;
}

static int explain(const struct pipeline *pipeline)
{
    struct buf text = {0};
    spec_explain(pipeline->spec, &text);
    fwrite(text.data, 1, text.len, stdout);
    buf_done(&text);
    return EXIT_OK;
}

/* What came of a job, for the person who ran it; the status to end with. */
static int tell_end(int rc, enum local_end end, json_t *stats, const char *output,
                    const struct error *e)
{
    if (rc != ERR_OK)
        return complain(e);
    print_stats(stats, output);
    if (end == LOCAL_FAILED) {
        complain(e);
        return EXIT_ERROR;
    }
    return end == LOCAL_STOPPED ? EXIT_STOPPED : EXIT_OK;
}

static int run_job(const struct config *c, const struct settings *o, struct pipeline *pipeline,
                   struct local_files *blobs)
{
    struct error e = {0};
    json_t *stats = NULL;
    enum local_end end = LOCAL_DONE;
    bool busy = false;
    struct local_config local = {
        .pipeline = pipeline,
        .input = config_flag(c, "input"),
        .output = config_flag(c, "output"),
        .rejects = config_flag(c, "rejects"),
        .blobs = blobs,
        .loops = o->loops,
        .download_bytes_max = o->inputs.download_bytes_max,
        .scrape = o->scrape,
        .frontier_max_bytes = o->frontier_max_bytes,
        .sinks = {.options = c,
                  .run_id = config_flag(c, "run-id"),
                  .connections = o->sink_connections,
                  .budget_bytes = o->result_budget_bytes},
    };
    if (config_flag(c, "sql") && !local.output) /* who asks wants to see the answer */
        local.output = "-";
    if (config_flag(c, "sql") && strcmp(local.output, "-") == 0)
        local.format = LOCAL_FORMAT_CSV;
    if (!read_format(c, &local.format))
        return EXIT_USAGE;
    agent_block_signals();
    settings_raise_files();
    int rc = scrape_init(&e);
    if (rc != ERR_OK)
        return complain(&e);
    rc = local_run(&local, &end, &stats, &busy, &e);
    const int status = tell_end(rc, end, stats, local.output, &e);
    if (busy) {
        fflush(stdout);
        _exit(status); /* not through exit handlers, while a thread still writes */
    }
    scrape_done();
    return status;
}

static int run(const struct config *c, const char *const *files, size_t n_files)
{
    struct error e = {0};
    struct settings o;
    struct pipeline *pipeline = NULL;
    const struct local_job job = {.job = config_flag(c, "job"),
                                  .sql = config_flag(c, "sql"),
                                  .files = files,
                                  .n_files = n_files,
                                  .delimiter = config_flag(c, "delimiter")};
    if (job.job ? job.sql || job.delimiter || n_files > 0 : !job.sql || n_files == 0) {
        fprintf(stderr, "drover-worker: run takes either --job FILE, or --sql QUERY and files%s\n",
                job.job ? "" : " (see --help)");
        return EXIT_USAGE;
    }
    if (settings_common(c, &o, &e) != ERR_OK)
        return complain(&e);
    int status;
    struct local_files blobs;
    if (local_files_open(&blobs, config_flag(c, "blobs"), &e) != ERR_OK) {
        settings_done(&o);
        return complain(&e);
    }
    if (local_job_load(&job, &blobs, &pipeline, &e) != ERR_OK) {
        status = complain(&e);
    } else if (config_flag(c, "explain")) {
        status = explain(pipeline);
    } else if (!pipeline->spec->input && !config_flag(c, "input")) {
        fprintf(stderr,
                "drover-worker: nothing to do: the job has no \"input\"; give --input FILE\n");
        status = EXIT_USAGE;
    } else {
        status = run_job(c, &o, pipeline, &blobs);
    }
    pipeline_unref(pipeline);
    local_files_close(&blobs);
    settings_done(&o);
    return status;
}

/* ---- looking at a model ---- */

static int show_model(const char *path)
{
    struct error e = {0};
    struct score_model *m = NULL;
    struct local_files none = {0};
    struct blob_name name;
    struct span file;
    struct buf text = {0};
    const struct spec_files files = local_files_for_spec(&none);
    int rc = local_files_add(&none, path, &name, &e);
    if (rc == ERR_OK)
        rc = files.map(files.user, &name, &file, &e);
    if (rc == ERR_OK) {
        rc = score_load(file, &(struct score_options){0}, &m, &e);
        files.unmap(files.user, file);
        if (rc != ERR_OK) {
            const struct error why = e;
            rc = error_set(&e, why.code, "%s: %s", path, why.detail);
        }
    }
    if (rc == ERR_OK) {
        score_explain(m, &text);
        fwrite(text.data, 1, text.len, stdout);
    }
    buf_done(&text);
    score_unref(m);
    local_files_close(&none);
    return rc == ERR_OK ? EXIT_OK : complain(&e);
}

static int dispatch(const struct config *c)
{
    const char *const *args;
    const size_t n = config_args(c, &args);
    if (config_flag(c, "check"))
        return check_run(c) ? EXIT_OK : EXIT_ERROR;
    if (n == 0)
        return serve(c);
    if (strcmp(args[0], "run") == 0)
        return run(c, args + 1, n - 1);
    if (strcmp(args[0], "model") == 0 && n == 3 && strcmp(args[1], "show") == 0)
        return show_model(args[2]);
    fprintf(stderr, "drover-worker: \"%s\" is not understood (see --help)\n", args[0]);
    return EXIT_USAGE;
}

static int print_help(void)
{
    struct buf help;
    buf_init(&help, 0);
    config_help(&settings_program, &help);
    fwrite(help.data, 1, help.len, stdout);
    buf_done(&help);
    return EXIT_OK;
}

static bool set_up_log(const struct config *c)
{
    enum log_level level;
    const char *name = config_str(c, "log.level"), *format = config_str(c, "log.format");
    if (!log_level_parse(name, &level)) {
        fprintf(stderr,
                "drover-worker: log.level: \"%s\" is none of debug, info, warn, error, off\n",
                name);
        return false;
    }
    log_init(level);
    if (strcmp(format, "text") == 0)
        log_format(LOG_FORMAT_TEXT);
    else if (strcmp(format, "json") == 0)
        log_format(LOG_FORMAT_JSON);
    else if (strcmp(format, "auto") != 0) {
        fprintf(stderr, "drover-worker: log.format: \"%s\" is none of auto, text, json\n", format);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct error e = {0};
    struct config *c = NULL;
    log_init(LOG_LEVEL_INFO);
    if (config_load(&settings_program, argc, argv, &c, &e) != ERR_OK)
        return complain(&e);
    int status;
    if (config_wants_help(c)) {
        status = print_help();
    } else if (config_wants_version(c)) {
        printf("drover-worker %s\n", DROVER_VERSION);
        status = EXIT_OK;
    } else if (!set_up_log(c)) {
        status = EXIT_USAGE;
    } else {
        status = dispatch(c);
    }
    config_free(c);
    return status;
}
