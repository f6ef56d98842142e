/* Key files and the list of authorized keys: what is refused, what survives, who follows changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/keys.h"

static char folder[] = "/tmp/drover-test-keys-XXXXXX";

static const char *in_folder(const char *name)
{
    static _Thread_local char paths[4][256];
    static _Thread_local unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_text(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

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

static void pairs_are_saved_and_loaded(void **state)
{
    struct keys_pair pair, got;
    struct stat st;
    char public_z85[KEYS_Z85_LEN + 1];
    const char *path = in_folder("a.key");
    struct error e = {0};
    (void)state;
    assert_int_equal(keys_generate(&pair, &e), ERR_OK);
    assert_int_equal(keys_save(path, &pair, &e), ERR_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(keys_load(path, &got, &e), ERR_OK);
    assert_memory_equal(&got, &pair, sizeof pair);
    assert_int_equal(keys_load_public(in_folder("a.key.pub"), public_z85, &e), ERR_OK);
    assert_string_equal(public_z85, pair.public_z85);
    assert_int_equal(keys_load_public(pair.public_z85, public_z85, &e), ERR_OK);
    assert_string_equal(public_z85, pair.public_z85);
    /* the .pub file must not have the secret */
    assert_int_equal(keys_load(in_folder("a.key.pub"), &got, &e), ERR_CONFIG);
    assert_int_equal(keys_save(path, &pair, &e), ERR_WRONG_STATE);
}

static void bad_key_files_are_refused(void **state)
{
    static const char *const good = "public = %s\nsecret = %s\n";
    struct keys_pair a, b, got;
    char text[300], mixed[300];
    struct error e = {0};
    (void)state;
    assert_int_equal(keys_generate(&a, &e), ERR_OK);
    assert_int_equal(keys_generate(&b, &e), ERR_OK);
    snprintf(text, sizeof text, good, a.public_z85, a.secret_z85);
    snprintf(mixed, sizeof mixed, good, b.public_z85, a.secret_z85);
    const struct {
        const char *name, *text;
        mode_t mode;
        int rc;
    } rows[] = {
        {"good", text, 0600, ERR_OK},
        {"readable by its group", text, 0640, ERR_OK},
        {"readable by all", text, 0644, ERR_CONFIG},
        {"writable by its group", text, 0660, ERR_CONFIG},
        {"halves of two pairs", mixed, 0600, ERR_CONFIG},
        {"empty", "", 0600, ERR_CONFIG},
        {"something else", "-----BEGIN RSA PRIVATE KEY-----\n", 0600, ERR_CONFIG},
        {"short key", "public = abc\nsecret = abc\n", 0600, ERR_CONFIG},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *path = in_folder("b.key");
        unlink(path);
        write_text(path, rows[i].text, rows[i].mode);
        int rc = keys_load(path, &got, &e);
        if (rc != rows[i].rc)
            fail_msg("%s: %s", rows[i].name, err_name((enum err)rc));
    }
    assert_int_equal(keys_load(in_folder("none"), &got, &e), ERR_NOT_FOUND);
    assert_int_equal(keys_load(folder, &got, &e), ERR_CONFIG);
}

static struct keys_entry entry_of(enum keys_role role, const char *name)
{
    struct keys_pair pair;
    struct keys_entry k = {.role = role};
    assert_int_equal(keys_generate(&pair, NULL), ERR_OK);
    snprintf(k.name, sizeof k.name, "%s", name);
    memcpy(k.public_z85, pair.public_z85, sizeof k.public_z85);
    return k;
}

static void list_grows_and_shrinks(void **state)
{
    struct keys_allow *a = NULL, *other = NULL;
    struct error e = {0};
    const char *path = in_folder("authorized_keys");
    struct keys_entry one = entry_of(KEYS_WORKER, "w-1"), two = entry_of(KEYS_ADMIN, "ann");
    struct keys_entry got;
    size_t n = 0;
    (void)state;
    assert_int_equal(keys_allow_open(path, &a, &e), ERR_OK);
    assert_false(keys_allow_find(a, one.public_z85, &got));
    assert_int_equal(keys_allow_add(a, &one, &e), ERR_OK);
    assert_int_equal(keys_allow_add(a, &one, &e), ERR_OK); /* again: fine */
    assert_int_equal(keys_allow_add(a, &two, &e), ERR_OK);
    assert_true(keys_allow_find(a, one.public_z85, &got));
    assert_int_equal(got.role, KEYS_WORKER);
    assert_string_equal(got.name, "w-1");
    struct keys_entry clash = one;
    clash.role = KEYS_ADMIN;
    assert_int_equal(keys_allow_add(a, &clash, &e), ERR_INVALID_ARGUMENT);

    /* another process sees it, and this one sees what the other does */
    assert_int_equal(keys_allow_open(path, &other, &e), ERR_OK);
    struct keys_entry *list = keys_allow_list(other, &n);
    assert_int_equal(n, 2);
    free(list);
    assert_true(keys_allow_named(a, KEYS_WORKER, SPAN("w-1")));
    assert_false(keys_allow_named(a, KEYS_ADMIN, SPAN("w-1")));
    assert_int_equal(keys_allow_revoke(other, "w-1", NULL, &n, &e), ERR_OK);
    assert_int_equal(n, 1);
    assert_false(keys_allow_find(a, one.public_z85, &got));
    assert_true(keys_allow_find(a, two.public_z85, &got));
    assert_false(keys_allow_named(a, KEYS_WORKER, SPAN("w-1")));
    assert_int_equal(keys_allow_revoke(a, "w-1", NULL, &n, &e), ERR_NOT_FOUND);
    assert_int_equal(keys_allow_revoke(a, NULL, NULL, &n, &e), ERR_INVALID_ARGUMENT);
    assert_int_equal(keys_allow_revoke(a, "nobody", two.public_z85, &n, &e), ERR_NOT_FOUND);
    assert_int_equal(keys_allow_revoke(a, NULL, two.public_z85, &n, &e), ERR_OK);
    keys_allow_free(a);
    keys_allow_free(other);
}

static void broken_list_keeps_the_last_good_one(void **state)
{
    struct keys_allow *a = NULL;
    struct error e = {0};
    const char *path = in_folder("list");
    struct keys_entry one = entry_of(KEYS_CLIENT, "ci"), got;
    (void)state;
    assert_int_equal(keys_allow_open(path, &a, &e), ERR_OK);
    assert_int_equal(keys_allow_add(a, &one, &e), ERR_OK);
    write_text(path, "# comment\n\nclient only-two-words\n", 0644);
    assert_int_equal(keys_allow_reload(a, &e), ERR_CONFIG);
    assert_non_null(strstr(e.detail, "line 3"));
    assert_true(keys_allow_find(a, one.public_z85, &got));
    write_text(path, "", 0666);
    assert_int_equal(keys_allow_reload(a, &e), ERR_CONFIG); /* anyone may write it */
    assert_int_equal(chmod(path, 0644), 0);
    write_text(path, "# all gone\n", 0644);
    assert_int_equal(keys_allow_reload(a, &e), ERR_OK);
    assert_false(keys_allow_find(a, one.public_z85, &got));
    keys_allow_free(a);
}

static void *add_many(void *arg)
{
    struct keys_allow *a = NULL;
    char name[32];
    if (keys_allow_open(in_folder("shared"), &a, NULL))
        return NULL;
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "%s-%d", (const char *)arg, i);
        struct keys_entry k = entry_of(KEYS_WORKER, name);
        if (keys_allow_add(a, &k, NULL))
            break;
    }
    keys_allow_free(a);
    return NULL;
}

/* Two that change the file at once lose nothing of each other. */
static void changes_at_once_do_not_get_lost(void **state)
{
    static char *const names[] = {"x", "y"};
    pthread_t threads[2];
    struct keys_allow *a = NULL;
    size_t n;
    (void)state;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, names[i]), 0);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(keys_allow_open(in_folder("shared"), &a, NULL), ERR_OK);
    struct keys_entry *list = keys_allow_list(a, &n);
    assert_int_equal(n, 40);
    free(list);
    keys_allow_free(a);
}

static void names_and_roles(void **state)
{
    enum keys_role role;
    (void)state;
    assert_true(keys_role_parse(SPAN("admin"), &role));
    assert_int_equal(role, KEYS_ADMIN);
    assert_false(keys_role_parse(SPAN("root"), &role));
    assert_false(keys_role_parse(SPAN(""), &role));
    assert_true(keys_name_valid(SPAN("a.b-c_1")));
    assert_false(keys_name_valid(SPAN("a b")));
    assert_false(keys_name_valid(SPAN("")));
    assert_false(keys_public_valid(SPAN("0123456789012345678901234567890123456\"89")));
    assert_true(keys_public_valid(SPAN("0123456789012345678901234567890123456789")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_saved_and_loaded),
        cmocka_unit_test(bad_key_files_are_refused),
        cmocka_unit_test(list_grows_and_shrinks),
        cmocka_unit_test(broken_list_keeps_the_last_good_one),
        cmocka_unit_test(changes_at_once_do_not_get_lost),
        cmocka_unit_test(names_and_roles),
    };
    return cmocka_run_group_tests_name("keys", tests, make_folder, remove_folder);
}
