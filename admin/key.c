/* key.c: key pairs on this machine, and who may connect: by the coordinator, or in its file. */
#include "admin/verbs.h"

#include <stdio.h>

static const struct print_column columns[] = {
    {"ROLE", "role", PRINT_TEXT, false},
    {"NAME", "name", PRINT_TEXT, false},
    {"PUBLIC KEY", "public", PRINT_TEXT, false},
};

int key_gen(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    struct keys_pair pair;
    (void)n;
    int rc = keys_generate(&pair, e);
    if (rc == ERR_OK)
        rc = keys_save(args[0], &pair, e);
    if (rc == ERR_OK && (ctl->format == PRINT_TABLE || ctl->format == PRINT_WIDE))
        printf("%s\nsecret key in %s, public key in %s.pub\n", pair.public_z85, args[0], args[0]);
    else if (rc == ERR_OK && ctl->format == PRINT_NAME)
        printf("%s\n", pair.public_z85);
    else if (rc == ERR_OK) {
        CTL_JSON v = json_pack("{s:s, s:s}", "public", pair.public_z85, "file", args[0]);
        print_json(v, ctl->format == PRINT_JSONL);
    }
    explicit_bzero(&pair, sizeof pair);
    return rc;
}

static void print_keys(const struct ctl *ctl, const json_t *keys)
{
    print_list(ctl->format, keys, columns, ARRAY_LEN(columns), "name");
}

static int print_file(const struct ctl *ctl, struct keys_allow *list)
{
    size_t n;
    struct keys_entry *entries = keys_allow_list(list, &n);
    CTL_JSON keys = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(keys,
                              json_pack("{s:s, s:s, s:s}", "role", keys_role_name(entries[i].role),
                                        "name", entries[i].name, "public", entries[i].public_z85));
    free(entries);
    print_keys(ctl, keys);
    return ERR_OK;
}

static int call(struct ctl *ctl, const char *verb, struct error *e)
{
    CTL_JSON answer = NULL;
    int rc = ctl_call(ctl, verb, 0, &answer, e);
    if (rc == ERR_OK)
        print_keys(ctl, json_object_get(answer, "keys"));
    return rc;
}

int key_authorize(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    struct keys_entry entry = {0};
    struct keys_allow *list = NULL;
    const char *file = ctl_flag(ctl, "file");
    (void)n;
    if (!keys_role_parse(span_str(args[0]), &entry.role))
        return error_set(e, ERR_INVALID_ARGUMENT, "a role is worker, client or admin, not \"%s\"",
                         args[0]);
    if (!keys_name_valid(span_str(args[1])))
        return error_set(e, ERR_INVALID_ARGUMENT, "a name has 1 to %d of A-Z a-z 0-9 . _ -",
                         KEYS_NAME_MAX);
    int rc = keys_load_public(args[2], entry.public_z85, e);
    if (rc)
        return rc;
    snprintf(entry.name, sizeof entry.name, "%s", args[1]);
    if (!file) {
        ctl_args(ctl, 3);
        ctl_arg_str(ctl, "role", args[0]);
        ctl_arg_str(ctl, "name", args[1]);
        ctl_arg_str(ctl, "public", entry.public_z85);
        return call(ctl, "key.authorize", e);
    }
    rc = keys_allow_open(file, &list, e);
    if (rc == ERR_OK)
        rc = keys_allow_add(list, &entry, e);
    if (rc == ERR_OK)
        rc = print_file(ctl, list);
    keys_allow_free(list);
    return rc;
}

int key_revoke(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    struct keys_allow *list = NULL;
    const char *file = ctl_flag(ctl, "file");
    bool by_key = keys_public_valid(span_str(args[0]));
    size_t removed;
    (void)n;
    if (!file) {
        ctl_args(ctl, 1);
        ctl_arg_str(ctl, by_key ? "public" : "name", args[0]);
        return call(ctl, "key.revoke", e);
    }
    int rc = keys_allow_open(file, &list, e);
    if (rc == ERR_OK)
        rc = keys_allow_revoke(list, by_key ? NULL : args[0], by_key ? args[0] : NULL, &removed, e);
    if (rc == ERR_OK)
        rc = print_file(ctl, list);
    keys_allow_free(list);
    return rc;
}

int key_ls(struct ctl *ctl, size_t n, const char *const *args, struct error *e)
{
    struct keys_allow *list = NULL;
    const char *file = ctl_flag(ctl, "file");
    (void)n;
    (void)args;
    if (!file) {
        ctl_args(ctl, 0);
        return call(ctl, "key.ls", e);
    }
    int rc = keys_allow_open(file, &list, e);
    if (rc == ERR_OK)
        rc = print_file(ctl, list);
    keys_allow_free(list);
    return rc;
}
