/* Blobs as files: pieces in any order, names that lie, parts of other processes, damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/blob_files.h"

struct fx {
    char folder[64];
    struct blob_files *f;
    struct error e;
};

static int setup(void **state)
{
    struct fx *x = calloc(1, sizeof(*x));
    snprintf(x->folder, sizeof(x->folder), "/tmp/drover-test-blobs-XXXXXX");
    assert_non_null(mkdtemp(x->folder));
    assert_int_equal(blob_files_open(x->folder, true, &x->f, &x->e), ERR_OK);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fx *x = *state;
    char command[100];
    blob_files_close(x->f);
    snprintf(command, sizeof(command), "rm -r %s", x->folder);
    assert_int_equal(system(command), 0);
    free(x);
    return 0;
}

static void reopen(struct fx *x)
{
    blob_files_close(x->f);
    assert_int_equal(blob_files_open(x->folder, true, &x->f, &x->e), ERR_OK);
}

static struct blob_name name_of(struct span data)
{
    struct blob_name name;
    assert_true(blob_hash_of(data.p, data.len, &name));
    return name;
}

static const char *path_of(const struct fx *x, const struct blob_name *name, const char *end)
{
    static char path[200];
    char text[BLOB_TEXT_LEN + 1];
    snprintf(path, sizeof(path), "%s/%s%s", x->folder, blob_name_text(name, text), end);
    return path;
}

static struct blob_put put(struct fx *x, const struct blob_name *name, size_t from, size_t to,
                           struct span all)
{
    struct blob_put ret;
    int rc = blob_files_put(x->f, name, from, all.len, (struct span){all.p + from, to - from}, &ret,
                            &x->e);
    if (rc)
        fail_msg("%s", x->e.detail);
    return ret;
}

static void check_file(struct fx *x, const struct blob_name *name, struct span data)
{
    struct buf out;
    uint64_t total;
    buf_init(&out, 0);
    assert_int_equal(blob_files_read(x->f, name, 0, 1000, &out, &total, &x->e), ERR_OK);
    assert_int_equal(total, data.len);
    assert_true(span_eq(buf_span(&out), data));
    buf_done(&out);
}

static void names_are_read_and_written(void **state)
{
    struct blob_name name, again;
    struct error e;
    char text[BLOB_TEXT_LEN + 1];
    (void)state;
    /* FIPS 180-2, appendix B.1 */
    const char *abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_true(blob_hash_of("abc", 3, &name));
    assert_string_equal(blob_name_text(&name, text), abc);
    assert_int_equal(blob_name_parse(span_str(abc), &again, &e), ERR_OK);
    assert_true(blob_name_eq(&name, &again));
    struct blob_hash *hash = blob_hash_new();
    blob_hash_add(hash, "a", 1);
    blob_hash_add(hash, "bc", 2);
    blob_hash_end(hash, &again);
    blob_hash_free(hash);
    assert_true(blob_name_eq(&name, &again));
    static const char *const bad[] = {
        "",
        "ba78",
        "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad0",
        "../816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(blob_name_parse(span_str(bad[i]), &again, &e), ERR_INVALID_ARGUMENT);
    assert_false(blob_name_read(SPAN("short"), &again));
}

static void pieces_are_taken_where_they_go_on(void **state)
{
    struct fx *x = *state;
    struct span all = SPAN("0123456789");
    struct blob_name name = name_of(all);
    assert_int_equal(put(x, &name, 4, 8, all).bytes, 0); /* a gap */
    assert_int_equal(put(x, &name, 0, 4, all).bytes, 4);
    assert_int_equal(put(x, &name, 0, 4, all).bytes, 4); /* again */
    assert_int_equal(put(x, &name, 1, 3, all).bytes, 4); /* within */
    assert_int_equal(put(x, &name, 2, 7, all).bytes, 7); /* over the end */
    assert_int_equal(put(x, &name, 9, 10, all).bytes, 7);
    assert_int_not_equal(access(path_of(x, &name, ""), F_OK), 0);
    struct blob_put last = put(x, &name, 7, 10, all);
    assert_true(last.whole && last.bytes == 10 && !last.gone);
    check_file(x, &name, all);
    assert_int_not_equal(access(path_of(x, &name, ".part"), F_OK), 0);
    /* it is there: nothing more is written */
    last = put(x, &name, 0, 3, all);
    assert_true(last.whole && last.bytes == 10);
    assert_int_not_equal(access(path_of(x, &name, ".part"), F_OK), 0);
}

static void a_wrong_hash_leaves_nothing(void **state)
{
    struct fx *x = *state;
    struct span all = SPAN("0123456789");
    struct blob_name name = name_of(SPAN("other"));
    struct blob_put ret;
    assert_int_equal(blob_files_put(x->f, &name, 0, all.len, all, &ret, &x->e),
                     ERR_INVALID_ARGUMENT);
    assert_true(ret.gone);
    assert_int_not_equal(access(path_of(x, &name, ".part"), F_OK), 0);
    assert_int_not_equal(access(path_of(x, &name, ""), F_OK), 0);
}

static void another_total_begins_anew(void **state)
{
    struct fx *x = *state;
    struct span all = SPAN("0123456789");
    struct blob_name name = name_of(all);
    struct blob_put ret;
    assert_int_equal(blob_files_put(x->f, &name, 0, 999, SPAN("wrong"), &ret, &x->e), ERR_OK);
    assert_int_equal(ret.bytes, 5);
    assert_true(put(x, &name, 0, 10, all).whole);
}

static void a_part_of_another_process_is_gone_on_with(void **state)
{
    struct fx *x = *state;
    struct span all = SPAN("0123456789");
    struct blob_name name = name_of(all);
    put(x, &name, 0, 6, all);
    reopen(x);
    assert_int_equal(put(x, &name, 0, 1, all).bytes, 6);
    assert_true(put(x, &name, 6, 10, all).whole);
    check_file(x, &name, all);
}

static void a_damaged_part_of_another_process_begins_anew(void **state)
{
    struct fx *x = *state;
    struct span all = SPAN("0123456789");
    struct blob_name name = name_of(all);
    put(x, &name, 0, 6, all);
    FILE *f = fopen(path_of(x, &name, ".part"), "r+");
    fputc('x', f);
    fclose(f);
    reopen(x);
    struct blob_put ret = put(x, &name, 6, 10, all); /* no error: the sender is not to blame */
    assert_true(ret.gone && !ret.whole && ret.bytes == 0);
    assert_true(put(x, &name, 0, 10, all).whole);
    check_file(x, &name, all);
}

static void a_part_that_is_too_long_begins_anew(void **state)
{
    struct fx *x = *state;
    struct span all = SPAN("0123456789");
    struct blob_name name = name_of(all);
    put(x, &name, 0, 6, all);
    assert_int_equal(truncate(path_of(x, &name, ".part"), 5000), 0);
    reopen(x);
    assert_true(put(x, &name, 0, 10, all).whole);
    check_file(x, &name, all);
}

static void more_parts_than_open_files(void **state)
{
    struct fx *x = *state;
    enum { N = BLOB_FILES_OPEN_MAX * 2 };
    char data[N][32];
    struct blob_name names[N];
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < N; i++) {
            snprintf(data[i], sizeof(data[i]), "blob number %012d......", i);
            struct span all = {data[i], 30};
            names[i] = name_of(all);
            struct blob_put ret =
                put(x, &names[i], (size_t)round * 10, (size_t)round * 10 + 10, all);
            assert_int_equal(ret.bytes, (round + 1) * 10);
            assert_int_equal(ret.whole, round == 2);
        }
    for (int i = 0; i < N; i++)
        check_file(x, &names[i], (struct span){data[i], 30});
}

static int count(void *user, const struct blob_file *file)
{
    size_t *n = user;
    n[file->part]++;
    n[2] += file->bytes;
    return n[2] > 1000 ? ERR_LIMIT : ERR_OK;
}

static void walking_finds_blobs_and_parts_alone(void **state)
{
    struct fx *x = *state;
    struct span all = SPAN("0123456789");
    struct blob_name name = name_of(all), other = name_of(SPAN("x"));
    size_t n[3] = {0};
    put(x, &name, 0, 10, all);
    struct blob_put ret;
    assert_int_equal(blob_files_put(x->f, &other, 0, 5, SPAN("abc"), &ret, &x->e), ERR_OK);
    fclose(fopen(path_of(x, &name, ".bak"), "w"));
    assert_int_equal(mkdir(path_of(x, &other, ""), 0700), 0);
    assert_int_equal(blob_files_walk(x->f, count, n, &x->e), ERR_OK);
    assert_int_equal(n[0], 1);
    assert_int_equal(n[1], 1);
    assert_int_equal(n[2], 13);
    n[2] = 1000;
    assert_int_equal(blob_files_walk(x->f, count, n, &x->e), ERR_LIMIT);
    assert_int_equal(rmdir(path_of(x, &other, "")), 0);
}

static void damage_is_found_and_removed(void **state)
{
    struct fx *x = *state;
    struct span all = SPAN("0123456789");
    struct blob_name name = name_of(all);
    uint64_t bytes;
    assert_int_equal(blob_files_verify(x->f, &name, &bytes, &x->e), ERR_NOT_FOUND);
    put(x, &name, 0, 10, all);
    assert_int_equal(blob_files_verify(x->f, &name, &bytes, &x->e), ERR_OK);
    assert_int_equal(bytes, 10);
    assert_int_equal(truncate(path_of(x, &name, ""), 9), 0);
    struct blob_files *foreign;
    assert_int_equal(blob_files_find(x->folder, &foreign, &x->e), ERR_OK);
    assert_int_equal(blob_files_verify(foreign, &name, &bytes, &x->e), ERR_NOT_FOUND);
    blob_files_close(foreign);
    assert_int_equal(access(path_of(x, &name, ""), F_OK), 0); /* somebody else's is left alone */
    assert_int_equal(blob_files_verify(x->f, &name, &bytes, &x->e), ERR_NOT_FOUND);
    assert_int_not_equal(access(path_of(x, &name, ""), F_OK), 0);
}

static void what_is_removed_may_come_again(void **state)
{
    struct fx *x = *state;
    struct span all = SPAN("0123456789");
    struct blob_name name = name_of(all);
    struct buf out;
    uint64_t total;
    put(x, &name, 0, 5, all);
    assert_int_equal(blob_files_remove(x->f, &name, &x->e), ERR_OK);
    assert_int_equal(put(x, &name, 5, 10, all).bytes, 0);
    assert_true(put(x, &name, 0, 10, all).whole);
    assert_int_equal(blob_files_remove(x->f, &name, &x->e), ERR_OK);
    assert_int_equal(blob_files_remove(x->f, &name, &x->e), ERR_OK);
    buf_init(&out, 0);
    assert_int_equal(blob_files_read(x->f, &name, 0, 10, &out, &total, &x->e), ERR_NOT_FOUND);
    buf_done(&out);
    assert_true(put(x, &name, 0, 10, all).whole);
}

static void reading_keeps_within_the_blob(void **state)
{
    struct fx *x = *state;
    struct span all = SPAN("0123456789");
    struct blob_name name = name_of(all);
    static const struct {
        uint64_t offset;
        size_t max;
        const char *want;
    } rows[] = {{0, 4, "0123"}, {8, 4, "89"}, {10, 4, ""}, {UINT64_MAX, 4, ""}, {3, 0, ""}};
    put(x, &name, 0, 10, all);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out;
        uint64_t total = 0;
        buf_init(&out, 0);
        assert_int_equal(blob_files_read(x->f, &name, rows[i].offset, rows[i].max, &out, &total,
                                         &x->e),
                         ERR_OK);
        assert_true(span_eq(buf_span(&out), span_str(rows[i].want)));
        assert_int_equal(total, 10);
        buf_done(&out);
    }
}

/* A limit on the size of files stands for a full disk: the part gives its room back, and the rest works. */
static void a_full_disk_is_an_error_that_harms_nothing_else(void **state)
{
    struct fx *x = *state;
    struct span all = SPAN("0123456789");
    struct blob_name name = name_of(all), large = name_of(SPAN("large"));
    struct blob_put ret;
    put(x, &name, 0, 10, all);
    /* more than any file system has */
    int rc = blob_files_put(x->f, &large, 0, UINT64_C(1) << 62, SPAN("abc"), &ret, &x->e);
    assert_int_equal(rc, ERR_STORE_FULL);
    assert_non_null(strstr(x->e.detail, x->folder));
    assert_true(ret.gone);
    assert_int_not_equal(access(path_of(x, &large, ".part"), F_OK), 0);
    check_file(x, &name, all);
}

static void a_folder_that_cannot_be_used_is_named(void **state)
{
    struct fx *x = *state;
    struct blob_files *f;
    assert_int_equal(blob_files_open("/proc/no/such", true, &f, &x->e), ERR_NOT_FOUND);
    assert_non_null(strstr(x->e.detail, "/proc/no/such"));
    assert_int_equal(blob_files_find("/tmp/no-such-folder", &f, &x->e), ERR_NOT_FOUND);
    assert_int_not_equal(access("/tmp/no-such-folder", F_OK), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_read_and_written),
        TEST(pieces_are_taken_where_they_go_on),
        TEST(a_wrong_hash_leaves_nothing),
        TEST(another_total_begins_anew),
        TEST(a_part_of_another_process_is_gone_on_with),
        TEST(a_damaged_part_of_another_process_begins_anew),
        TEST(a_part_that_is_too_long_begins_anew),
        TEST(more_parts_than_open_files),
        TEST(walking_finds_blobs_and_parts_alone),
        TEST(damage_is_found_and_removed),
        TEST(what_is_removed_may_come_again),
        TEST(reading_keeps_within_the_blob),
        TEST(a_full_disk_is_an_error_that_harms_nothing_else),
        TEST(a_folder_that_cannot_be_used_is_named),
    };
#undef TEST
    return cmocka_run_group_tests_name("blob_files", tests, NULL, NULL);
}
