/* model.c: named models: those of the coordinator, and new ones from files. */
#include <stdio.h>

#include "admin/upload.h"
#include "admin/verbs.h"

enum { CHECK_WAIT_MS = 30000 /* the coordinator loads the model to look at it */ };

static const struct print_column columns[] = {
    {"MODEL", "model", PRINT_TEXT, false},
    {"VERSION", "version", PRINT_TEXT, false},
    {"NEWEST", "newest", PRINT_TEXT, false},
    {"CREATED", "created", PRINT_TIME, false},
    {"BREAKER", "breaker", PRINT_TEXT, false},
    {"QUEUED", "queued_rows", PRINT_COUNT, true},
    {"OK", "ok", PRINT_COUNT, false},
    {"REJECTED", "rejected", PRINT_COUNT, true},
    {"FAILED", "failed", PRINT_COUNT, false},
    {"COLUMNS", "column_names", PRINT_LIST, false},
    {"RESULTS", "result_names", PRINT_LIST, true},
    {"SAMPLE", "sample", PRINT_TEXT, true},
    {"BLOB", "blob", PRINT_TEXT, true},
    {"ERROR", "error", PRINT_TEXT, true},
};

/* "NAME" or "NAME@VERSION"; *ret_version: empty, or the number. */
static int split_name(const char *text, char **ret_name, uint64_t *ret_version, struct error *e)
{
    const char *at = strchr(text, '@');
    *ret_version = 0;
    if (at) {
        size_t n = strspn(at + 1, "0123456789");
        if (n == 0 || n > 10 || at[1] == '0' || at[1 + n])
            return error_set(e, ERR_INVALID_ARGUMENT,
                             "\"%s\": a version is a number from 1 on, as in churn@3", text);
        *ret_version = strtoull(at + 1, NULL, 10);
    }
    *ret_name = strndup(text, at ? (size_t)(at - text) : strlen(text));
    return *ret_name ? ERR_OK : error_set(e, ERR_NOMEM, "no memory");
}

/* Begins a call with the name, and the version when there is one; more pairs follow. */
static void name_args(struct ctl *ctl, const char *name, uint64_t version, size_t more)
{
    ctl_args(ctl, more + (version ? 2 : 1));
    ctl_arg_str(ctl, "name", name);
    if (version)
        ctl_arg_u64(ctl, "version", version);
}

/* Names of columns as lists of texts, which tables can show. */
static void add_names(json_t *model)
{
    static const char *const lists[][2] = {{"columns", "column_names"},
                                           {"results", "result_names"}};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        json_t *names = json_array();
        const json_t *from = json_object_get(model, lists[i][0]);
        for (size_t k = 0; k < json_array_size(from); k++)
            json_array_append(names, json_object_get(json_array_get(from, k), "name"));
        json_object_set_new(model, lists[i][1], names);
    }
}

/* For -o name, what the other verbs take for this version alone. */
static void add_reference(const struct ctl *ctl, json_t *model)
{
    if (ctl->format != PRINT_NAME)
        return;
    json_object_set_new(model, "reference",
                        json_sprintf("%s@%lld", json_string_value(json_object_get(model, "model")),
                                     (long long)json_integer_value(
                                         json_object_get(model, "version"))));
}

static bool for_people(const struct ctl *ctl)
{
    return ctl->format == PRINT_TABLE || ctl->format == PRINT_WIDE;
}

int model_ls(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    CTL_JSON answer = NULL;
    (void)n;
    (void)args;
    ctl_args(ctl, 0);
    int rc = ctl_call(ctl, "model.ls", 0, &answer, e);
    if (rc)
        return rc;
    const json_t *models = json_object_get(answer, "models");
    for (size_t i = 0; i < json_array_size(models); i++) {
        if (for_people(ctl))
            add_names(json_array_get(models, i));
        add_reference(ctl, json_array_get(models, i));
    }
    print_list(ctl->format, models, columns, ARRAY_LEN(columns), "reference");
    return ERR_OK;
}

int model_show(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    CTL_JSON answer = NULL;
    CTL_TEXT name = NULL;
    uint64_t version;
    (void)n;
    int rc = split_name(args[0], &name, &version, e);
    if (rc)
        return rc;
    name_args(ctl, name, version, 0);
    rc = ctl_call(ctl, "model.show", CHECK_WAIT_MS, &answer, e);
    if (rc)
        return rc;
    const char *explain = json_string_value(json_object_get(answer, "explain"));
    if (for_people(ctl))
        add_names(answer);
    add_reference(ctl, answer);
    print_object(ctl->format, answer, columns, ARRAY_LEN(columns), "reference");
    if (for_people(ctl) && explain) {
        print_text(SPAN("\n"));
        print_text(span_str(explain));
    }
    return ERR_OK;
}

/* "a, b, c" as a packed array; blanks around a name are none of it. */
static void pack_names(struct buf *out, const char *text)
{
    size_t n = 1;
    for (const char *p = text; *p; p++)
        n += *p == ',';
    pack_array(out, n);
    for (size_t i = 0; i < n; i++) {
        size_t len = strcspn(text, ","), from = MIN(strspn(text, " "), len), to = len;
        while (to > from && text[to - 1] == ' ')
            to--;
        pack_str(out, (struct span){text + from, to - from});
        text += len + 1;
    }
}

int model_add(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    CTL_JSON answer = NULL;
    CTL_TEXT name = NULL;
    const char *sample = ctl_flag(ctl, "sample"), *names = ctl_flag(ctl, "columns");
    const char *tolerance = ctl_flag(ctl, "tolerance");
    char blob[BLOB_TEXT_LEN + 1], sample_blob[BLOB_TEXT_LEN + 1];
    char *end = NULL;
    uint64_t version;
    (void)n;
    double allowed = tolerance ? strtod(tolerance, &end) : 0;
    if (tolerance && (end == tolerance || *end || !(allowed >= 0 && allowed <= 1)))
        return error_set(e, ERR_INVALID_ARGUMENT, "--tolerance is a number from 0 to 1");
    int rc = split_name(args[0], &name, &version, e);
    if (rc == ERR_OK)
        rc = upload_file(ctl, args[1], blob, e);
    if (rc == ERR_OK && sample)
        rc = upload_file(ctl, sample, sample_blob, e);
    if (rc)
        return rc;
    name_args(ctl, name, version, (sample ? 2u : 1u) + (names ? 1u : 0u) + (tolerance ? 1u : 0u));
    ctl_arg_str(ctl, "blob", blob);
    if (sample)
        ctl_arg_str(ctl, "sample", sample_blob);
    if (tolerance) {
        pack_cstr(&ctl->args, "tolerance");
        pack_f64(&ctl->args, allowed);
    }
    if (names) {
        pack_cstr(&ctl->args, "columns");
        pack_names(&ctl->args, names);
    }
    rc = ctl_call(ctl, "model.add", CHECK_WAIT_MS, &answer, e);
    if (rc)
        return rc;
    if (!for_people(ctl)) {
        add_reference(ctl, answer);
        print_object(ctl->format, answer, columns, ARRAY_LEN(columns), "reference");
        return ERR_OK;
    }
    printf("%s@%lld%s\n", name, (long long)json_integer_value(json_object_get(answer, "version")),
           json_is_true(json_object_get(answer, "existing")) ? " (was there already)" : "");
    return ERR_OK;
}

int model_rm(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    CTL_JSON answer = NULL;
    CTL_TEXT name = NULL;
    uint64_t version;
    (void)n;
    int rc = split_name(args[0], &name, &version, e);
    if (rc == ERR_OK && !version)
        rc = ctl_confirm(ctl, e, "remove all versions of the model %s?", name);
    if (rc)
        return rc;
    name_args(ctl, name, version, 0);
    return ctl_call(ctl, "model.rm", 0, &answer, e);
}
