#include "ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "admin/value.h"
#include "common/config_value.h"

enum { JOBS_SEARCHED = 1000 };

int ctl_exit_of(enum err code)
{
    switch (code) {
    case ERR_OK:
        return CTL_OK;
    case ERR_INVALID_ARGUMENT:
    case ERR_CONFIG:
        return CTL_USAGE;
    case ERR_NOT_FOUND:
        return CTL_NOT_FOUND;
    case ERR_AUTH:
    case ERR_PROTOCOL_MISMATCH:
        return CTL_AUTH;
    case ERR_UNREACHABLE:
        return CTL_UNREACHABLE;
    case ERR_JOB_FAILED:
        return CTL_JOB_FAILED;
    case ERR_JOB_CANCELLED:
    case ERR_JOB_EXPIRED:
    case ERR_RESULT_EXPIRED:
        return CTL_JOB_CANCELLED;
    case ERR_TIMEOUT:
        return CTL_TIMEOUT;
    default:
        return CTL_ERROR;
    }
}

const char *ctl_flag(const struct ctl *ctl, const char *name)
{
    return config_flag(ctl->config, name);
}

int ctl_flag_ms(const struct ctl *ctl, const char *name, int64_t fallback_ms, int64_t *ret,
                struct error *e)
{
    const char *text = ctl_flag(ctl, name);
    *ret = fallback_ms;
    if (text && !config_value_duration(text, ret))
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "--%s: \"%s\" is not a duration such as 30s or 10m", name, text);
    return ERR_OK;
}

/* ---- calls ---- */

void ctl_args(struct ctl *ctl, size_t n_pairs)
{
    buf_clear(&ctl->args);
    pack_map(&ctl->args, n_pairs);
}

void ctl_arg_str(struct ctl *ctl, const char *key, const char *value)
{
    pack_cstr(&ctl->args, key);
    pack_cstr(&ctl->args, value);
}

void ctl_arg_u64(struct ctl *ctl, const char *key, uint64_t value)
{
    pack_cstr(&ctl->args, key);
    pack_u64(&ctl->args, value);
}

static bool is_number(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n > 0 && n < 20 && !text[n];
}

void ctl_arg_job(struct ctl *ctl, const char *job)
{
    if (is_number(job))
        ctl_arg_u64(ctl, "job", strtoull(job, NULL, 10));
    else
        ctl_arg_str(ctl, "job", job);
}

/* The key files, by flag or configuration. Both or none. */
static int load_keys(const struct ctl *ctl, struct keys_pair *pair, char *server, bool *ret_curve,
                     struct error *e)
{
    const char *key = ctl_flag(ctl, "key"), *server_key = ctl_flag(ctl, "server-key");
    if (!key)
        key = config_str(ctl->config, "key_file");
    if (!server_key)
        server_key = config_str(ctl->config, "server_key_file");
    *ret_curve = key && server_key;
    if (!key && !server_key)
        return ERR_OK;
    if (!*ret_curve)
        return error_set(e, ERR_INVALID_ARGUMENT,
                         "a key file and the coordinator's public key go together; %s is missing",
                         key ? "--server-key" : "--key");
    int rc = keys_load(key, pair, e);
    return rc ? rc : keys_load_public(server_key, server, e);
}

static int connect(struct ctl *ctl, struct error *e)
{
    struct keys_pair pair;
    char server[KEYS_Z85_LEN + 1];
    bool curve;
    int rc = load_keys(ctl, &pair, server, &curve, e);
    if (rc == ERR_OK) {
        struct client_target target = {.url = config_str(ctl->config, "url"),
                                       .key = curve ? &pair : NULL,
                                       .server_key = curve ? server : NULL};
        rc = client_open(&target, ctl->stop, &ctl->client, e);
    }
    explicit_bzero(&pair, sizeof pair);
    return rc;
}

int ctl_call_raw(struct ctl *ctl, const char *verb, uint32_t wait_ms, struct span *ret,
                 struct error *e)
{
    int rc = ctl->client ? ERR_OK : connect(ctl, e);
    if (rc == ERR_OK && !buf_ok(&ctl->args))
        rc = error_set(e, ERR_NOMEM, "the request");
    return rc ? rc : client_call(ctl->client, verb, buf_span(&ctl->args), wait_ms, ret, e);
}

int ctl_call(struct ctl *ctl, const char *verb, uint32_t wait_ms, json_t **ret, struct error *e)
{
    struct span value;
    int rc = ctl_call_raw(ctl, verb, wait_ms, &value, e);
    return rc ? rc : value_to_json(value, ret, e);
}

/* ---- ids ---- */

struct search {
    const char *text;
    const char *found; /* borrowed from the list */
    unsigned n;
    char others[200]; /* for the message */
};

static void consider(struct search *s, const char *candidate, const char *id)
{
    if (!candidate || strncmp(candidate, s->text, strlen(s->text)) != 0)
        return;
    if (s->n && strcmp(s->found, id) == 0)
        return; /* by its id and by its name */
    size_t at = strlen(s->others);
    snprintf(s->others + at, sizeof s->others - at, "%s%s", s->n ? ", " : "", candidate);
    s->found = id;
    s->n++;
}

static int pick(const struct search *s, const char *what, char **ret, struct error *e)
{
    if (s->n == 0)
        return error_set(e, ERR_NOT_FOUND, "there is no %s \"%s\"", what, s->text);
    if (s->n > 1)
        return error_set(e, ERR_INVALID_ARGUMENT, "\"%s\" can be %u %ss: %s", s->text, s->n, what,
                         s->others);
    *ret = strdup(s->found);
    return *ret ? ERR_OK : error_set(e, ERR_NOMEM, "%s", what);
}

static int take_text(const json_t *object, const char *key, char **ret, struct error *e)
{
    const char *text = json_string_value(json_object_get(object, key));
    *ret = text ? strdup(text) : NULL;
    return *ret ? ERR_OK
                : error_set(e, ERR_MALFORMED, "the coordinator's answer has no \"%s\"", key);
}

static int list_jobs(struct ctl *ctl, uint64_t max, json_t **ret, struct error *e)
{
    ctl_args(ctl, 1);
    ctl_arg_u64(ctl, "max", max);
    return ctl_call(ctl, "job.ls", 0, ret, e);
}

int ctl_find_job(struct ctl *ctl, const char *text, char **ret, struct error *e)
{
    CTL_JSON answer = NULL;
    if (strcmp(text, "last") == 0) {
        int rc = list_jobs(ctl, 1, &answer, e);
        const json_t *jobs = json_object_get(answer, "jobs");
        if (rc == ERR_OK && json_array_size(jobs) == 0)
            return error_set(e, ERR_NOT_FOUND, "there are no jobs yet");
        return rc ? rc : take_text(json_array_get(jobs, 0), "job", ret, e);
    }
    ctl_args(ctl, 1);
    ctl_arg_job(ctl, text);
    int rc = ctl_call(ctl, "job.status", 0, &answer, e);
    if (rc == ERR_OK)
        return take_text(answer, "job", ret, e);
    if (rc != ERR_NOT_FOUND)
        return rc;
    CTL_JSON list = NULL;
    rc = list_jobs(ctl, JOBS_SEARCHED, &list, e);
    if (rc)
        return rc;
    struct search s = {.text = text};
    const json_t *jobs = json_object_get(list, "jobs");
    for (size_t i = 0; i < json_array_size(jobs); i++) {
        const json_t *job = json_array_get(jobs, i);
        const char *id = json_string_value(json_object_get(job, "job"));
        consider(&s, id, id);
        consider(&s, json_string_value(json_object_get(job, "name")), id);
    }
    return pick(&s, "job", ret, e);
}

int ctl_find_worker(struct ctl *ctl, const char *text, char **ret, struct error *e)
{
    CTL_JSON answer = NULL;
    struct search s = {.text = text};
    ctl_args(ctl, 0);
    int rc = ctl_call(ctl, "worker.ls", 0, &answer, e);
    if (rc)
        return rc;
    const json_t *workers = json_object_get(answer, "workers");
    for (size_t i = 0; i < json_array_size(workers); i++) {
        const char *id = json_string_value(json_object_get(json_array_get(workers, i), "worker"));
        if (id && strcmp(id, text) == 0) {
            *ret = strdup(id);
            return *ret ? ERR_OK : error_set(e, ERR_NOMEM, "worker");
        }
        consider(&s, id, id);
    }
    return pick(&s, "worker", ret, e);
}

/* ---- questions ---- */

int ctl_confirm(struct ctl *ctl, struct error *e, const char *fmt, ...)
{
    char question[400], answer[16] = "";
    va_list args;
    if (ctl_flag(ctl, "yes"))
        return ERR_OK;
    va_start(args, fmt);
    vsnprintf(question, sizeof question, fmt, args);
    va_end(args);
    ctl->exit_code = CTL_DECLINED;
    if (!isatty(STDIN_FILENO))
        return error_set(e, ERR_WRONG_STATE, "%s Nobody can be asked here: add -y", question);
    fprintf(stderr, "%s [y/N] ", question);
    if (!fgets(answer, sizeof answer, stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
        return error_set(e, ERR_WRONG_STATE, "declined; nothing was changed");
    ctl->exit_code = CTL_OK;
    return ERR_OK;
}
