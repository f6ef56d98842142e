/*
 * fuzz_config.c: a program's words and its file. The input is words, one on each line, up to a NUL
 * byte; what follows is the file. Words that name another file to read are left out.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/config.h"
#include "common/config_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORDS_MAX = 32, LIST_SHOWN = 4 };

static const struct config_option options[] = {
    {"fuzz_url", CONFIG_STR, "tcp://127.0.0.1:7700", 0, 0, "A text."},
    {"fuzz.int", CONFIG_INT, "4", -5, 1024, "A number."},
    {"fuzz.time", CONFIG_DURATION, "10s", 1, 600000, "A duration."},
    {"fuzz.size", CONFIG_BYTES, "64MiB", 1, INT64_MAX, "A size."},
    {"fuzz.on", CONFIG_BOOL, "true", 0, 0, "A switch."},
    {"fuzz.list", CONFIG_LIST, NULL, 0, 0, "A list."},
    {"fuzz.secret", CONFIG_SECRET_FILE, NULL, 0, 0, "A file that is not read here."},
    {"sink.*.url", CONFIG_STR, NULL, 0, 0, "Of a name."},
    {"sink.*.pool", CONFIG_INT, "2", 1, 64, "Of a name."},
};
static const char *const extra[] = {"output=|o", "yes|y", NULL};
static const struct config_program program = {
    .name = "fuzz",
    .usage = "[OPTION]...",
    .about = "Is tested.",
    .options = options,
    .n_options = ARRAY_LEN(options),
    .extra_flags = extra,
};

/* The words between the newlines of text, which is NUL-terminated and is cut up. */
static int split(char *text, char **argv)
{
    int argc = 1;
    argv[0] = (char *)(uintptr_t) "fuzz";
    for (char *save, *w = strtok_r(text, "\n", &save); w && argc < WORDS_MAX;
         w = strtok_r(NULL, "\n", &save))
        if (strncmp(w, "--config", 8) != 0)
            argv[argc++] = w;
    return argc;
}

/* A path of the file, which needs no name in any folder. */
static const char *file_of(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    if (fd < 0)
        fd = memfd_create("fuzz_config", MFD_CLOEXEC);
    assert(fd >= 0 && ftruncate(fd, 0) == 0);
    assert(size == 0 || pwrite(fd, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof(path), "--config=/proc/self/fd/%d", fd);
    return path;
}

/* What was accepted keeps to its limits, and every value can be read. */
static void check(const struct config *c)
{
    const char *const *list;
    struct config_entry entry;
    struct span names[4];
    assert(config_int(c, "fuzz.int") >= -5 && config_int(c, "fuzz.int") <= 1024);
    assert(config_int(c, "fuzz.time") >= 1 && config_int(c, "fuzz.time") <= 600000);
    assert(config_int(c, "fuzz.size") >= 1);
    assert(config_str(c, "fuzz_url"));
    (void)config_bool(c, "fuzz.on");
    size_t n = config_list(c, "fuzz.list", &list);
    assert(n <= CONFIG_LIST_MAX);
    for (size_t i = 0; i < MIN(n, (size_t)LIST_SHOWN); i++)
        assert(list[i] && strlen(list[i]) <= CONFIG_FILE_MAX);
    (void)config_flag(c, "output");
    for (size_t i = 0; config_entry(c, i, &entry); i++)
        assert(entry.key && entry.origin && entry.help);
    n = config_names(c, "sink", names, ARRAY_LEN(names));
    for (size_t i = 0; i < n; i++) {
        char key[300];
        assert(names[i].len > 0 && names[i].len < 200);
        snprintf(key, sizeof(key), "sink.%.*s.pool", (int)names[i].len, names[i].p);
        assert(config_int(c, key) >= 1 && config_int(c, key) <= 64);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    size_t n_words = end ? (size_t)(end - data) : size;
    char *argv[WORDS_MAX + 2], *words = malloc(n_words + 1);
    struct config *c = NULL;
    struct error e = {0};
    assert(words);
    if (n_words)
        memcpy(words, data, n_words);
    words[n_words] = '\0';
    int argc = split(words, argv);
    /* First, so that no "--" before it makes it a plain word. */
    memmove(&argv[2], &argv[1], (size_t)(argc - 1) * sizeof(*argv));
    argv[1] = (char *)(uintptr_t)file_of(end ? end + 1 : data, end ? size - n_words - 1 : 0);
    int rc = config_load(&program, argc + 1, argv, &c, &e);
    assert(rc == ERR_OK || (e.code == (enum err)rc && e.detail[0]));
    if (rc == ERR_OK && !config_wants_help(c) && !config_wants_version(c))
        check(c);
    config_free(c);
    free(words);
    return 0;
}
