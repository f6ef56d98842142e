/* Parts of an answer on their way to the task that brings them together: questions and answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/parts.h"

static struct wire_blob_ask asked(struct parts_list *l, uint64_t now_ms)
{
    struct wire_blob_ask ask = {0};
    assert_true(parts_ask(l, now_ms, &ask));
    assert_int_equal(ask.what, WIRE_BLOB_PARTS);
    assert_int_equal(ask.max, PARTS_ASK_BYTES);
    assert_int_equal(ask.name.len, 8);
    return ask;
}

static bool asks(struct parts_list *l, uint64_t now_ms)
{
    struct wire_blob_ask ask;
    return parts_ask(l, now_ms, &ask);
}

static void answer(struct parts_list *l, const struct wire_blob_ask *ask, const char *data,
                   uint64_t next, uint64_t total)
{
    parts_answer(l, 1000,
                 &(struct wire_blob_answer){.what = ask->what,
                                            .name = ask->name,
                                            .offset = ask->offset,
                                            .next = next,
                                            .total = total,
                                            .data = span_str(data)});
}

static void refuse(struct parts_list *l, const struct wire_blob_ask *ask, enum err code,
                   const char *detail)
{
    parts_answer(l, 1000,
                 &(struct wire_blob_answer){.what = ask->what,
                                            .name = ask->name,
                                            .offset = ask->offset,
                                            .code = (uint32_t)code,
                                            .detail = span_str(detail)});
}

static void answers_come_one_after_the_other(void **state UNUSED)
{
    struct parts_list l = {0};
    struct parts *p = parts_new(&l, 0x0102030405060708);
    struct wire_blob_ask ask = asked(&l, 0);
    assert_memory_equal(ask.name.p, "\1\2\3\4\5\6\7\10", 8);
    assert_int_equal(ask.offset, 0);
    assert_false(asks(&l, 0)); /* one at a time */
    answer(&l, &ask, "abc", 7, UINT64_MAX);
    assert_int_equal(p->state, PARTS_WAITING);
    ask = asked(&l, 0);
    assert_int_equal(ask.offset, 7);
    answer(&l, &ask, "de", 9, UINT64_MAX);
    ask = asked(&l, 0);
    answer(&l, &ask, "", 9, 9); /* nothing more: that is how the end is told */
    assert_int_equal(p->state, PARTS_READY);
    assert_true(span_eq(buf_span(&p->bytes), SPAN("abcde")));
    assert_false(asks(&l, 0));
    assert_int_equal(parts_deadline(&l), UINT64_MAX);
    parts_free(&l, p);
    assert_null(l.first);
}

/* An answer that comes twice, or late, changes nothing. */
static void answers_to_other_questions_are_not_taken(void **state UNUSED)
{
    struct parts_list l = {0};
    struct parts *p = parts_new(&l, 1);
    const struct wire_blob_ask first = asked(&l, 0);
    answer(&l, &first, "abc", 5, UINT64_MAX);
    answer(&l, &first, "abc", 5, UINT64_MAX);
    struct wire_blob_ask ask = asked(&l, 0);
    answer(&l, &first, "abc", 5, UINT64_MAX);
    assert_int_equal(p->bytes.len, 3);
    struct wire_blob_ask other = ask;
    other.name = SPAN("\0\0\0\0\0\0\0\2");
    answer(&l, &other, "xyz", 9, 9);
    assert_int_equal(p->state, PARTS_WAITING);
    assert_int_equal(p->bytes.len, 3);
    parts_free(&l, p);
}

static void a_question_without_an_answer_is_asked_in_the_next_session(void **state UNUSED)
{
    struct parts_list l = {0};
    struct parts *p = parts_new(&l, 1);
    const struct wire_blob_ask ask = asked(&l, 0);
    answer(&l, &ask, "abc", 5, UINT64_MAX);
    (void)asked(&l, 0);
    parts_session(&l);
    assert_int_equal(asked(&l, 0).offset, 5);
    parts_free(&l, p);
}

static void refusals(void **state UNUSED)
{
    struct parts_list l = {0};
    struct parts *later = parts_new(&l, 1);
    struct wire_blob_ask ask = asked(&l, 0);
    refuse(&l, &ask, ERR_UNAVAILABLE, "not now");
    assert_int_equal(later->state, PARTS_WAITING);
    assert_int_equal(parts_deadline(&l), 1000 + PARTS_PAUSE_MS);
    assert_false(asks(&l, 1000 + PARTS_PAUSE_MS - 1));
    ask = asked(&l, 1000 + PARTS_PAUSE_MS);
    refuse(&l, &ask, ERR_NOT_FOUND, "there is no job 1");
    assert_int_equal(later->state, PARTS_FAILED);
    assert_int_equal(later->error.code, ERR_NOT_FOUND);
    assert_string_equal(later->error.detail, "there is no job 1");
    parts_free(&l, later);
}

static void too_much_names_the_limit(void **state UNUSED)
{
    struct parts_list l = {0};
    struct parts *p = parts_new(&l, 1);
    const struct wire_blob_ask ask = asked(&l, 0);
    buf_done(&p->bytes);
    buf_init(&p->bytes, 4); /* a small one, for the test */
    answer(&l, &ask, "abcde", 5, UINT64_MAX);
    assert_int_equal(p->state, PARTS_FAILED);
    assert_int_equal(p->error.code, ERR_LIMIT);
    assert_non_null(strstr(p->error.detail, "268435456 bytes"));
    parts_free(&l, p);
}

static void several_tasks_ask_in_turn(void **state UNUSED)
{
    struct parts_list l = {0};
    struct parts *a = parts_new(&l, 1), *b = parts_new(&l, 2), *c = parts_new(&l, 3);
    const struct wire_blob_ask one = asked(&l, 0), two = asked(&l, 0), three = asked(&l, 0);
    assert_false(span_eq(one.name, two.name) || span_eq(two.name, three.name));
    assert_false(asks(&l, 0));
    parts_free(&l, b); /* from the middle */
    parts_free(&l, NULL);
    parts_session(&l);
    assert_true(asks(&l, 0) && asks(&l, 0) && !asks(&l, 0));
    parts_free(&l, a);
    parts_free(&l, c);
    assert_null(l.first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_come_one_after_the_other),
        cmocka_unit_test(answers_to_other_questions_are_not_taken),
        cmocka_unit_test(a_question_without_an_answer_is_asked_in_the_next_session),
        cmocka_unit_test(refusals),
        cmocka_unit_test(too_much_names_the_limit),
        cmocka_unit_test(several_tasks_ask_in_turn),
    };
    return cmocka_run_group_tests_name("parts", tests, NULL, NULL);
}
