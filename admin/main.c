/*
 * main.c: the command line `drover`: one table of verbs, from which dispatch, checks of arguments and
 * help come. What a verb does is in the file of its noun.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "admin/verbs.h"
#include "common/log.h"
#include "common/suggest.h"
#include "common/wire.h"

enum { FLAGS_MAX = 6, COMMAND_LEN = 80 };

struct verb {
    const char *noun, *verb; /* verb NULL: the noun is the whole command */
    const char *args;        /* for help */
    unsigned min, max;       /* how many */
    verb_fn *run;
    const char *help;
    const char *flags[FLAGS_MAX]; /* of those in extra_flags, beside the global ones */
};

static int version_show(struct ctl *ctl, size_t n, const char *const *args, struct error *e);

static const struct verb verbs[] = {
    {"status", NULL, "", 0, 0, status_show, "the fleet at one glance", {0}},
    {"job",
     "submit",
     "FILE",
     1,
     1,
     submit_run,
     "start the job that FILE (JSON; - for standard input) describes",
     {"input", "name", "idempotency-key", "wait"}},
    {"job",
     "check",
     "FILE",
     1,
     1,
     submit_check,
     "what the job that FILE describes would do, and the columns of its rows; nothing is started",
     {0}},
    {"job", "ls", "", 0, 0, job_ls, "the newest jobs", {"max"}},
    {"job", "show", "JOB", 1, 1, job_show, "one job, with its statistics", {0}},
    {"job",
     "results",
     "JOB",
     1,
     1,
     follow_results,
     "its rows, one JSON object a line",
     {"follow", "rejects", "cursor"}},
    {"job", "wait", "JOB", 1, 1, follow_wait, "until it ends; the exit code says how", {"timeout"}},
    {"job", "cancel", "JOB", 1, 1, job_cancel, "end it; running tasks are stopped", {0}},
    {"job", "retry", "JOB", 1, 1, job_retry, "put its dead letters back", {0}},
    {"job", "pause", "JOB", 1, 1, job_pause, "give none of its tasks to workers", {0}},
    {"job", "resume", "JOB", 1, 1, job_resume, "go on with a paused job", {0}},
    {"job", "rm", "JOB", 1, 1, job_rm, "forget an ended job and its results", {0}},
    {"explain",
     NULL,
     "JOB|TASK",
     0,
     1,
     explain_run,
     "why a job (or a task) does not run",
     {"task"}},
    {"worker", "ls", "", 0, 0, worker_ls, "all workers", {0}},
    {"worker", "show", "WORKER", 1, 1, worker_show, "one worker", {0}},
    {"worker",
     "drain",
     "WORKER",
     1,
     1,
     worker_drain,
     "give it nothing more; it finishes what it has",
     {0}},
    {"worker", "resume", "WORKER", 1, 1, worker_resume, "give it tasks again", {0}},
    {"dead", "ls", "[JOB]", 0, 1, dead_ls, "tasks that used up their attempts", {0}},
    {"dead", "show", "TASK", 1, 1, dead_show, "one of them, with its input and error", {0}},
    {"dead",
     "retry",
     "TASK",
     0,
     1,
     dead_retry,
     "put one back, or with --job all of a job",
     {"job"}},
    {"dead",
     "discard",
     "TASK",
     0,
     1,
     dead_discard,
     "drop one, or with --job all of a job",
     {"job"}},
    {"breaker", "ls", "", 0, 0, breaker_ls, "of all sinks, and of hosts in trouble", {0}},
    {"breaker",
     "trip",
     "DOWNSTREAM",
     1,
     1,
     breaker_trip,
     "call it no more until reset; its tasks are held",
     {0}},
    {"breaker", "pin", "DOWNSTREAM", 1, 1, breaker_pin, "keep it closed, whatever happens", {0}},
    {"breaker", "reset", "DOWNSTREAM", 1, 1, breaker_reset, "closed, and by itself again", {0}},
    {"sink", "ls", "", 0, 0, sink_ls, "where jobs may put rows", {0}},
    {"sink", "check", "[SINK]", 0, 1, sink_check, "whether they (or one) answer", {0}},
    {"sink",
     "init",
     "URL",
     1,
     1,
     sink_init,
     "make the PostgreSQL of URL (an administrator's connection) ready for rows",
     {"for-job", "worker-role", "password-file", "dry-run"}},
    {"model", "ls", "", 0, 0, model_ls, "named models, all versions", {0}},
    {"model",
     "show",
     "NAME[@VERSION]",
     1,
     1,
     model_show,
     "one of them, with its graph and measured kernels",
     {0}},
    {"model",
     "add",
     "NAME[@VERSION] FILE",
     2,
     2,
     model_add,
     "give the model (ONNX) in FILE a name; by default the next version",
     {"sample", "tolerance", "columns"}},
    {"model", "rm", "NAME[@VERSION]", 1, 1, model_rm, "forget it, or all of its versions", {0}},
    {"key", "gen", "FILE", 1, 1, key_gen, "make a key pair: FILE (secret) and FILE.pub", {0}},
    {"key",
     "authorize",
     "ROLE NAME KEY",
     3,
     3,
     key_authorize,
     "let a key in as worker, client or admin; KEY is the public key or a .pub file",
     {"file"}},
    {"key",
     "revoke",
     "NAME",
     1,
     1,
     key_revoke,
     "let the keys of that name (or a public key) in no more",
     {"file"}},
    {"key", "ls", "", 0, 0, key_ls, "who may connect", {"file"}},
    {"server", "info", "", 0, 0, server_info, "version, epoch, and who you are to it", {0}},
    {"server",
     "check",
     "",
     0,
     0,
     server_check,
     "whether everything is there that a job needs",
     {0}},
    {"config",
     "show",
     "",
     0,
     0,
     server_config,
     "this program's options, or with --server the coordinator's",
     {"origin", "server"}},
    {"version", NULL, "", 0, 0, version_show, "of this program", {0}},
};

static const struct {
    const char *name, *text;
} flag_help[] = {
    {"input", "--input FILE            more input, one a line (- for standard input)"},
    {"name", "--name NAME             the job's name; submitting it again goes on with it"},
    {"idempotency-key", "--idempotency-key TEXT  the same key never makes a second job"},
    {"wait", "--wait                  wait for its end, as `job wait` does"},
    {"max", "--max N                 how many (50)"},
    {"follow", "--follow                until the job has ended"},
    {"rejects", "--rejects               the inputs that were rejected, in place of the rows"},
    {"cursor", "--cursor N              go on after a cursor that was printed"},
    {"timeout", "--timeout DURATION      wait no longer; exit code 124"},
    {"task", "--task TASK             the id of a task, in place of a job"},
    {"job", "--job JOB               all of this job; asks first"},
    {"file", "--file FILE             in this list on this machine, not by the coordinator"},
    {"origin", "--origin                where each value comes from"},
    {"server", "--server                of the coordinator"},
    {"for-job", "--for-job FILE          make the tables of that job too, from its columns"},
    {"worker-role", "--worker-role ROLE      as which workers connect (drover_worker)"},
    {"password-file", "--password-file FILE    gives the role that password"},
    {"sample",
     "--sample FILE           rows that must come out as FILE says (export_check in Python)"},
    {"tolerance", "--tolerance X           by how much they may differ (1e-5)"},
    {"columns", "--columns A,B,...       names of the columns of a model that takes one matrix"},
    {"dry-run", "--dry-run               print the SQL and do nothing"},
};

static const char *const global_flags[] = {"output", "json", "yes", "key", "server-key"};

static const char *const extra_flags[] = {
    "output=|o",    "json",           "yes|y",   "key=",
    "server-key=",  "input=",         "name=",   "idempotency-key=",
    "wait",         "max=",           "follow",  "rejects",
    "cursor=",      "timeout=",       "job=",    "file=",
    "origin",       "server",         "task=",   "for-job=",
    "worker-role=", "password-file=", "dry-run", "sample=",
    "tolerance=",   "columns=",       NULL};

static const struct config_option options[] = {
    {"url", CONFIG_STR, "tcp://127.0.0.1:7700", 0, 0, "Address of the coordinator's front."},
    {"key_file", CONFIG_SECRET_FILE, NULL, 0, 0,
     "Your secret key (drover key gen); --key is short for it."},
    {"server_key_file", CONFIG_STR, NULL, 0, 0,
     "The coordinator's public key: a .pub file or the key itself; --server-key is short for it."},
};

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    stop_signal = number;
}

/* ---- help ---- */

/* With its arguments; returns ret. */
static const char *write_command(const struct verb *v, char ret[COMMAND_LEN])
{
    snprintf(ret, COMMAND_LEN, "%s%s%s%s%s", v->noun, v->verb ? " " : "", v->verb ? v->verb : "",
             v->args[0] ? " " : "", v->args);
    return ret;
}

static void write_flags(struct buf *out, const struct verb *v)
{
    for (size_t i = 0; i < FLAGS_MAX && v->flags[i]; i++)
        for (size_t j = 0; j < ARRAY_LEN(flag_help); j++)
            if (strcmp(flag_help[j].name, v->flags[i]) == 0)
                buf_printf(out, "      %s\n", flag_help[j].text);
}

/* Of one noun with its flags, or of everything. */
static void print_help(const struct config_program *program, const char *noun)
{
    struct buf out;
    char command[COMMAND_LEN];
    buf_init(&out, 0);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (noun && strcmp(noun, verbs[i].noun) != 0)
            continue;
        if (out.len == 0)
            buf_printf(&out, "Usage: drover COMMAND [OPTION]...\n\nCommands:\n");
        buf_printf(&out, "  %-28s %s\n", write_command(&verbs[i], command), verbs[i].help);
        if (noun)
            write_flags(&out, &verbs[i]);
    }
    buf_str(&out,
            "\nA JOB is an id, a name, the beginning of one, or \"last\". A DOWNSTREAM is a sink's "
            "name or host:https://example.org.\n\n");
    if (noun)
        buf_str(&out, "See also: drover --help\n");
    else
        config_help(program, &out);
    print_text(buf_span(&out));
    buf_done(&out);
}

static int version_show(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    (void)n;
    (void)args;
    (void)e;
    if (ctl && (ctl->format == PRINT_JSON || ctl->format == PRINT_JSONL)) {
        CTL_JSON v = json_pack("{s:s, s:i}", "version", DROVER_VERSION, "protocol", WIRE_VERSION);
        print_json(v, ctl->format == PRINT_JSONL);
    } else {
        printf("drover %s, protocol %d\n", DROVER_VERSION, WIRE_VERSION);
    }
    return ERR_OK;
}

/* ---- finding the verb ---- */

static int unknown_noun(const char *noun, struct error *e)
{
    const char *nouns[ARRAY_LEN(verbs)];
    char hint[SUGGEST_TEXT_LEN];
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        nouns[i] = verbs[i].noun;
    return error_set(e, ERR_INVALID_ARGUMENT, "there is no command \"%.60s\"%s; see drover --help",
                     noun, suggest_text(noun, nouns, ARRAY_LEN(nouns), hint));
}

static int unknown_verb(const char *noun, const char *verb, struct error *e)
{
    const char *names[ARRAY_LEN(verbs)];
    char hint[SUGGEST_TEXT_LEN], all[200] = "";
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (strcmp(verbs[i].noun, noun) != 0)
            continue;
        size_t at = strlen(all);
        snprintf(all + at, sizeof all - at, "%s%s", n ? ", " : "", verbs[i].verb);
        names[n++] = verbs[i].verb;
    }
    if (!verb)
        return error_set(e, ERR_INVALID_ARGUMENT, "%s what? One of: %s", noun, all);
    return error_set(e, ERR_INVALID_ARGUMENT, "there is no \"%s %.60s\"%s; there is: %s", noun,
                     verb, suggest_text(verb, names, n, hint), all);
}

/* *ret_words: how many words name it. */
static int find_verb(const char *const *args, size_t n, const struct verb **ret, size_t *ret_words,
                     struct error *e)
{
    bool noun_known = false;
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        const struct verb *v = &verbs[i];
        if (strcmp(v->noun, args[0]) != 0)
            continue;
        noun_known = true;
        if (!v->verb || (n > 1 && strcmp(v->verb, args[1]) == 0)) {
            *ret = v;
            *ret_words = v->verb ? 2 : 1;
            return ERR_OK;
        }
    }
    return noun_known ? unknown_verb(args[0], n > 1 ? args[1] : NULL, e) : unknown_noun(args[0], e);
}

static bool in_list(const char *const *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n && list[i]; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

static int check_usage(const struct ctl *ctl, const struct verb *v, const char *const *args,
                       size_t n, struct error *e)
{
    char command[COMMAND_LEN];
    if (n > v->max)
        return error_set(e, ERR_INVALID_ARGUMENT, "\"%.60s\" is too much; usage: drover %s",
                         args[v->max], write_command(v, command));
    if (n < v->min)
        return error_set(e, ERR_INVALID_ARGUMENT, "usage: drover %s", write_command(v, command));
    for (size_t i = 0; extra_flags[i]; i++) {
        char name[40];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(extra_flags[i], "=|"), extra_flags[i]);
        if (!ctl_flag(ctl, name) || in_list(global_flags, ARRAY_LEN(global_flags), name) ||
            in_list(v->flags, FLAGS_MAX, name))
            continue;
        return error_set(e, ERR_INVALID_ARGUMENT, "--%s means nothing to \"%s%s%s\"", name, v->noun,
                         v->verb ? " " : "", v->verb ? v->verb : "");
    }
    return ERR_OK;
}

/* ---- the program ---- */

static int help(const struct config_program *program, const char *noun, struct error *e)
{
    bool known = !noun;
    for (size_t i = 0; i < ARRAY_LEN(verbs) && !known; i++)
        known = strcmp(noun, verbs[i].noun) == 0;
    if (!known)
        return unknown_noun(noun, e);
    print_help(program, noun);
    return ERR_OK;
}

static int fail(int exit_code, const struct error *e)
{
    fflush(stdout);
    fprintf(stderr, "drover: %s\n", e->detail[0] ? e->detail : err_text(e->code));
    return exit_code;
}

static int run(struct ctl *ctl, const char *const *args, size_t n)
{
    struct error e = {0};
    const struct verb *v = NULL;
    size_t words = 0;
    const char *format = ctl_flag(ctl, "json") ? "json" : ctl_flag(ctl, "output");
    int rc = find_verb(args, n, &v, &words, &e);
    if (rc == ERR_OK && format && !print_format_parse(format, &ctl->format))
        rc = error_set(&e, ERR_INVALID_ARGUMENT,
                       "-o is table, wide, json, jsonl or name, not \"%s\"", format);
    if (rc == ERR_OK)
        rc = check_usage(ctl, v, args + words, n - words, &e);
    if (rc)
        return fail(CTL_USAGE, &e);
    rc = v->run(ctl, n - words, args + words, &e);
    if (stop_signal)
        return CTL_INTERRUPTED;
    if (rc)
        return fail(ctl->exit_code ? ctl->exit_code : ctl_exit_of((enum err)rc), &e);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        error_set(&e, ERR_IO, "standard output: %s", strerror(errno));
        return fail(CTL_ERROR, &e);
    }
    return ctl->exit_code;
}

/* ~/.config/drover/client.conf, which the Python client reads too; NULL without a home. */
static const char *config_file(char *room, size_t size)
{
    const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (base && *base)
        snprintf(room, size, "%s/drover/client.conf", base);
    else if (home && *home)
        snprintf(room, size, "%s/.config/drover/client.conf", home);
    else
        return NULL;
    return room;
}

int main(int argc, char **argv)
{
    char path[4096];
    struct config_program program = {
        .name = "drover",
        .usage = "COMMAND [OPTION]...",
        .about = "Looks after a fleet of drover workers.\n\n"
                 "  -o, --output FORMAT   table, wide, json, jsonl or name; --json for -o json\n"
                 "  -y, --yes             do not ask\n"
                 "  --key FILE, --server-key FILE   short for --key-file, --server-key-file",
        .file = config_file(path, sizeof path),
        .options = options,
        .n_options = ARRAY_LEN(options),
        .extra_flags = extra_flags,
    };
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    struct config *config = NULL;
    struct error e = {0};
    const char *const *args;
    log_init(LOG_LEVEL_OFF);
    if (config_load(&program, argc, argv, &config, &e))
        return fail(CTL_USAGE, &e);
    size_t n = config_args(config, &args);
    int code = CTL_OK;
    if (config_wants_version(config) && n) {
        (void)!error_set(&e, ERR_INVALID_ARGUMENT,
                         "--version means nothing behind a command; that of a model is written "
                         "NAME@VERSION");
        code = fail(CTL_USAGE, &e);
    } else if (config_wants_version(config)) {
        (void)!version_show(NULL, 0, NULL, NULL);
    } else if (config_wants_help(config) || n == 0 || strcmp(args[0], "help") == 0) {
        bool after_help = n > 1 && strcmp(args[0], "help") == 0;
        int rc = help(&program,
                      after_help                          ? args[1]
                      : n && strcmp(args[0], "help") != 0 ? args[0]
                                                          : NULL,
                      &e);
        code =
            rc ? fail(CTL_USAGE, &e) : (n == 0 && !config_wants_help(config) ? CTL_USAGE : CTL_OK);
    } else {
        struct ctl ctl = {.config = config, .stop = &stop_signal};
        buf_init(&ctl.args, WIRE_MESSAGE_MAX);
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        code = run(&ctl, args, n);
        client_close(ctl.client);
        buf_done(&ctl.args);
    }
    config_free(config);
    return code;
}
