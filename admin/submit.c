/* submit.c: a job from a file: its input in chunks of bounded size, whatever its length; or only a check. */
#include "admin/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "common/spec.h"

/* The same input is always cut into the same chunks: a submit that was broken off goes on where it was
 * by the number of chunks that are there. Changing these breaks that across versions. */
enum { CHUNK_ITEMS = 2000, CHUNK_BYTES = 512 * 1024 };

enum { RETRY_MS = 500, IDEM_BYTES = 16 };

struct submission {
    struct ctl *ctl;
    uint64_t job, chunk, there; /* the chunk being filled; how many the coordinator has */
    struct buf items;           /* packed texts */
    size_t n_items;
    uint64_t total;
    bool waited; /* said so already */
};

/* The file as JSON. "-": standard input. */
static int read_job(const char *path, json_t **ret, struct error *e)
{
    json_error_t why;
    struct stat st;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!file)
        return error_set(e, ERR_INVALID_ARGUMENT, "%s: %s", path, strerror(errno));
    const bool folder = fstat(fileno(file), &st) == 0 && S_ISDIR(st.st_mode);
    json_t *job = folder ? NULL : json_loadf(file, JSON_REJECT_DUPLICATES, &why);
    if (file != stdin)
        fclose(file);
    if (folder)
        return error_set(e, ERR_INVALID_ARGUMENT, "%s: %s", path, strerror(EISDIR));
    if (!job)
        return error_set(e, ERR_INVALID_SPEC, "%s, line %d, column %d: %s", path, MAX(why.line, 0),
                         MAX(why.column, 0), why.text);
    if (!json_is_object(job)) {
        json_decref(job);
        return error_set(e, ERR_INVALID_SPEC, "%s: a job description is a JSON object", path);
    }
    *ret = job;
    return ERR_OK;
}

/* Takes "input" out of the job: an array of texts, or NULL. */
static int take_input(json_t *job, json_t **ret, struct error *e)
{
    const json_t *input = json_object_get(job, "input");
    *ret = NULL;
    if (!input)
        return ERR_OK;
    json_t *items = json_object_get(input, "urls");
    if (!items)
        items = json_object_get(input, "items");
    if (!json_is_array(items) || json_object_size(input) != 1)
        return error_set(e, ERR_INVALID_SPEC,
                         "input: {\"urls\": [...]} or {\"items\": [...]} is wanted here");
    for (size_t i = 0; i < json_array_size(items); i++)
        if (!json_is_string(json_array_get(items, i)))
            return error_set(e, ERR_INVALID_SPEC, "input: element %zu is not a text", i);
    *ret = json_incref(items);
    json_object_del(job, "input");
    return ERR_OK;
}

/* ---- chunks ---- */

static int send_chunk(struct submission *s, struct error *e)
{
    struct ctl *ctl = s->ctl;
    for (;;) {
        CTL_JSON answer = NULL;
        ctl_args(ctl, 3);
        ctl_arg_u64(ctl, "job", s->job);
        ctl_arg_u64(ctl, "chunk", s->chunk);
        pack_cstr(&ctl->args, "items");
        pack_array(&ctl->args, s->n_items);
        buf_append(&ctl->args, s->items.data, s->items.len);
        int rc = ctl_call(ctl, "job.input", 0, &answer, e);
        if (err_class((enum err)rc) != ERR_CLASS_RETRY || rc == ERR_UNREACHABLE || *ctl->stop)
            return rc;
        if (!s->waited)
            fprintf(stderr, "the coordinator takes no more for the moment (%s); waiting\n",
                    e->detail);
        s->waited = true;
        client_pause(ctl->client, MAX(client_retry_after_ms(ctl->client), (uint32_t)RETRY_MS));
    }
}

static int flush(struct submission *s, struct error *e)
{
    int rc = ERR_OK;
    if (s->n_items == 0)
        return ERR_OK;
    if (!buf_ok(&s->items))
        return error_set(e, ERR_NOMEM, "input");
    if (s->chunk >= s->there)
        rc = send_chunk(s, e);
    s->chunk++;
    s->n_items = 0;
    buf_clear(&s->items);
    return rc;
}

static int add(struct submission *s, struct span text, struct error *e)
{
    if (text.len > SPEC_ITEM_MAX)
        return error_set(e, ERR_LIMIT, "input %llu has %zu bytes; the limit is %d",
                         (unsigned long long)s->total + 1, text.len, SPEC_ITEM_MAX);
    pack_str(&s->items, text);
    s->n_items++;
    s->total++;
    return s->n_items >= CHUNK_ITEMS || s->items.len >= CHUNK_BYTES ? flush(s, e) : ERR_OK;
}

/* One input a line; empty lines do not count. */
static int add_lines(struct submission *s, const char *path, struct error *e)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    CTL_TEXT line = NULL;
    size_t room = 0;
    ssize_t n;
    int rc = ERR_OK;
    if (!f)
        return error_set(e, ERR_INVALID_ARGUMENT, "%s: %s", path, strerror(errno));
    while (rc == ERR_OK && (n = getline(&line, &room, f)) >= 0) {
        while (n > 0 && strchr("\r\n \t", line[n - 1]))
            n--;
        if (n > 0)
            rc = add(s, (struct span){line, (size_t)n}, e);
    }
    if (rc == ERR_OK && ferror(f))
        rc = error_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    if (f != stdin)
        fclose(f);
    return rc;
}

static int send_input(struct submission *s, const json_t *items, struct error *e)
{
    const char *path = ctl_flag(s->ctl, "input");
    int rc = ERR_OK;
    buf_init(&s->items, 0);
    for (size_t i = 0; rc == ERR_OK && i < json_array_size(items); i++) {
        const json_t *v = json_array_get(items, i);
        rc = add(s, (struct span){json_string_value(v), json_string_length(v)}, e);
    }
    if (rc == ERR_OK && path)
        rc = add_lines(s, path, e);
    if (rc == ERR_OK)
        rc = flush(s, e);
    buf_done(&s->items);
    return rc;
}

/* ---- the verb ---- */

/* A key of its own, so that sending the request again never makes a second job. */
static int random_key(char out[2 * IDEM_BYTES + 1], struct error *e)
{
    uint8_t bytes[IDEM_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return error_set(e, ERR_INTERNAL, "no randomness: %s", strerror(errno));
    for (size_t i = 0; i < IDEM_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return ERR_OK;
}

enum { LOOK_WAIT_MS = 60000 /* the coordinator looks at the models of a job */ };

/* How long the coordinator may take over the description. */
static uint32_t wait_of(const json_t *job)
{
    const json_t *stages = json_object_get(job, "stages");
    for (size_t i = 0; i < json_array_size(stages); i++) {
        const char *kind = json_string_value(json_object_get(json_array_get(stages, i), "kind"));
        if (kind && strcmp(kind, "score") == 0)
            return LOOK_WAIT_MS;
    }
    return CTL_SINKS_WAIT_MS;
}

static int open_job(struct ctl *ctl, const json_t *job, json_t **ret, struct error *e)
{
    char random[2 * IDEM_BYTES + 1] = "";
    const char *idem = ctl_flag(ctl, "idempotency-key");
    CTL_TEXT text = json_dumps(job, JSON_COMPACT);
    int rc = idem ? ERR_OK : random_key(random, e);
    if (rc)
        return rc;
    if (!text)
        return error_set(e, ERR_NOMEM, "job description");
    ctl_args(ctl, 2);
    ctl_arg_str(ctl, "spec", text);
    ctl_arg_str(ctl, "idem", idem ? idem : random);
    return ctl_call(ctl, "job.submit", wait_of(job), ret, e);
}

static void say(const struct submission *s, const json_t *job, bool existing)
{
    const struct ctl *ctl = s->ctl;
    if (ctl->format == PRINT_NAME) {
        printf("%llu\n", (unsigned long long)s->job);
    } else if (ctl->format == PRINT_JSON || ctl->format == PRINT_JSONL) {
        print_json(job, ctl->format == PRINT_JSONL);
    } else {
        struct buf out;
        buf_init(&out, 0);
        buf_printf(&out, "job %llu", (unsigned long long)s->job);
        if (json_is_string(json_object_get(job, "name"))) {
            buf_str(&out, "  ");
            print_value(&out, json_object_get(job, "name"), PRINT_TEXT);
        }
        buf_str(&out, "  ");
        print_value(&out, json_object_get(job, "items"), PRINT_COUNT);
        buf_str(&out, existing ? " inputs (it was there already)\n" : " inputs\n");
        print_text(buf_span(&out));
        buf_done(&out);
    }
}

static int finish(struct submission *s, bool sealed, bool existing, struct error *e)
{
    struct ctl *ctl = s->ctl;
    char id[32];
    CTL_JSON ignored = NULL;
    CTL_JSON job = NULL;
    int rc = ERR_OK;
    snprintf(id, sizeof id, "%llu", (unsigned long long)s->job);
    if (!sealed) {
        ctl_args(ctl, 1);
        ctl_arg_u64(ctl, "job", s->job);
        rc = ctl_call(ctl, "job.seal", 0, &ignored, e);
    }
    if (rc == ERR_OK) {
        ctl_args(ctl, 1);
        ctl_arg_u64(ctl, "job", s->job);
        rc = ctl_call(ctl, "job.status", 0, &job, e);
    }
    if (rc)
        return rc;
    if (!ctl_flag(ctl, "wait")) {
        say(s, job, existing);
        return ERR_OK;
    }
    return follow_to_end(ctl, id, -1, e);
}

/* Such as a sink that could not be asked whether the job fits; on standard error, for people. */
static void warn(const json_t *opened)
{
    const json_t *warnings = json_object_get(opened, "warnings");
    for (size_t i = 0; i < json_array_size(warnings); i++) {
        struct buf out;
        buf_init(&out, 0);
        buf_str(&out, "drover: warning: ");
        print_value(&out, json_array_get(warnings, i), PRINT_TEXT);
        buf_byte(&out, '\n');
        fwrite(out.data, 1, out.len, stderr);
        buf_done(&out);
    }
}

/* The same command goes on with a job that has a name. Another one would wait for the rest of its input
 * for ever. */
static void break_off(struct ctl *ctl, const struct submission *s, bool resumable)
{
    CTL_JSON answer = NULL;
    struct error ignored = {0};
    const unsigned long long id = s->job;
    if (resumable) {
        fprintf(stderr, "job %llu is open; the same command goes on with its input\n", id);
        return;
    }
    if (!*ctl->stop) {
        ctl_args(ctl, 1);
        ctl_arg_u64(ctl, "job", s->job);
        if (ctl_call(ctl, "job.cancel", 0, &answer, &ignored) == ERR_OK)
            return;
    }
    fprintf(
        stderr,
        "job %llu waits for the rest of its input: `drover job cancel %llu` ends it; with --name "
        "the same command would go on\n",
        id, id);
}

int submit_run(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    CTL_JSON job = NULL;
    CTL_JSON items = NULL;
    CTL_JSON opened = NULL;
    const char *name = ctl_flag(ctl, "name");
    struct submission s = {.ctl = ctl};
    (void)n;
    int rc = read_job(args[0], &job, e);
    if (rc == ERR_OK)
        rc = take_input(job, &items, e);
    if (rc == ERR_OK && !items && !ctl_flag(ctl, "input"))
        rc = error_set(e, ERR_INVALID_ARGUMENT,
                       "the job has no input: give \"input\" in the file, or --input FILE");
    if (rc == ERR_OK && name)
        json_object_set_new(job, "name", json_string(name));
    if (rc == ERR_OK)
        rc = open_job(ctl, job, &opened, e);
    if (rc)
        return rc;
    warn(opened);
    const char *id = json_string_value(json_object_get(opened, "job"));
    bool sealed = json_is_true(json_object_get(opened, "sealed"));
    s.job = id ? strtoull(id, NULL, 10) : 0;
    s.there = (uint64_t)json_integer_value(json_object_get(opened, "chunks"));
    if (!sealed)
        rc = send_input(&s, items, e);
    if (rc)
        break_off(ctl, &s, json_object_get(job, "name") || ctl_flag(ctl, "idempotency-key"));
    if (rc == ERR_INVALID_ARGUMENT) /* an input is wrong, not the command line */
        rc = ERR_INVALID_SPEC;
    return rc ? rc : finish(&s, sealed, json_is_true(json_object_get(opened, "existing")), e);
}

/* ---- check ---- */

int submit_check(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    CTL_JSON job = NULL;
    CTL_JSON items = NULL;
    CTL_JSON answer = NULL;
    CTL_TEXT text = NULL;
    (void)n;
    int rc = read_job(args[0], &job, e);
    if (rc == ERR_OK)
        rc = take_input(job, &items, e);
    if (rc == ERR_OK && !(text = json_dumps(job, JSON_COMPACT)))
        rc = error_set(e, ERR_NOMEM, "job description");
    if (rc)
        return rc;
    ctl_args(ctl, 1);
    ctl_arg_str(ctl, "spec", text);
    rc = ctl_call(ctl, "job.check", wait_of(job), &answer, e);
    if (rc)
        return rc;
    warn(answer);
    if (ctl->format == PRINT_JSON || ctl->format == PRINT_JSONL)
        print_json(answer, ctl->format == PRINT_JSONL);
    else
        print_text(span_str(json_string_value(json_object_get(answer, "plan"))));
    return ERR_OK;
}
