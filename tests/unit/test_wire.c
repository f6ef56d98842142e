/* The messages: byte examples that Python made, hostile lengths, cut and changed messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>

#include "common/arena.h"
#include "common/pack.h"
#include "common/unpack.h"
#include "common/wire.h"

static json_t *load_vectors(void)
{
    char path[4096];
    const char *root = getenv("DROVER_SOURCE_ROOT");
    json_error_t why;
    snprintf(path, sizeof path, "%s/tests/vectors/messages.json", root ? root : ".");
    json_t *document = json_load_file(path, 0, &why);
    if (!document)
        fail_msg("%s: %s", path, why.text);
    return document;
}

static size_t from_hex(const char *hex, uint8_t *out, size_t max)
{
    size_t n = strlen(hex) / 2;
    assert_true(n <= max);
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
    return n;
}

/* Reads a whole message and packs what was read again. */
static int through(struct span message, struct buf *out)
{
    struct wire_frame f;
    struct arena arena;
    struct error e = {0};
    struct span text = {NULL, 0};
    uint64_t number = 0;
    uint32_t code = 0;
    size_t n = 0;
    bool on = false;
    union {
        struct wire_hello hello;
        struct wire_welcome welcome;
        struct wire_credit credit;
        struct wire_assign assign;
        struct wire_result *results;
        struct wire_verdict *verdicts;
        struct wire_heartbeat heartbeat;
        struct wire_breaker *breakers;
        struct wire_calls *calls;
        struct wire_sink sink;
        struct wire_token *tokens;
        struct wire_blob_ask ask;
        struct wire_predict predict;
        struct wire_predicted predicted;
        struct wire_blob_answer answer;
        struct wire_request request;
        struct wire_error error;
    } m;
    int rc = wire_frame_read(message, &f, &e);
    if (rc)
        return rc;
    arena_init(&arena, 64 * 1024 * 1024);
    wire_frame_pack(out, &f);
    switch (f.type) {
    case WIRE_HELLO:
        rc = wire_hello_read(f.body, &arena, &m.hello, &e);
        if (rc == ERR_OK)
            wire_hello_pack(out, &m.hello);
        break;
    case WIRE_WELCOME:
        rc = wire_welcome_read(f.body, &m.welcome, &e);
        if (rc == ERR_OK)
            wire_welcome_pack(out, &m.welcome);
        break;
    case WIRE_REFUSE:
        rc = wire_refuse_read(f.body, &code, &text, &e);
        if (rc == ERR_OK) {
            char detail[1000];
            snprintf(detail, sizeof detail, "%.*s", (int)text.len, text.p);
            wire_refuse_pack(out, (enum err)code, detail);
        }
        break;
    case WIRE_CREDIT:
        rc = wire_credit_read(f.body, &m.credit, &e);
        if (rc == ERR_OK)
            wire_credit_pack(out, &m.credit);
        break;
    case WIRE_ASSIGN:
        rc = wire_assign_read(f.body, &arena, &m.assign, &e);
        if (rc == ERR_OK)
            wire_assign_pack(out, &m.assign);
        break;
    case WIRE_RESULT:
        rc = wire_results_read(f.body, &arena, &m.results, &n, &e);
        if (rc == ERR_OK)
            pack_array(out, n);
        for (size_t i = 0; rc == ERR_OK && i < n; i++)
            wire_result_pack(out, &m.results[i]);
        break;
    case WIRE_RESULT_ACK:
    case WIRE_REVOKE:
        rc = wire_verdicts_read(f.body, &arena, &m.verdicts, &n, &e);
        if (rc == ERR_OK)
            wire_verdicts_pack(out, m.verdicts, n);
        break;
    case WIRE_HEARTBEAT:
        if (f.body.len == 1) { /* the coordinator's */
            pack_array(out, 0);
            break;
        }
        rc = wire_heartbeat_read(f.body, &arena, &m.heartbeat, &e);
        if (rc == ERR_OK)
            wire_heartbeat_pack(out, &m.heartbeat);
        break;
    case WIRE_BREAKER:
        rc = wire_breakers_read(f.body, &arena, &m.breakers, &n, &e);
        if (rc == ERR_OK)
            wire_breakers_pack(out, m.breakers, n);
        break;
    case WIRE_CALLS:
        rc = wire_calls_read(f.body, &arena, &m.calls, &n, &e);
        if (rc == ERR_OK)
            wire_calls_pack(out, m.calls, n);
        break;
    case WIRE_SINK:
        rc = wire_sink_read(f.body, &arena, &m.sink, &e);
        if (rc == ERR_OK)
            wire_sink_pack(out, &m.sink);
        break;
    case WIRE_BEGUN:
        rc = wire_begun_read(f.body, &arena, &m.tokens, &n, &e);
        if (rc == ERR_OK)
            wire_begun_pack(out, m.tokens, n);
        break;
    case WIRE_PREDICT:
        rc = wire_predict_read(f.body, &m.predict, &e);
        if (rc == ERR_OK)
            wire_predict_pack(out, &m.predict);
        break;
    case WIRE_PREDICTED:
        rc = wire_predicted_read(f.body, &m.predicted, &e);
        if (rc == ERR_OK)
            wire_predicted_pack(out, &m.predicted);
        break;
    case WIRE_BLOB: /* both directions have it; the answer is longer */
        rc = wire_blob_answer_read(f.body, &m.answer, &e);
        if (rc == ERR_OK) {
            wire_blob_answer_pack(out, &m.answer);
            break;
        }
        rc = wire_blob_ask_read(f.body, &m.ask, &e);
        if (rc == ERR_OK)
            wire_blob_ask_pack(out, &m.ask);
        break;
    case WIRE_DRAIN:
        rc = wire_drain_read(f.body, &on, &e);
        if (rc == ERR_OK)
            wire_drain_pack(out, on);
        break;
    case WIRE_BYE:
    case WIRE_RESYNC:
        rc = wire_reason_read(f.body, &text, &e);
        if (rc == ERR_OK) {
            char reason[1000];
            snprintf(reason, sizeof reason, "%.*s", (int)text.len, text.p);
            wire_reason_pack(out, reason);
        }
        break;
    case WIRE_REQUEST:
        rc = wire_request_read(f.body, &m.request, &e);
        if (rc == ERR_OK) {
            char verb[1000];
            snprintf(verb, sizeof verb, "%.*s", (int)m.request.verb.len, m.request.verb.p);
            wire_request_begin(out, verb);
            buf_append(out, m.request.args.p, m.request.args.len);
        }
        break;
    case WIRE_REPLY:
        rc = wire_reply_read(f.body, &number, &text, &e);
        if (rc == ERR_OK) {
            wire_reply_begin(out, number);
            buf_append(out, text.p, text.len);
        }
        break;
    case WIRE_ERROR:
        rc = wire_error_read(f.body, &m.error, &e);
        if (rc == ERR_OK)
            wire_error_pack(out, &m.error);
        break;
    default:
        rc = ERR_MALFORMED;
    }
    if (rc && !e.detail[0] && f.type >= WIRE_HELLO && f.type <= WIRE_RESYNC)
        fail_msg("type %u: an error without a detail", (unsigned)f.type);
    arena_done(&arena);
    return rc;
}

static void vectors_come_back(void **state)
{
    json_t *document = load_vectors(), *row;
    uint8_t bytes[4096];
    unsigned seen = 0;
    size_t i;
    (void)state;
    json_array_foreach(json_object_get(document, "messages"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));
        size_t n = from_hex(json_string_value(json_object_get(row, "hex")), bytes, sizeof bytes);
        struct buf out;
        buf_init(&out, 0);
        int rc = through((struct span){(char *)bytes, n}, &out);
        if (rc)
            fail_msg("%s is not read: %s", name, err_name((enum err)rc));
        if (out.len != n || memcmp(out.data, bytes, n) != 0)
            fail_msg("%s is packed otherwise than Python packs it", name);
        buf_done(&out);
        seen |= 1u << (bytes[2] & 31);
    }
    /* all of types 1 to 19, and 32 to 34 (their low bits: 0 to 2) */
    assert_int_equal(seen, 0xFFFFF);
    json_decref(document);
}

/* Every prefix is refused, and no change of a byte crashes (the sanitizers watch). */
static void cut_and_changed_vectors_are_refused(void **state)
{
    json_t *document = load_vectors(), *row;
    uint8_t bytes[4096];
    size_t i;
    (void)state;
    json_array_foreach(json_object_get(document, "messages"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));
        size_t n = from_hex(json_string_value(json_object_get(row, "hex")), bytes, sizeof bytes);
        struct buf out;
        buf_init(&out, 0);
        for (size_t cut = 0; cut < n; cut++) {
            uint8_t *copy = malloc(cut + 1); /* its own block, so that reading beyond is seen */
            memcpy(copy, bytes, cut);
            buf_clear(&out);
            if (through((struct span){(char *)copy, cut}, &out) == ERR_OK)
                fail_msg("%s cut to %zu bytes is accepted", name, cut);
            free(copy);
        }
        for (size_t at = 0; at < n; at++) {
            for (unsigned v = 0; v < 256; v++) {
                uint8_t was = bytes[at];
                bytes[at] = (uint8_t)v;
                buf_clear(&out);
                (void)!through((struct span){(char *)bytes, n}, &out);
                bytes[at] = was;
            }
        }
        buf_done(&out);
    }
    json_decref(document);
}

/* A newer peer adds elements at the end of envelope and body. */
static void elements_added_by_newer_versions_are_skipped(void **state)
{
    struct buf out;
    struct wire_frame f = {.version = 1, .type = WIRE_CREDIT, .epoch = 3, .session = 4, .seq = 5};
    struct wire_credit credit = {0};
    (void)state;
    buf_init(&out, 0);
    pack_array(&out, 9);
    for (unsigned i = 0; i < 6; i++)
        pack_u64(&out, i == 0 ? 1 : i == 1 ? WIRE_CREDIT : i);
    pack_array(&out, 4);
    pack_u64(&out, 10);
    pack_u64(&out, 20);
    pack_cstr(&out, "new");
    pack_map(&out, 1);
    pack_cstr(&out, "k");
    pack_nil(&out);
    pack_cstr(&out, "after the body");
    pack_array(&out, 0);
    assert_int_equal(wire_frame_read(buf_span(&out), &f, NULL), ERR_OK);
    assert_int_equal(wire_credit_read(f.body, &credit, NULL), ERR_OK);
    assert_int_equal(credit.tasks, 10);
    assert_int_equal(credit.bytes, 20);
    buf_done(&out);
}

static void versions_that_are_not_served(void **state)
{
    static const struct {
        uint64_t version;
        int rc;
    } rows[] = {{0, ERR_PROTOCOL_MISMATCH},
                {1, ERR_OK},
                {2, ERR_PROTOCOL_MISMATCH},
                {UINT64_MAX, ERR_PROTOCOL_MISMATCH}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_frame in = {.version = rows[i].version, .type = WIRE_BYE, .seq = 9}, f = {0};
        struct buf out;
        buf_init(&out, 0);
        wire_frame_pack(&out, &in);
        wire_reason_pack(&out, "x");
        assert_int_equal(wire_frame_read(buf_span(&out), &f, NULL), rows[i].rc);
        assert_int_equal(f.seq, 9); /* filled in, so that it can be answered */
        buf_done(&out);
    }
}

/* A few bytes that declare millions of elements must not make us allocate for them. */
static void false_counts_cost_nothing(void **state)
{
    struct arena arena;
    struct wire_result *results;
    struct wire_verdict *verdicts;
    struct wire_assign assign;
    size_t n;
    uint8_t *many = calloc(1, 2 * 1024 * 1024);
    (void)state;
    memcpy(many, "\xdd\x00\x10\x00\x00", 5); /* array of 1,048,576 elements that are all there */
    struct span body = {(char *)many, 2 * 1024 * 1024};
    arena_init(&arena, 0);
    assert_int_equal(wire_results_read(body, &arena, &results, &n, NULL), ERR_MALFORMED);
    assert_int_equal(wire_verdicts_read(body, &arena, &verdicts, &n, NULL), ERR_MALFORMED);
    assert_int_equal(wire_assign_read(body, &arena, &assign, NULL), ERR_MALFORMED);
    assert_true(arena.used_bytes < 4096);
    body.len = 5;
    assert_int_equal(wire_results_read(body, &arena, &results, &n, NULL), ERR_MALFORMED);
    arena_done(&arena);
    free(many);
}

static void tasks_in_a_message_are_limited(void **state)
{
    struct wire_verdict v[WIRE_TASKS_MAX + 1];
    struct wire_verdict *got;
    struct arena arena;
    size_t n = 0;
    (void)state;
    memset(v, 0, sizeof v);
    arena_init(&arena, 0);
    for (size_t count = WIRE_TASKS_MAX; count <= WIRE_TASKS_MAX + 1; count++) {
        struct buf out;
        buf_init(&out, 0);
        wire_verdicts_pack(&out, v, count);
        int rc = wire_verdicts_read(buf_span(&out), &arena, &got, &n, NULL);
        assert_int_equal(rc, count > WIRE_TASKS_MAX ? ERR_MALFORMED : ERR_OK);
        buf_done(&out);
    }
    arena_done(&arena);
}

/* Packs a result with the given error text and says what comes back. */
static void check_text(const char *in, size_t len, const char *want)
{
    struct wire_result m = {.token = {1, 2, 3}, .outcome = WIRE_FAIL, .error = {in, len}}, *got;
    struct arena arena;
    struct buf out;
    size_t n;
    arena_init(&arena, 0);
    buf_init(&out, 0);
    pack_array(&out, 1);
    wire_result_pack(&out, &m);
    assert_int_equal(wire_results_read(buf_span(&out), &arena, &got, &n, NULL), ERR_OK);
    assert_int_equal(got->error.len, strlen(want));
    assert_memory_equal(got->error.p, want, strlen(want));
    buf_done(&out);
    arena_done(&arena);
}

/* A detail that was cut inside a character must not make the whole message unreadable. */
static void text_that_is_not_utf8_is_mended(void **state)
{
    (void)state;
    check_text("caf\xc3\xa9", 5, "caf\xc3\xa9");
    check_text("caf\xc3", 4, "caf?");
    check_text("\xff\xc3\xa9\xfe", 4, "?\xc3\xa9?");
    check_text("\xe2\x82", 2, "??");
    check_text("", 0, "");
}

static void hello_is_checked(void **state)
{
    static const struct {
        const char *name, *worker;
        size_t boot_len;
        bool good;
    } rows[] = {
        {"plain", "worker-7.example_A", 16, true},
        {"empty id", "", 16, false},
        {"blank in id", "a b", 16, false},
        {"slash in id", "a/b", 16, false},
        {"64 characters", "0123456789012345678901234567890123456789012345678901234567890123", 16,
         true},
        {"65 characters", "01234567890123456789012345678901234567890123456789012345678901234", 16,
         false},
        {"short boot id", "w", 15, false},
        {"no boot id", "w", 0, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_hello m = {.version_min = 1,
                               .version_max = 1,
                               .worker = span_str(rows[i].worker),
                               .boot = {"0123456789abcdef", rows[i].boot_len},
                               .version = SPAN("0.1.0"),
                               .host = SPAN("h")};
        struct wire_hello got;
        struct arena arena;
        struct buf out;
        buf_init(&out, 0);
        arena_init(&arena, 0);
        wire_hello_pack(&out, &m);
        int rc = wire_hello_read(buf_span(&out), &arena, &got, NULL);
        if ((rc == ERR_OK) != rows[i].good)
            fail_msg("%s: %s", rows[i].name, err_name((enum err)rc));
        buf_done(&out);
        arena_done(&arena);
    }
}

/* n_rejects must be the length of the array: it goes into counters without being looked at again. */
static void count_of_rejects_is_checked(void **state)
{
    (void)state;
    for (uint32_t declared = 0; declared < 3; declared++) {
        struct wire_result m = {.rejects = SPAN("\x91\x93\xa1u\xa1r\xc0"), .n_rejects = declared};
        struct wire_result *got;
        struct arena arena;
        struct buf out;
        size_t n;
        arena_init(&arena, 0);
        buf_init(&out, 0);
        pack_array(&out, 1);
        wire_result_pack(&out, &m);
        assert_int_equal(wire_results_read(buf_span(&out), &arena, &got, &n, NULL),
                         declared == 1 ? ERR_OK : ERR_MALFORMED);
        buf_done(&out);
        arena_done(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_come_back),
        cmocka_unit_test(cut_and_changed_vectors_are_refused),
        cmocka_unit_test(elements_added_by_newer_versions_are_skipped),
        cmocka_unit_test(versions_that_are_not_served),
        cmocka_unit_test(false_counts_cost_nothing),
        cmocka_unit_test(tasks_in_a_message_are_limited),
        cmocka_unit_test(text_that_is_not_utf8_is_mended),
        cmocka_unit_test(hello_is_checked),
        cmocka_unit_test(count_of_rejects_is_checked),
    };
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
