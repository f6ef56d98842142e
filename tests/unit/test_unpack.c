/* Reading msgpack: every form of every type, what pack.h writes, lies about lengths, depth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "common/pack.h"
#include "common/unpack.h"

static struct unpack over(const char *bytes, size_t n)
{
    struct unpack u;
    unpack_init(&u, bytes, n);
    return u;
}

static void integers_in_every_form(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        int64_t want;
    } rows[] = {
        {"\x00", 1, 0},
        {"\x7f", 1, 127},
        {"\xff", 1, -1},
        {"\xe0", 1, -32},
        {"\xcc\xff", 2, 255},
        {"\xcd\x01\x00", 3, 256},
        {"\xce\xff\xff\xff\xff", 5, UINT32_MAX},
        {"\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", 9, INT64_MAX},
        {"\xd0\x80", 2, -128},
        {"\xd0\x05", 2, 5},
        {"\xd1\x80\x00", 3, -32768},
        {"\xd2\x80\x00\x00\x00", 5, INT32_MIN},
        {"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9, INT64_MIN},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct unpack u = over(rows[i].bytes, rows[i].n);
        assert_int_equal(unpack_peek(&u), UNPACK_INT);
        assert_true(unpack_i64(&u) == rows[i].want);
        assert_true(unpack_finished(&u));
        u = over(rows[i].bytes, rows[i].n);
        uint64_t v = unpack_u64(&u);
        assert_int_equal(unpack_ok(&u), rows[i].want >= 0);
        assert_true(v == (rows[i].want >= 0 ? (uint64_t)rows[i].want : 0));
        u = over(rows[i].bytes, rows[i].n);
        assert_true(unpack_f64(&u) == (double)rows[i].want);
        if (rows[i].n > 1) {
            u = over(rows[i].bytes, rows[i].n - 1);
            unpack_i64(&u);
            assert_false(unpack_ok(&u));
        }
    }
    struct unpack u = over("\xcf\x80\x00\x00\x00\x00\x00\x00\x00", 9);
    unpack_i64(&u);
    assert_false(unpack_ok(&u)); /* above INT64_MAX */
    u = over("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9);
    assert_true(unpack_u64(&u) == UINT64_MAX && unpack_ok(&u));
}

static void what_is_packed_is_read(void **state)
{
    struct buf b;
    struct unpack u;
    char long_text[70000];
    (void)state;
    memset(long_text, 'x', sizeof long_text);
    buf_init(&b, 0);
    pack_array(&b, 9);
    pack_f64(&b, -0.5);
    pack_bool(&b, true);
    pack_nil(&b);
    pack_cstr(&b, NULL);
    pack_str(&b, (struct span){long_text, sizeof long_text});
    pack_bin(&b, (struct span){long_text, 300});
    pack_bin(&b, SPAN(""));
    pack_map(&b, 20);
    for (int i = 0; i < 20; i++) {
        pack_i64(&b, -i * 1000);
        pack_u64(&b, UINT64_MAX);
    }
    pack_array(&b, 0);
    assert_true(buf_ok(&b));
    unpack_init(&u, b.data, b.len);
    assert_int_equal(unpack_array(&u), 9);
    assert_true(unpack_f64(&u) == -0.5);
    assert_true(unpack_bool(&u));
    assert_null(unpack_str(&u).p);
    assert_null(unpack_bin(&u).p);
    assert_int_equal(unpack_str(&u).len, sizeof long_text);
    assert_int_equal(unpack_bin(&u).len, 300);
    struct span empty = unpack_bin(&u);
    assert_true(empty.p != NULL && empty.len == 0);
    assert_int_equal(unpack_map(&u), 20);
    unpack_skip_n(&u, 40);
    assert_int_equal(unpack_array(&u), 0);
    assert_true(unpack_finished(&u));

    unpack_init(&u, b.data, b.len);
    struct span raw = unpack_raw(&u);
    assert_ptr_equal(raw.p, b.data);
    assert_int_equal(raw.len, b.len);
    /* no prefix is a whole value */
    for (size_t n = 0; n < b.len; n += n < 100 || n > b.len - 400 ? 1 : 997) {
        unpack_init(&u, b.data, n);
        unpack_skip(&u);
        assert_false(unpack_finished(&u));
    }
    buf_done(&b);
}

static void lies_about_lengths(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
    } rows[] = {
        {"\xdd\xff\xff\xff\xff", 5},
        {"\xdf\xff\xff\xff\xff", 5},
        {"\xdb\xff\xff\xff\xff"
         "abc",
         8},
        {"\xc6\xff\xff\xff\xff"
         "abc",
         8},
        {"\xdc\x00\x02\x01", 4},
        {"\x92\x01", 2},
        {"\x82\x01\x02\x03", 4},
        {"\xa5"
         "abc",
         4},
        {"\xd9", 1},
        {"\xcb\x00", 2},
        {"\xc1", 1},
        {"\xd4\x00\x00", 3}, /* ext: not used */
        {"\xc7\x00\x00", 3},
        {"", 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct unpack u = over(rows[i].bytes, rows[i].n);
        unpack_skip(&u);
        if (unpack_ok(&u))
            fail_msg("row %zu is accepted", i);
        /* and a failure sticks */
        assert_int_equal(unpack_peek(&u), UNPACK_NONE);
        assert_int_equal(unpack_u64(&u), 0);
        assert_null(unpack_str(&u).p);
        assert_null(unpack_raw(&u).p);
        assert_false(unpack_finished(&u));
    }
}

static void wrong_types_fail(void **state)
{
    struct unpack u = over("\xa1x", 2);
    (void)state;
    unpack_u64(&u);
    assert_false(unpack_ok(&u));
    u = over("\x01", 1);
    unpack_str(&u);
    assert_false(unpack_ok(&u));
    u = over("\xc4\x01x", 3);
    unpack_str(&u); /* bin is no text */
    assert_false(unpack_ok(&u));
    u = over("\x90", 1);
    unpack_map(&u);
    assert_false(unpack_ok(&u));
    u = over("\xc0", 1);
    unpack_bool(&u);
    assert_false(unpack_ok(&u));
}

static void depth_is_limited(void **state)
{
    char deep[UNPACK_DEPTH_MAX + 10];
    (void)state;
    memset(deep, '\x91', sizeof deep);
    for (size_t depth = UNPACK_DEPTH_MAX - 2; depth < UNPACK_DEPTH_MAX + 5; depth++) {
        deep[depth] = '\xc0';
        struct unpack u = over(deep, depth + 1);
        unpack_skip(&u);
        assert_int_equal(unpack_ok(&u), depth <= UNPACK_DEPTH_MAX);
        deep[depth] = '\x91';
    }
}

static void tuples(void **state)
{
    size_t extra = 7;
    struct unpack u = over("\x93\x01\x02\x03", 4);
    (void)state;
    unpack_tuple(&u, 2, &extra);
    assert_int_equal(extra, 1);
    u = over("\x93\x01\x02\x03", 4);
    unpack_tuple(&u, 4, &extra);
    assert_false(unpack_ok(&u));
    assert_int_equal(extra, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_in_every_form), cmocka_unit_test(what_is_packed_is_read),
        cmocka_unit_test(lies_about_lengths),     cmocka_unit_test(wrong_types_fail),
        cmocka_unit_test(depth_is_limited),       cmocka_unit_test(tuples),
    };
    return cmocka_run_group_tests_name("unpack", tests, NULL, NULL);
}
