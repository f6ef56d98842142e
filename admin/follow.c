/* follow.c: a job's results as they come, and waiting for its end. */
#include "admin/verbs.h"

#include <stdio.h>
#include <unistd.h>

#include "admin/value.h"
#include "common/batch.h"
#include "common/clock.h"
#include "common/unpack.h"

enum {
    PAGE_BYTES = 1024 * 1024,
    PAUSE_MS = 200 /* between two looks at a job that changes all the time */
};

/* ---- results ---- */

struct page {
    uint64_t cursor;
    size_t n; /* batches or rejects in it */
    bool end;
};

/* One batch: [task, n_rows, rows], its rows as lines of JSON. */
static int print_batch(struct unpack *u, struct error *e)
{
    size_t extra;
    struct batch *batch = NULL;
    struct buf lines;
    unpack_tuple(u, 3, &extra);
    unpack_skip_n(u, 2);
    struct span rows = unpack_peek(u) == UNPACK_BIN ? unpack_bin(u) : unpack_raw(u);
    unpack_skip_n(u, extra);
    if (!unpack_ok(u))
        return error_set(e, ERR_MALFORMED, "the results cannot be read");
    int rc = batch_unpack(rows, &batch, e);
    if (rc)
        return rc;
    buf_init(&lines, 0);
    batch_write_ndjson(batch, &lines);
    if (buf_ok(&lines))
        print_text(buf_span(&lines));
    else
        rc = error_set(e, ERR_NOMEM, "results");
    buf_done(&lines);
    batch_free(batch);
    return rc;
}

/* One reject: [input, reason, detail] as an object. */
static int print_reject(struct unpack *u, struct error *e)
{
    CTL_JSON v = value_read(u);
    if (json_array_size(v) < 3)
        return error_set(e, ERR_MALFORMED, "the rejects cannot be read");
    CTL_JSON row = json_pack("{s:O, s:O, s:O}", "input", json_array_get(v, 0), "reason",
                             json_array_get(v, 1), "detail", json_array_get(v, 2));
    print_json(row, true);
    return ERR_OK;
}

static int print_page(struct span value, bool rejects, struct page *p, struct error *e)
{
    struct unpack u;
    unpack_init(&u, value.p, value.len);
    size_t pairs = unpack_map(&u);
    p->n = 0;
    for (size_t i = 0; i < pairs && unpack_ok(&u); i++) {
        struct span key = unpack_str(&u);
        if (span_eq(key, SPAN("cursor"))) {
            p->cursor = unpack_u64(&u);
        } else if (span_eq(key, SPAN("end"))) {
            p->end = unpack_bool(&u);
        } else if (span_eq(key, rejects ? SPAN("rejects") : SPAN("batches"))) {
            p->n = unpack_array(&u);
            for (size_t j = 0; j < p->n; j++) {
                int rc = rejects ? print_reject(&u, e) : print_batch(&u, e);
                if (rc)
                    return rc;
            }
        } else {
            unpack_skip(&u);
        }
    }
    if (!unpack_finished(&u))
        return error_set(e, ERR_MALFORMED, "the coordinator's answer cannot be read");
    return ERR_OK;
}

static int read_cursor(const struct ctl *ctl, uint64_t *ret, struct error *e)
{
    const char *text = ctl_flag(ctl, "cursor");
    *ret = 0;
    if (text && (!*text || text[strspn(text, "0123456789")]))
        return error_set(e, ERR_INVALID_ARGUMENT, "--cursor: \"%s\" is not a number", text);
    if (text)
        *ret = strtoull(text, NULL, 10);
    return ERR_OK;
}

int follow_results(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    bool rejects = ctl_flag(ctl, "rejects"), follow = ctl_flag(ctl, "follow");
    struct page page = {0};
    CTL_TEXT job = NULL;
    (void)n;
    int rc = read_cursor(ctl, &page.cursor, e);
    if (rc == ERR_OK)
        rc = ctl_find_job(ctl, args[0], &job, e);
    do {
        struct span value;
        uint32_t wait_ms = follow ? CLIENT_WAIT_MAX_MS : 0;
        if (rc)
            break;
        ctl_args(ctl, 4);
        ctl_arg_job(ctl, job);
        ctl_arg_u64(ctl, "cursor", page.cursor);
        ctl_arg_u64(ctl, "max_bytes", PAGE_BYTES);
        ctl_arg_u64(ctl, "wait_ms", wait_ms);
        rc = ctl_call_raw(ctl, rejects ? "job.rejects" : "job.results", wait_ms, &value, e);
        if (rc == ERR_OK)
            rc = print_page(value, rejects, &page, e);
        if (fflush(stdout) != 0)
            return error_set(e, ERR_IO, "standard output is closed");
    } while (rc == ERR_OK && !page.end && (page.n || follow));
    if (rc && job && *ctl->stop)
        fprintf(stderr, "go on with: drover job results %s%s%s --cursor %llu\n", job,
                follow ? " --follow" : "", rejects ? " --rejects" : "",
                (unsigned long long)page.cursor);
    return rc;
}

/* ---- waiting ---- */

static void show_progress(const json_t *job)
{
    struct buf line;
    if (!isatty(STDERR_FILENO))
        return;
    buf_init(&line, 0);
    buf_str(&line, "\r\033[Kjob ");
    print_value(&line, json_object_get(job, "job"), PRINT_TEXT);
    buf_str(&line, ": ");
    print_value(&line, json_object_get(job, "done"), PRINT_COUNT);
    buf_byte(&line, '/');
    print_value(&line, json_object_get(job, "tasks"), PRINT_COUNT);
    buf_str(&line, " tasks, ");
    print_value(&line, json_object_get(job, "rows"), PRINT_COUNT);
    buf_str(&line, " rows, ");
    print_value(&line, json_object_get(job, "dead"), PRINT_COUNT);
    buf_str(&line, " dead");
    fwrite(line.data, 1, line.len, stderr);
    buf_done(&line);
}

static void end_progress(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

/* What the program ends with for a job in this state; -1: it goes on. */
static int exit_of_state(const json_t *job)
{
    static const struct {
        const char *state;
        int code;
    } rows[] = {{"done", CTL_OK},
                {"failed", CTL_JOB_FAILED},
                {"cancelled", CTL_JOB_CANCELLED},
                {"expired", CTL_JOB_CANCELLED}};
    const char *state = json_string_value(json_object_get(job, "state"));
    for (size_t i = 0; state && i < ARRAY_LEN(rows); i++)
        if (strcmp(rows[i].state, state) == 0)
            return rows[i].code;
    return -1;
}

/* One look, which waits up to wait_ms for a change since version (< 0: none was seen yet). */
static int look(struct ctl *ctl, const char *job, uint32_t wait_ms, int64_t version, json_t **ret,
                struct error *e)
{
    ctl_args(ctl, version < 0 ? 1 : 3);
    ctl_arg_job(ctl, job);
    if (version >= 0) {
        ctl_arg_u64(ctl, "version", (uint64_t)version);
        ctl_arg_u64(ctl, "wait_ms", wait_ms);
    }
    return ctl_call(ctl, "job.wait", version < 0 ? 0 : wait_ms, ret, e);
}

int follow_to_end(struct ctl *ctl, const char *job, int64_t timeout_ms, struct error *e)
{
    uint64_t end = timeout_ms < 0 ? UINT64_MAX : clock_ms() + (uint64_t)timeout_ms;
    int64_t version = -1;
    for (;;) {
        CTL_JSON answer = NULL;
        uint64_t now = clock_ms();
        uint32_t wait_ms = now >= end ? 0 : (uint32_t)MIN(end - now, (uint64_t)CLIENT_WAIT_MAX_MS);
        int rc = look(ctl, job, wait_ms, version, &answer, e);
        int code = rc == ERR_OK ? exit_of_state(answer) : -1;
        if (rc || code >= 0 || clock_ms() >= end)
            end_progress();
        if (rc && *ctl->stop)
            fprintf(stderr, "the job goes on; wait for it again with: drover job wait %s\n", job);
        if (rc)
            return rc;
        if (code >= 0) {
            ctl->exit_code = code;
            job_print(ctl, answer);
            return ERR_OK;
        }
        if (clock_ms() >= end)
            return error_set(e, ERR_TIMEOUT, "job %s has not ended in time; it goes on", job);
        show_progress(answer);
        if (version >= 0)
            client_pause(ctl->client, PAUSE_MS);
        version = json_integer_value(json_object_get(answer, "version"));
    }
}

int follow_wait(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    CTL_TEXT job = NULL;
    int64_t timeout_ms;
    (void)n;
    int rc = ctl_flag_ms(ctl, "timeout", -1, &timeout_ms, e);
    if (rc == ERR_OK)
        rc = ctl_find_job(ctl, args[0], &job, e);
    return rc ? rc : follow_to_end(ctl, job, timeout_ms, e);
}
