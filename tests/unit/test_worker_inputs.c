/* worker/inputs.c: texts of inputs, which files may be opened, and patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/blobset.h"
#include "worker/inputs.h"

#define SHA "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

/* ---- texts ---- */

static void texts(void **state UNUSED)
{
    static const struct {
        const char *text, *name;
        uint64_t begin, end, line;
        bool part, pattern;
    } cases[] = {
        {"/data/a.csv", "/data/a.csv", 0, UINT64_MAX, 1, false, false},
        {"/data/a-*.csv", "/data/a-*.csv", 0, UINT64_MAX, 1, false, true},
        {"/data/a?.csv", "/data/a?.csv", 0, UINT64_MAX, 1, false, true},
        {"/data/[ab].csv", "/data/[ab].csv", 0, UINT64_MAX, 1, false, true},
        {"/a#bytes=4096-8191,line=77", "/a", 4096, 8191, 77, true, false},
        {"/a#bytes=0-,line=1", "/a", 0, UINT64_MAX, 1, true, false},
        {"/a*#bytes=5-5,line=2", "/a*", 5, 5, 2, true, false}, /* parts are of files */
        {"/a#bytes=18446744073709551614-18446744073709551615,line=9", "/a", UINT64_MAX - 1,
         UINT64_MAX, 9, true, false},
        {"/a#b", "/a#b", 0, UINT64_MAX, 1, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct input_ref r;
        struct error e = {0};
        if (input_ref_parse(span_str(cases[i].text), &r, &e) != ERR_OK)
            fail_msg("%s: %s", cases[i].text, e.detail);
        if (r.kind != INPUT_PATH || !span_eq(r.name, span_str(cases[i].name)) ||
            r.begin != cases[i].begin || r.end != cases[i].end || r.line != cases[i].line ||
            r.part != cases[i].part || input_ref_is_pattern(&r) != cases[i].pattern)
            fail_msg("%s: is read as something else", cases[i].text);
        struct buf again = {0};
        input_ref_text(&r, &again);
        if (cases[i].end != UINT64_MAX || !strstr(cases[i].text, "551615"))
            assert_true(span_eq(buf_span(&again), span_str(cases[i].text)));
        buf_done(&again);
    }
}

static void urls(void **state UNUSED)
{
    static const struct {
        const char *text, *name, *version;
        uint64_t begin, end, line;
    } cases[] = {
        {"https://example.org/a.csv", "https://example.org/a.csv", "", 0, UINT64_MAX, 1},
        {"http://example.org/a*.csv?x=[1]", "http://example.org/a*.csv?x=[1]", "", 0, UINT64_MAX,
         1},
        {"https://example.org/a#bytes=5-9,line=2,etag=\"a,b\"", "https://example.org/a",
         "etag=\"a,b\"", 5, 9, 2},
        {"https://example.org/a#bytes=5-,line=2,modified=Wed, 21 Oct 2015 07:28:00 GMT",
         "https://example.org/a", "modified=Wed, 21 Oct 2015 07:28:00 GMT", 5, UINT64_MAX, 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct input_ref r;
        struct error e = {0};
        struct buf again = {0};
        if (input_ref_parse(span_str(cases[i].text), &r, &e) != ERR_OK)
            fail_msg("%s: %s", cases[i].text, e.detail);
        if (r.kind != INPUT_URL || !span_eq(r.name, span_str(cases[i].name)) ||
            r.begin != cases[i].begin || r.end != cases[i].end || r.line != cases[i].line ||
            r.part != (cases[i].version[0] != 0) || input_ref_is_pattern(&r) ||
            !span_eq(r.version.p ? r.version : SPAN(""), span_str(cases[i].version)))
            fail_msg("%s: is read as something else", cases[i].text);
        input_ref_text(&r, &again);
        assert_true(span_eq(buf_span(&again), span_str(cases[i].text)));
        buf_done(&again);
    }
}

static void slices(void **state UNUSED)
{
    struct input_ref r;
    struct error e = {0};
    const char *text = "{\"blob\": \"" SHA "\", \"bytes\": 3, \"line\": 12, \"file\": \"a.csv\"}";
    assert_int_equal(input_ref_parse(span_str(text), &r, &e), ERR_OK);
    assert_int_equal(r.kind, INPUT_BLOB);
    assert_int_equal(r.line, 12);
    assert_string_equal(r.file, "a.csv");
    assert_false(input_ref_is_pattern(&r));
}

static void wrong_texts_say_why(void **state UNUSED)
{
    static const struct {
        struct span text;
        const char *words;
    } cases[] = {
        {SPAN(""), "absolute path"},
        {SPAN("data.csv"), "\"data.csv\": an input is the absolute path"},
        {SPAN("file:///data.csv"), "absolute path"},
        {SPAN("/a\0b"), "absolute path"},
        {SPAN("/a#bytes="), "part"},
        {SPAN("/a#bytes=1-2"), "part"},
        {SPAN("/a#bytes=2-1,line=1"), "part"},
        {SPAN("/a#bytes=1-2,line=0"), "part"},
        {SPAN("/a#bytes=1-2,line=1x"), "part"},
        {SPAN("/a#bytes=18446744073709551616-,line=1"), "part"},
        {SPAN("#bytes=1-2,line=1"), "absolute path"},
        {SPAN("{\"blob\": 1}"), ""},
        {SPAN("ftp://example.org/a.csv"), "absolute path"},
        {SPAN("https:///"), "https:///"},
        {SPAN("http://user:secret@example.org/a"), "password"},
        {SPAN("https://example.org/a#bytes=5-9,line=2"), "part"},
        {SPAN("https://example.org/a#bytes=5-9,line=2,etag="), "part"},
        {SPAN("https://example.org/a#bytes=5-9,line=2,other=x"), "part"},
        {SPAN("https://example.org/a#bytes=5-9,line=2,etag=\"a\r\nX: y\""), "part"},
        {SPAN("/a#bytes=5-9,line=2,etag=\"a\""), "part"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct input_ref r;
        struct error e = {0};
        if (input_ref_parse(cases[i].text, &r, &e) != ERR_INVALID_ARGUMENT ||
            !strstr(e.detail, cases[i].words))
            fail_msg("%.*s: %s", (int)cases[i].text.len, cases[i].text.p, e.detail);
    }
}

/* ---- files ---- */

struct folder {
    char path[64], real[64], other[64];
};

static void path_in(const char *base, const char *name, char ret[200])
{
    snprintf(ret, 200, "%s/%s", base, name);
}

static void make_file(const char *folder, const char *name)
{
    char path[200];
    path_in(folder, name, path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(name, file);
    fclose(file);
}

/* real/: a root; path: a link to it; other/: outside. */
static int set_up(void **state)
{
    struct folder *f = calloc(1, sizeof(*f));
    char path[200];
    strcpy(f->real, "/tmp/drover-inputs-XXXXXX");
    assert_non_null(mkdtemp(f->real));
    snprintf(f->other, sizeof(f->other), "%s-other", f->real); /* begins as the root does */
    assert_int_equal(mkdir(f->other, 0700), 0);
    snprintf(f->path, sizeof(f->path), "%s-link", f->real);
    assert_int_equal(symlink(f->real, f->path), 0);
    make_file(f->real, "b-2.csv");
    make_file(f->real, "b-1.csv");
    make_file(f->other, "secret.csv");
    path_in(f->other, "secret.csv", path);
    char link[200];
    path_in(f->real, "to-secret.csv", link);
    assert_int_equal(symlink(path, link), 0);
    path_in(f->real, "to-b.csv", link);
    assert_int_equal(symlink("b-1.csv", link), 0);
    path_in(f->real, "folder", link);
    assert_int_equal(mkdir(link, 0700), 0);
    path_in(f->real, "pipe", link);
    assert_int_equal(mkfifo(link, 0600), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct folder *f = *state;
    static const char *const names[] = {"b-1.csv",  "b-2.csv", "to-secret.csv",
                                        "to-b.csv", "pipe",    "folder"};
    char path[200];
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        path_in(f->real, names[i], path);
        remove(path);
    }
    path_in(f->other, "secret.csv", path);
    remove(path);
    remove(f->path);
    remove(f->real);
    remove(f->other);
    free(f);
    return 0;
}

static int open_one(const struct inputs *in, const char *path, struct error *e)
{
    struct input_ref r;
    struct input_file file;
    int rc = input_ref_parse(span_str(path), &r, e);
    if (rc == ERR_OK)
        rc = inputs_open(in, NULL, &r, NULL, &file, e);
    if (rc == ERR_OK) {
        assert_true(file.parts && !file.version[0]);
        close(file.fd);
    }
    return rc;
}

static void roots_hold_for_what_is_opened(void **state)
{
    const struct folder *f = *state;
    const char *const by_link[] = {"/nonexistent", f->path}, *const by_name[] = {f->real},
                      *const none[] = {NULL}, *const all[] = {"/"};
    const struct inputs anywhere = {0}, link = {.roots = by_link, .n_roots = 2},
                        name = {.roots = by_name, .n_roots = 1}, nothing = {.roots = none},
                        top = {.roots = all, .n_roots = 1};
    const struct {
        const struct inputs *in;
        const char *base, *file;
        int rc;
    } cases[] = {
        {&anywhere, f->real, "b-1.csv", ERR_OK},
        {&anywhere, f->real, "to-secret.csv", ERR_OK},
        {&top, f->other, "secret.csv", ERR_OK},
        {&name, f->real, "b-1.csv", ERR_OK},
        {&name, f->path, "b-1.csv", ERR_OK}, /* a link that leads inside */
        {&name, f->real, "to-b.csv", ERR_OK},
        {&link, f->real, "b-1.csv", ERR_OK},
        {&link, f->path, "b-2.csv", ERR_OK},
        {&name, f->real, "to-secret.csv", ERR_AUTH}, /* and one that leads outside */
        {&name, f->other, "secret.csv", ERR_AUTH},
        {&name, f->real, "../passwd", ERR_NOT_FOUND},
        {&nothing, f->real, "b-1.csv", ERR_AUTH},
        {&anywhere, f->real, "missing.csv", ERR_NOT_FOUND},
        {&anywhere, f->real, "b-1.csv/x", ERR_NOT_FOUND},
        {&anywhere, f->real, "folder", ERR_INVALID_ARGUMENT},
        {&anywhere, f->real, "pipe", ERR_INVALID_ARGUMENT}, /* and it does not wait for it */
        {&anywhere, "/dev", "null", ERR_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char path[200];
        struct error e = {0};
        path_in(cases[i].base, cases[i].file, path);
        const int rc = open_one(cases[i].in, path, &e);
        if (rc != cases[i].rc || (rc != ERR_OK && !strstr(e.detail, path)))
            fail_msg("case %zu, %s: %s: %s", i, path, err_name((enum err)rc), e.detail);
    }
}

static void a_blob_that_is_not_there(void **state UNUSED)
{
    struct input_ref r;
    struct error e = {0};
    struct input_file file;
    const struct inputs none = {0};
    assert_int_equal(input_ref_parse(SPAN("{\"blob\": \"" SHA "\"}"), &r, &e), ERR_OK);
    assert_int_equal(inputs_open(&none, NULL, &r, NULL, &file, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.detail, SHA));
}

struct seen {
    size_t n;
    char names[4][200];
};

static void see(void *user, struct span path)
{
    struct seen *s = user;
    assert_true(s->n < ARRAY_LEN(s->names));
    snprintf(s->names[s->n++], sizeof(s->names[0]), "%.*s", (int)path.len, path.p);
}

static void patterns_in_order(void **state)
{
    const struct folder *f = *state;
    struct seen seen = {0};
    struct input_ref r;
    struct error e = {0};
    char pattern[200], want[200];
    path_in(f->real, "b-*.csv", pattern);
    assert_int_equal(input_ref_parse(span_str(pattern), &r, &e), ERR_OK);
    assert_int_equal(inputs_match(&r, see, &seen, &e), ERR_OK);
    assert_int_equal(seen.n, 2);
    path_in(f->real, "b-1.csv", want);
    assert_string_equal(seen.names[0], want);
    path_in(f->real, "b-2.csv", want);
    assert_string_equal(seen.names[1], want);
    path_in(f->real, "c-*.csv", pattern);
    assert_int_equal(input_ref_parse(span_str(pattern), &r, &e), ERR_OK);
    assert_int_equal(inputs_match(&r, see, &seen, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.detail, pattern));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(urls),
        cmocka_unit_test(slices),
        cmocka_unit_test(wrong_texts_say_why),
        cmocka_unit_test_setup_teardown(roots_hold_for_what_is_opened, set_up, tear_down),
        cmocka_unit_test(a_blob_that_is_not_there),
        cmocka_unit_test_setup_teardown(patterns_in_order, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("worker_inputs", tests, NULL, NULL);
}
