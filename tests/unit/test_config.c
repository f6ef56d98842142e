/* Options: where values come from, which win, what is refused and how that is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config.h"
#include "common/config_value.h"

static char folder[] = "/tmp/drover-test-config-XXXXXX";

static const struct config_option options[] = {
    {"url", CONFIG_STR, "tcp://127.0.0.1:7700", 0, 0, "Address of the coordinator."},
    {"key", CONFIG_SECRET_FILE, NULL, 0, 0, "Secret key file."},
    {"lease.time", CONFIG_DURATION, "10s", 1000, 600000,
     "How long a silent worker keeps its tasks."},
    {"store.queue_max", CONFIG_BYTES, "64MiB", 1048576, 1099511627776, "Queue of the store."},
    {"worker.slots", CONFIG_INT, "4", 1, 1024, "Tasks at once."},
    {"http.enabled", CONFIG_BOOL, "true", 0, 0, "Serve metrics."},
    {"scrape.allow_nets", CONFIG_LIST, NULL, 0, 0, "Networks."},
    {"sink.*.url", CONFIG_STR, NULL, 0, 0, "Address of a sink."},
    {"sink.*.pool", CONFIG_INT, "2", 1, 64, "Connections."},
};
static const char *const extra[] = {"output=|o", "yes|y", NULL};
static const struct config_program program = {
    .name = "prog",
    .usage = "[OPTION]... VERB",
    .about = "Does things.",
    .options = options,
    .n_options = ARRAY_LEN(options),
    .extra_flags = extra,
};

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[300];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static int clean_environment(void **state)
{
    (void)state;
    unsetenv("DROVER_URL");
    unsetenv("DROVER_CONFIG");
    unsetenv("DROVER_LEASE_TIME");
    unsetenv("DROVER_SINK_MAIN_POOL");
    unsetenv("DROVER_SOMETHING_ELSE");
    return 0;
}

static const char *write_file(const char *text)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/drover.toml", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

/* Loads with the words of a command line and, where not NULL, a file. */
static int load(const char *file, const char *const *words, struct config **ret, struct error *e)
{
    char *argv[20] = {(char *)"prog"};
    int argc = 1;
    if (file) {
        argv[argc++] = (char *)"--config";
        argv[argc++] = (char *)write_file(file);
    }
    for (; words && *words; words++)
        argv[argc++] = (char *)*words;
    return config_load(&program, argc, argv, ret, e);
}

static struct config *load_ok(const char *file, const char *const *words)
{
    struct config *c = NULL;
    struct error e = {0};
    if (load(file, words, &c, &e))
        fail_msg("%s", e.detail);
    return c;
}

static const struct config_entry *entry_of(const struct config *c, const char *key)
{
    static struct config_entry entry;
    for (size_t i = 0; config_entry(c, i, &entry); i++)
        if (strcmp(entry.key, key) == 0)
            return &entry;
    fail_msg("no entry %s", key);
    return NULL;
}

static void defaults(void **state)
{
    struct config *c = load_ok(NULL, NULL);
    const char *const *list;
    (void)state;
    assert_string_equal(config_str(c, "url"), "tcp://127.0.0.1:7700");
    assert_null(config_str(c, "key"));
    assert_false(config_has(c, "key"));
    assert_int_equal(config_int(c, "lease.time"), 10000);
    assert_int_equal(config_int(c, "store.queue_max"), 64 << 20);
    assert_int_equal(config_int(c, "worker.slots"), 4);
    assert_true(config_bool(c, "http.enabled"));
    assert_int_equal(config_list(c, "scrape.allow_nets", &list), 0);
    assert_string_equal(entry_of(c, "url")->origin, "default");
    config_free(c);
}

static void flags_beat_environment_beats_file_beats_default(void **state)
{
    static const char *const flag[] = {"--url", "tcp://flag:1", NULL};
    static const char *const file = "url = \"tcp://file:1\"\n\n[lease]\ntime = 20s # comment\n";
    char want[400];
    (void)state;
    struct config *c = load_ok(file, NULL);
    assert_string_equal(config_str(c, "url"), "tcp://file:1");
    assert_int_equal(config_int(c, "lease.time"), 20000);
    snprintf(want, sizeof want, "file %s/drover.toml:4", folder);
    assert_string_equal(entry_of(c, "lease.time")->origin, want);
    config_free(c);

    setenv("DROVER_URL", "tcp://env:1", 1);
    setenv("DROVER_LEASE_TIME", "30", 1);
    setenv("DROVER_SOMETHING_ELSE", "of another program", 1);
    c = load_ok(file, NULL);
    assert_string_equal(config_str(c, "url"), "tcp://env:1");
    assert_int_equal(config_int(c, "lease.time"), 30000);
    assert_string_equal(entry_of(c, "url")->origin, "environment DROVER_URL");
    config_free(c);

    c = load_ok(file, flag);
    assert_string_equal(config_str(c, "url"), "tcp://flag:1");
    assert_string_equal(entry_of(c, "url")->origin, "flag --url");
    config_free(c);
}

static void forms_of_flags(void **state)
{
    static const char *const words[] = {"submit",
                                        "--worker-slots=7",
                                        "--no-http-enabled",
                                        "--store-queue-max",
                                        "2GB",
                                        "-o",
                                        "json",
                                        "file.json",
                                        "-y",
                                        "--",
                                        "--not-a-flag",
                                        NULL};
    const char *const *args;
    (void)state;
    struct config *c = load_ok(NULL, words);
    assert_int_equal(config_int(c, "worker.slots"), 7);
    assert_int_equal(config_int(c, "store.queue_max"), 2000000000);
    assert_false(config_bool(c, "http.enabled"));
    assert_string_equal(config_flag(c, "output"), "json");
    assert_string_equal(config_flag(c, "yes"), "");
    assert_int_equal(config_args(c, &args), 3);
    assert_string_equal(args[0], "submit");
    assert_string_equal(args[1], "file.json");
    assert_string_equal(args[2], "--not-a-flag");
    config_free(c);
}

static void lists(void **state)
{
    static const struct {
        const char *file;
        const char *want[4];
    } rows[] = {
        {"[scrape]\nallow_nets = [ \"10.0.0.0/8\", \"fd00::/8\" ] # two\n",
         {"10.0.0.0/8", "fd00::/8"}},
        {"[scrape]\nallow_nets = 10.0.0.0/8, 127.0.0.0/8\n", {"10.0.0.0/8", "127.0.0.0/8"}},
        {"[scrape]\nallow_nets = []\n", {NULL}},
        {"[scrape]\nallow_nets = [ \"a]b\", \"c,d\", ]\n", {"a]b", "c,d"}},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config *c = load_ok(rows[i].file, NULL);
        const char *const *list;
        size_t n = config_list(c, "scrape.allow_nets", &list), want = 0;
        while (rows[i].want[want])
            want++;
        assert_int_equal(n, want);
        for (size_t j = 0; j < n; j++)
            assert_string_equal(list[j], rows[i].want[j]);
        config_free(c);
    }
}

static void sections_with_names(void **state)
{
    static const char *const words[] = {"--sink-other-url", "redis://r", NULL};
    struct span names[8];
    (void)state;
    setenv("DROVER_SINK_MAIN_POOL", "9", 1);
    struct config *c =
        load_ok("[sink.main]\nurl = \"postgres://p\"\n[sink.third]\npool = 3\n", words);
    size_t n = config_names(c, "sink", names, ARRAY_LEN(names));
    assert_int_equal(n, 3);
    assert_string_equal(config_str(c, "sink.main.url"), "postgres://p");
    assert_int_equal(config_int(c, "sink.main.pool"), 9);
    assert_string_equal(config_str(c, "sink.other.url"), "redis://r");
    assert_int_equal(config_int(c, "sink.other.pool"), 2);
    assert_null(config_str(c, "sink.third.url"));
    assert_int_equal(config_int(c, "sink.third.pool"), 3);
    config_free(c);
}

static void what_is_wrong_is_said(void **state)
{
    static const struct {
        const char *file, *words[3], *want;
        int code;
    } rows[] = {
        {"urll = x\n",
         {NULL},
         "drover.toml:1: there is no option \"urll\" (did you mean \"url\"?)",
         ERR_CONFIG},
        {"[lease]\ntiem = 3s\n", {NULL}, "(did you mean \"lease.time\"?)", ERR_CONFIG},
        {"[sink.main]\nurk = x\n", {NULL}, "no option \"sink.main.urk\"", ERR_CONFIG},
        {"[lease]\ntime = soon\n", {NULL}, ":2: \"soon\" is not a duration", ERR_CONFIG},
        {"[lease]\ntime = 1h\n", {NULL}, "1h is outside its limits, 1s to 10m", ERR_CONFIG},
        {"[store]\nqueue_max = 1k\n", {NULL}, "1k is outside its limits, 1MiB to 1TiB", ERR_CONFIG},
        {"url = \"open\n", {NULL}, "no closing quote", ERR_CONFIG},
        {"url = \"a\" b\n", {NULL}, "more after the value", ERR_CONFIG},
        {"url\n", {NULL}, "not a line such as", ERR_CONFIG},
        {"url =\n", {NULL}, "a value is missing", ERR_CONFIG},
        {"url = # later\n", {NULL}, "a value is missing", ERR_CONFIG},
        {"url =# later\n", {NULL}, "a value is missing", ERR_CONFIG},
        {"[lease\ntime = 2s\n", {NULL}, "not a section", ERR_CONFIG},
        {"[scrape]\nallow_nets = [ \"a\"\n", {NULL}, "no closing bracket", ERR_CONFIG},
        {"[scrape]\nallow_nets = [ \"a\" \"b\" ]\n", {NULL}, "is not a list", ERR_CONFIG},
        {NULL,
         {"--worker-slot=3"},
         "there is no flag --worker-slot (did you mean \"--worker-slots\"?)",
         ERR_INVALID_ARGUMENT},
        {NULL, {"--worker-slots=0"}, "0 is outside its limits, 1 to 1024", ERR_INVALID_ARGUMENT},
        {NULL,
         {"--worker-slots", "x"},
         "flag --worker-slots: \"x\" is not a whole number",
         ERR_INVALID_ARGUMENT},
        {NULL, {"--worker-slots"}, "--worker-slots needs a value", ERR_INVALID_ARGUMENT},
        {NULL, {"--http-enabled=maybe"}, "is not true or false", ERR_INVALID_ARGUMENT},
        {NULL, {"--no-url"}, "there is no flag --no-url", ERR_INVALID_ARGUMENT},
        {NULL, {"--yes=1"}, "--yes takes no value", ERR_INVALID_ARGUMENT},
        {NULL, {"-x"}, "there is no flag -x", ERR_INVALID_ARGUMENT},
        {NULL, {"--config=/nonexistent/file"}, "/nonexistent/file: No such file", ERR_CONFIG},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config *c = NULL;
        struct error e = {0};
        int rc = load(rows[i].file, rows[i].words, &c, &e);
        if (rc != rows[i].code || !strstr(e.detail, rows[i].want))
            fail_msg("row %zu: %s: %s", i, err_name((enum err)rc), e.detail);
    }
}

static void secrets(void **state)
{
    char path[300];
    struct error e = {0};
    char *text = NULL;
    (void)state;
    snprintf(path, sizeof path, "%s/secret", folder);
    const char *const words[] = {"--key", path, NULL};
    struct config *c = load_ok(NULL, words);
    assert_int_equal(config_secret(c, "key", &text, &e), ERR_CONFIG);
    FILE *f = fopen(path, "w");
    fputs("hush\n", f);
    fclose(f);
    chmod(path, 0644);
    assert_int_equal(config_secret(c, "key", &text, &e), ERR_CONFIG);
    assert_non_null(strstr(e.detail, "chmod 600"));
    chmod(path, 0600);
    assert_int_equal(config_secret(c, "key", &text, &e), ERR_OK);
    assert_string_equal(text, "hush");
    free(text);
    assert_string_equal(entry_of(c, "key")->value, path); /* never the content */
    config_free(c);
}

static void help_comes_from_the_table(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 0);
    config_help(&program, &out);
    char *text = buf_take_str(&out);
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        assert_non_null(strstr(text, options[i].help));
    assert_non_null(strstr(text, "--lease-time DURATION"));
    assert_non_null(strstr(text, "DROVER_LEASE_TIME; default 10s; 1s to 10m"));
    free(text);
    static const char *const words[] = {"--worker-slots", "0", NULL};
    static const char *const asked[] = {"--help", NULL};
    struct config *c = NULL;
    assert_int_not_equal(load(NULL, words, &c, NULL), ERR_OK);
    c = load_ok("nonsense that is not read\n", asked);
    assert_true(config_wants_help(c));
    config_free(c);
}

static void values(void **state)
{
    static const struct {
        const char *text;
        int64_t ms, bytes; /* -1: refused */
    } rows[] = {
        {"5", 5000, 5},
        {"1.5s", 1500, -1},
        {"250ms", 250, -1},
        {"2h", 7200000, -1},
        {"7d", 604800000, -1},
        {"10m", 600000, -1},
        {"64MiB", -1, 67108864},
        {"10k", -1, 10240},
        {"2GB", -1, 2000000000},
        {"0x10", -1, -1},
        {"-5", -1, -1},
        {"", -1, -1},
        {"1e3", 1000000, 1000},
        {"nan", -1, -1},
        {"inf", -1, -1},
        {"5 s", 5000, -1},
        {"1e30", -1, -1},
        {"5parsecs", -1, -1},
        {"0", 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ms = -1, bytes = -1;
        (void)!config_value_duration(rows[i].text, &ms);
        (void)!config_value_bytes(rows[i].text, &bytes);
        if (ms != rows[i].ms || bytes != rows[i].bytes)
            fail_msg("\"%s\": %lld ms, %lld bytes", rows[i].text, (long long)ms, (long long)bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(defaults, clean_environment),
        cmocka_unit_test_setup(flags_beat_environment_beats_file_beats_default, clean_environment),
        cmocka_unit_test_setup(forms_of_flags, clean_environment),
        cmocka_unit_test_setup(lists, clean_environment),
        cmocka_unit_test_setup(sections_with_names, clean_environment),
        cmocka_unit_test_setup(what_is_wrong_is_said, clean_environment),
        cmocka_unit_test_setup(secrets, clean_environment),
        cmocka_unit_test_setup(help_comes_from_the_table, clean_environment),
        cmocka_unit_test_setup(values, clean_environment),
    };
    return cmocka_run_group_tests_name("config", tests, make_folder, remove_folder);
}
