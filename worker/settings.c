#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "worker/runner.h"
#include "worker/sinks/batcher.h"

enum {
    SLOTS_PER_LOOP = 16,
    FILES_BESIDE_LOOPS = 128,
    MEMORY_BASE_BYTES = 16 * 1024 * 1024,
    MEMORY_PER_LOOP_BYTES = 16 * 1024 * 1024
};

static const struct config_option table[] = {
    {"coordinator", CONFIG_STR, NULL, 0, 0,
     "Address of the coordinator's back, such as tcp://coordinator.example:7701."},
    {"key.file", CONFIG_STR, NULL, 0, 0,
     "This worker's secret key (made by `drover key gen`). Needed unless the coordinator is on "
     "loopback without keys."},
    {"server_key_file", CONFIG_STR, NULL, 0, 0,
     "The coordinator's public key: a .pub file, or the 40 characters themselves."},
    {"id", CONFIG_STR, NULL, 0, 0,
     "Durable name of this worker, [A-Za-z0-9._-], at most 64. Default: kept in state_dir, or the "
     "host's name with a random word."},
    {"state_dir", CONFIG_STR, NULL, 0, 0,
     "Folder where the worker keeps its name between starts, and its cache of blobs."},
    {"cache_dir", CONFIG_STR, NULL, 0, 0,
     "Folder of the blobs (models, files) that tasks need, for this worker alone. Default: `blobs` in "
     "state_dir, or a temporary folder that is removed at the end."},
    {"cache_bytes_max", CONFIG_BYTES, "4GiB", 1024 * 1024, INT64_C(1) << 50,
     "Bytes of blobs kept on disk; the least recently used go first. One task's blobs may pass it."},
    {"loops", CONFIG_INT, "0", 0, 1024, "Threads that fetch and extract. 0: one for each core."},
    {"slots", CONFIG_INT, "0", 0, 100000, "Tasks under way at once. 0: 16 for each loop."},
    {"connections_max", CONFIG_INT, "1000", 1, 100000, "Live connections of one loop."},
    {"memory_max", CONFIG_BYTES, "0", 0, INT64_C(1) << 40,
     "Budget for pages in flight and for results that wait to be acknowledged. 0: 16 MiB and 16 "
     "MiB more for each loop."},
    {"allow_net", CONFIG_LIST, NULL, 0, 0,
     "Networks (CIDR) that jobs may reach although they are private, link-local or loopback, such "
     "as 10.1.0.0/16."},
    {"ca_file", CONFIG_STR, NULL, 0, 0,
     "PEM file of the certification authorities to trust. Default: those built in."},
    {"proxy", CONFIG_STR, NULL, 0, 0, "HTTP proxy for all requests, such as http://10.0.0.1:3128."},
    {"user_agent", CONFIG_STR, NULL, 0, 0, "User-Agent of requests, unless the job names one."},
    {"input_roots", CONFIG_LIST, NULL, 0, 0,
     "Folders whose files transform jobs may read on this machine, such as /data. A service without "
     "them reads only what clients send; `run` reads anything."},
    {"input_bytes_max", CONFIG_BYTES, "16GiB", 1024, INT64_C(1) << 50,
     "Bytes of a file that a transform job reads from a web server. It is kept in cache_dir (for `run`: in "
     "TMPDIR) while its task runs."},
    {"sink_connections", CONFIG_INT, "2", 1, BATCHER_CONNECTIONS_MAX,
     "Connections to each sink (PostgreSQL, Redis) that this worker has at most."},
    {"sink.*.url", CONFIG_STR, NULL, 0, 0,
     "For `run`: where a sink is that a job may name: postgresql://, redis://, rediss://, unix:// "
     "(Redis) or file://, without a password. A service is told of sinks by its coordinator."},
    {"sink.*.user", CONFIG_STR, NULL, 0, 0,
     "For `run`: who it is to the sink; wins over the URL's."},
    {"sink.*.password_file", CONFIG_SECRET_FILE, NULL, 0, 0,
     "For `run`: a file with the password, which others may not read."},
    {"sink.*.ca_file", CONFIG_STR, NULL, 0, 0,
     "For `run`: certificates (PEM) of who signs the sink's. Default: those built in."},
    {"drain_timeout", CONFIG_DURATION, "300s", 0, INT64_C(86400000),
     "How long running tasks may go on after SIGTERM, before they are given back."},
    {"frontier_max", CONFIG_BYTES, "256MiB", 1024 * 1024, INT64_C(1) << 40,
     "For `run`: memory for URLs that wait and those that were seen."},
    {"log.level", CONFIG_STR, "info", 0, 0, "debug, info, warn, error or off."},
    {"log.format", CONFIG_STR, "auto", 0, 0,
     "text, json, or auto: text on a terminal, JSON otherwise."},
};

static const char *const extra_flags[] = {"check",     "job=|j",     "sql=",    "input=|i",
                                          "output=|o", "rejects=",   "run-id=", "blobs=",
                                          "format=",   "delimiter=", "explain", NULL};

const struct config_program settings_program = {
    .name = "drover-worker",
    .usage =
        "[OPTION]...\n"
        "       drover-worker --check [OPTION]...\n"
        "       drover-worker model show FILE\n"
        "       drover-worker run --job FILE [--input FILE] [--output FILE] [--rejects FILE]\n"
        "                         [--format csv|ndjson] [--run-id ID] [--blobs DIR] [--explain]\n"
        "                         [OPTION]...\n"
        "       drover-worker run --sql QUERY [--output FILE] [--format csv|ndjson] [--explain]\n"
        "                         [--rejects FILE] [--delimiter CHARACTER|tab] [OPTION]... FILE...",
    .about =
        "Runs tasks for a drover coordinator, or one job alone (run), on every core.\n"
        "run --sql prints the rows of a SELECT ... FROM input over files; --explain, what it would do.\n"
        "--check says what is wrong on this machine and how to mend it.",
    .file = "/etc/drover/worker.conf",
    .options = table,
    .n_options = ARRAY_LEN(table),
    .extra_flags = extra_flags,
};

/* ---- open files ---- */

uint64_t settings_files_needed(const struct settings *o)
{
    return o->loops * (uint64_t)o->scrape.connections_max + FILES_BESIDE_LOOPS;
}

uint64_t settings_raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    if (limit.rlim_cur < limit.rlim_max) {
        const struct rlimit higher = {limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &higher) == 0)
            return higher.rlim_cur;
    }
    return limit.rlim_cur;
}

/* ---- common ---- */

int settings_common(const struct config *c, struct settings *ret, struct error *e)
{
    const char *const *nets;
    const size_t n_nets = config_list(c, "allow_net", &nets);
    struct settings o = {0};
    o.allow_nets = calloc(n_nets + 1, sizeof(*o.allow_nets));
    if (!o.allow_nets)
        return error_set(e, ERR_NOMEM, "no memory");
    for (size_t i = 0; i < n_nets; i++)
        o.allow_nets[i] = nets[i];
    o.loops = config_int(c, "loops") ? (size_t)config_int(c, "loops") : runner_cores();
    o.slots = config_int(c, "slots") ? (uint32_t)config_int(c, "slots")
                                     : (uint32_t)o.loops * SLOTS_PER_LOOP;
    o.memory_max_bytes = config_int(c, "memory_max")
                             ? (size_t)config_int(c, "memory_max")
                             : MEMORY_BASE_BYTES + o.loops * MEMORY_PER_LOOP_BYTES;
    o.result_budget_bytes = o.memory_max_bytes / 4;
    o.sink_connections = (uint32_t)config_int(c, "sink_connections");
    o.drain_ms = (uint64_t)config_int(c, "drain_timeout");
    o.cache_bytes_max = (uint64_t)config_int(c, "cache_bytes_max");
    o.frontier_max_bytes = (size_t)config_int(c, "frontier_max");
    o.scrape = (struct scrape_config){
        .user_agent = config_str(c, "user_agent"),
        .allow_nets = o.allow_nets,
        .ca_file = config_str(c, "ca_file"),
        .proxy = config_str(c, "proxy"),
        .connections_max = (uint32_t)config_int(c, "connections_max"),
        .memory_max_bytes = o.memory_max_bytes / 4 / o.loops,
    };
    static const char *const none[] = {NULL};
    o.inputs.download_bytes_max = (uint64_t)config_int(c, "input_bytes_max");
    o.inputs.n_roots = config_list(c, "input_roots", &o.inputs.roots);
    if (o.inputs.n_roots == 0)
        o.inputs.roots = none;
    *ret = o;
    return ERR_OK;
}

void settings_done(struct settings *o)
{
    free(o->allow_nets);
    free(o->cache_dir);
    explicit_bzero(&o->key, sizeof(o->key));
    *o = (struct settings){0};
}

/* ---- the worker's name ---- */

static void random_word(char ret[9])
{
    uint32_t word = 0;
    if (getrandom(&word, sizeof(word), 0) != (ssize_t)sizeof(word))
        word = (uint32_t)getpid();
    snprintf(ret, 9, "%08x", word);
}

/* The host's name with what is not allowed in an id replaced, and a random word. */
static void made_up_id(const char *host, char ret[KEYS_NAME_MAX + 1])
{
    char word[9], name[KEYS_NAME_MAX - 9 + 1];
    snprintf(name, sizeof(name), "%.*s", (int)sizeof(name) - 1, host);
    for (char *p = name; *p; p++)
        if (!keys_name_valid((struct span){p, 1}))
            *p = '-';
    random_word(word);
    snprintf(ret, KEYS_NAME_MAX + 1, "%s-%s", name[0] ? name : "worker", word);
}

static int kept_id(const char *dir, const char *host, char ret[KEYS_NAME_MAX + 1], struct error *e)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof(path), "%s/worker-id", dir) >= sizeof(path))
        return error_set(e, ERR_CONFIG, "state_dir: the path is too long");
    FILE *f = fopen(path, "re");
    if (f) {
        const bool read = fgets(ret, KEYS_NAME_MAX + 1, f);
        fclose(f);
        if (read)
            ret[strcspn(ret, "\r\n")] = 0;
        if (read && keys_name_valid(span_str(ret)))
            return ERR_OK;
        return error_set(e, ERR_CONFIG, "%s does not hold a worker's name: remove it", path);
    }
    made_up_id(host, ret);
    /* Only one of two that start at once may choose the name. */
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_set(e, ERR_CONFIG, "state_dir: cannot write %s: %s", path, strerror(errno));
    const int written = dprintf(fd, "%s\n", ret);
    if (written < 0 || fsync(fd) != 0 || close(fd) != 0)
        return error_set(e, ERR_CONFIG, "state_dir: cannot write %s: %s", path, strerror(errno));
    return ERR_OK;
}

static int choose_id(const struct config *c, struct settings *o, struct error *e)
{
    const char *id = config_str(c, "id"), *dir = config_str(c, "state_dir");
    if (id && !keys_name_valid(span_str(id)))
        return error_set(e, ERR_CONFIG,
                         "id: \"%s\" has other characters than A-Z a-z 0-9 . _ - or "
                         "is longer than %d",
                         id, KEYS_NAME_MAX);
    if (id)
        snprintf(o->id, sizeof(o->id), "%s", id);
    else if (dir)
        return kept_id(dir, o->host, o->id, e);
    else
        made_up_id(o->host, o->id);
    return ERR_OK;
}

/* ---- the service ---- */

static int choose_cache(const struct config *c, struct settings *o, struct error *e)
{
    const char *dir = config_str(c, "cache_dir"), *state = config_str(c, "state_dir");
    if (dir)
        o->cache_dir = strdup(dir);
    else if (!state || asprintf(&o->cache_dir, "%s/blobs", state) < 0)
        o->cache_dir = NULL;
    return (dir || state) && !o->cache_dir ? error_set(e, ERR_NOMEM, "no memory") : ERR_OK;
}

static int load_keys(const struct config *c, struct settings *o, struct error *e)
{
    const char *key = config_str(c, "key.file"), *server = config_str(c, "server_key_file");
    if (!key && !server)
        return ERR_OK;
    if (!key || !server)
        return error_set(e, ERR_CONFIG, "%s is needed with %s",
                         key ? "server_key_file" : "key.file",
                         key ? "key.file" : "server_key_file");
    const int rc = keys_load(key, &o->key, e);
    if (rc != ERR_OK)
        return rc;
    o->has_key = true;
    return keys_load_public(server, o->server_key, e);
}

int settings_service(const struct config *c, struct settings *ret, struct error *e)
{
    int rc = settings_common(c, ret, e);
    if (rc != ERR_OK)
        return rc;
    ret->coordinator = config_str(c, "coordinator");
    if (gethostname(ret->host, sizeof(ret->host) - 1) != 0)
        snprintf(ret->host, sizeof(ret->host), "unknown");
    rc = load_keys(c, ret, e);
    if (rc == ERR_OK)
        rc = choose_id(c, ret, e);
    if (rc == ERR_OK)
        rc = choose_cache(c, ret, e);
    if (rc == ERR_OK && !ret->coordinator)
        rc = error_set(e, ERR_CONFIG,
                       "coordinator is not set: --coordinator tcp://HOST:7701 (or see run --help)");
    if (rc != ERR_OK)
        settings_done(ret);
    return rc;
}
