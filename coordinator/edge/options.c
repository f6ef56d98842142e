#include "options.h"

#include "common/log.h"

#define MIB (INT64_C(1) << 20)
#define DAY_MS (24 * 3600 * 1000)
#define TIB (INT64_C(1) << 40)

static const struct config_option options[] = {
    {"data_dir", CONFIG_STR, "/var/lib/drover", 0, 0,
     "Where the queue, inputs and results are kept. One coordinator at a time may use it."},
    {"listen.front", CONFIG_STR, "tcp://127.0.0.1:7700", 0, 0,
     "Address for clients and the CLI. One that is not loopback needs key.file and "
     "key.authorized."},
    {"listen.back", CONFIG_STR, "tcp://127.0.0.1:7701", 0, 0,
     "Address for workers; the same rule."},
    {"listen.http", CONFIG_STR, "http://127.0.0.1:7702", 0, 0,
     "Address of /metrics, /healthz and /readyz; \"off\" for none."},
    {"listen.http_anywhere", CONFIG_BOOL, "false", 0, 0,
     "Allows listen.http to be an address that others can reach. It is plain HTTP without a "
     "password."},
    {"key.file", CONFIG_STR, NULL, 0, 0,
     "The coordinator's secret key file (drover key gen). With it, CURVE is on for every address."},
    {"key.authorized", CONFIG_STR, NULL, 0, 0,
     "The list of public keys that may connect: lines of role, name, key (drover key authorize)."},
    {"lease", CONFIG_DURATION, "15s", 200, 10 * 60 * 1000,
     "A worker that is silent for so long has lost its tasks; also how long a restarted "
     "coordinator waits for workers to come back."},
    {"kills_max", CONFIG_INT, "3", 1, 100,
     "A task that was being run by so many workers that died is a dead letter."},
    {"breaker.host_give_up", CONFIG_DURATION, "5m", 0, DAY_MS,
     "Tasks of a scraped host that had no success for so long, however often it was tried, are dead "
     "letters (HOST_DOWN); 0: they are held until it answers."},
    {"limits.tasks_memory", CONFIG_BYTES, "1GiB", MIB, TIB,
     "Memory for the records of waiting tasks; above it input is refused with QUEUE_FULL."},
    {"limits.inputs_memory", CONFIG_BYTES, "64MiB", 0, TIB,
     "Memory for inputs of waiting tasks; what does not fit is read from the store."},
    {"limits.store_queue", CONFIG_BYTES, "256MiB", MIB, TIB,
     "Bytes that may wait to be written; above it submits are refused with QUEUE_FULL."},
    {"limits.waiting_requests", CONFIG_INT, "4096", 1, 1000000,
     "Requests that may wait for news at a time; more are answered at once."},
    {"blob_bytes_max", CONFIG_BYTES, "64GiB", MIB, 1024 * TIB,
     "Bytes of all blobs (uploaded files, models) in the data directory; above it uploads are "
     "refused with STORE_FULL."},
    {"blob_keep", CONFIG_DURATION, "1h", 1000, INT64_C(365) * DAY_MS,
     "A blob that no job needs any more is removed when it was not asked for so long."},
    {"predict.listen", CONFIG_STR, NULL, 0, 0,
     "Address of POST /v1/models/NAME/predict, like http://127.0.0.1:7703; without it predictions are "
     "asked for by clients alone. Needs predict.token_file."},
    {"predict.anywhere", CONFIG_BOOL, "false", 0, 0,
     "Allows predict.listen to be an address that others can reach. It is plain HTTP: put a proxy with "
     "TLS before it."},
    {"predict.token_file", CONFIG_SECRET_FILE, NULL, 0, 0,
     "A file with the token that requests over HTTP must bear (Authorization: Bearer ...), which others "
     "may not read."},
    {"predict.body_max", CONFIG_BYTES, "1MiB", 1024, 16 * MIB,
     "Bytes of one request over HTTP; a larger one is refused with 413."},
    {"predict.timeout", CONFIG_DURATION, "10s", 1, 10 * 60 * 1000,
     "A prediction that has no answer after so long fails with TIMEOUT (504)."},
    {"predict.batch_rows", CONFIG_INT, "256", 1, 10000,
     "Rows that are collected for a worker that is busy with the model; then they are sent."},
    {"predict.batch_wait", CONFIG_DURATION, "1ms", 0, 1000,
     "How long rows are collected for a worker that is busy with the model, at most."},
    {"predict.queue_rows", CONFIG_INT, "10000", 1, 1000000,
     "Rows that may wait for one model; above it requests are refused with QUEUE_FULL (429)."},
    {"sink.*.url", CONFIG_STR, NULL, 0, 0,
     "Where a sink is: postgresql://, redis://, rediss://, unix:// (Redis) or file://, without a "
     "password. Jobs name the sink by NAME."},
    {"sink.*.user", CONFIG_STR, NULL, 0, 0, "Who the workers are to it; wins over the URL's."},
    {"sink.*.password_file", CONFIG_SECRET_FILE, NULL, 0, 0,
     "A file with the password, which others may not read."},
    {"sink.*.ca_file", CONFIG_STR, NULL, 0, 0,
     "Certificates (PEM) of who signs the sink's; without it the workers' own list counts."},
    {"log.level", CONFIG_STR, "info", 0, 0, "debug, info, warn, error or off."},
    {"log.format", CONFIG_STR, "auto", 0, 0,
     "auto (JSON unless standard error is a terminal), text or json."},
};

static const char *const extra_flags[] = {"ports-file=", NULL};

const struct config_program options_program = {
    .name = "drover-coordinator",
    .usage = "[OPTION]...",
    .about =
        "Takes jobs from clients, shards them over workers, and keeps queue and results in its "
        "data directory.\n\n"
        "  --ports-file FILE  writes the addresses that were bound, as JSON, once the "
        "coordinator serves; with port 0 in listen.* they are free ones",
    .file = "/etc/drover/coordinator.conf",
    .options = options,
    .n_options = ARRAY_LEN(options),
    .extra_flags = extra_flags,
};

enum { HEARTBEATS_IN_LEASE = 5, HEARTBEAT_MAX_MS = 2000 };

void options_edge(const struct config *c, struct edge_options *ret)
{
    uint32_t lease_ms = (uint32_t)config_int(c, "lease");
    *ret = (struct edge_options){
        .lease_ms = lease_ms,
        .heartbeat_ms = MIN(lease_ms / HEARTBEATS_IN_LEASE, (uint32_t)HEARTBEAT_MAX_MS),
        .host_give_up_ms = (uint32_t)config_int(c, "breaker.host_give_up"),
        .kills_max = (uint32_t)config_int(c, "kills_max"),
        .tasks_memory_bytes = (size_t)config_int(c, "limits.tasks_memory"),
        .inputs_memory_bytes = (size_t)config_int(c, "limits.inputs_memory"),
        .store_queue_bytes = (size_t)config_int(c, "limits.store_queue"),
        .waiters_max = (size_t)config_int(c, "limits.waiting_requests"),
        .blob_bytes_max = (uint64_t)config_int(c, "blob_bytes_max"),
        .blob_keep_ms = (uint64_t)config_int(c, "blob_keep"),
        .predict_batch_rows = (uint32_t)config_int(c, "predict.batch_rows"),
        .predict_batch_wait_ms = (uint32_t)config_int(c, "predict.batch_wait"),
        .predict_queue_rows = (uint32_t)config_int(c, "predict.queue_rows"),
        .predict_timeout_ms = (uint32_t)config_int(c, "predict.timeout"),
    };
}

int options_log(const struct config *c, struct error *e)
{
    static const char *const formats[] = {
        [LOG_FORMAT_AUTO] = "auto", [LOG_FORMAT_TEXT] = "text", [LOG_FORMAT_JSON] = "json"};
    enum log_level level;
    if (!log_level_parse(config_str(c, "log.level"), &level))
        return error_set(e, ERR_CONFIG,
                         "log.level: \"%s\" is none of debug, info, warn, error, off",
                         config_str(c, "log.level"));
    log_init(level);
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        if (strcmp(formats[i], config_str(c, "log.format")) != 0)
            continue;
        log_format((enum log_format)i);
        return 0;
    }
    return error_set(e, ERR_CONFIG, "log.format: \"%s\" is none of auto, text, json",
                     config_str(c, "log.format"));
}
