/* The worker's side of a session: what it says when, and what it makes of what it hears. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "worker/uplink.h"

enum { T0 = 1000000, LEASE = 3000, BEAT = 500 };

static struct uplink u;
static struct arena arena;
static struct buf out;
static struct uplink_event ev;

static void begin(void)
{
    const struct uplink_config config = {
        .worker = "w1", .host = "h", .version = "0", .kinds = 8, .slots = 4, .seed = 7};
    uplink_init(&u, &config, T0);
    buf_clear(&out);
    arena_clear(&arena);
}

/* A message of the coordinator; body(out) packs the body. */
static struct span message(enum wire_type type, uint64_t epoch, uint64_t session, uint64_t seq,
                           uint64_t ack)
{
    buf_clear(&out);
    wire_frame_pack(&out, &(struct wire_frame){WIRE_VERSION, type, epoch, session, seq, ack, {0}});
    switch (type) {
    case WIRE_WELCOME:
        wire_welcome_pack(&out, &(struct wire_welcome){1, LEASE, BEAT, false});
        break;
    case WIRE_REFUSE:
        wire_refuse_pack(&out, ERR_AUTH, "no");
        break;
    case WIRE_DRAIN:
        wire_drain_pack(&out, true);
        break;
    case WIRE_BYE:
    case WIRE_RESYNC:
        wire_reason_pack(&out, "why");
        break;
    case WIRE_ASSIGN:
        wire_assign_pack(&out, &(struct wire_assign){0});
        break;
    case WIRE_RESULT_ACK:
    case WIRE_REVOKE:
        wire_verdicts_pack(&out, NULL, 0);
        break;
    default:
        buf_byte(&out, 0x90); /* an empty array */
    }
    return buf_span(&out);
}

static enum uplink_event_type receive(struct span m, uint64_t now)
{
    struct error e = {0};
    const int rc = uplink_receive(&u, m, now, &arena, &ev, &e);
    assert_true(rc == ERR_OK || ev.type == UPLINK_EV_DOWN);
    return ev.type;
}

static void greet(uint64_t now)
{
    assert_int_equal(uplink_due(&u, now), UPLINK_DUE_HELLO);
    buf_clear(&out);
    uplink_hello(&u, NULL, 0, &out);
    uplink_greeted(&u, now);
}

static void up(void)
{
    begin();
    greet(T0);
    assert_int_equal(receive(message(WIRE_WELCOME, 5, 77, 1, 1), T0 + 10), UPLINK_EV_WELCOME);
}

static void hello_names_the_worker_and_what_it_holds(void **state UNUSED)
{
    struct wire_frame f;
    struct wire_hello m;
    struct error e = {0};
    const struct wire_token held[] = {{1, 4, 2}, {9, 5, 3}};
    begin();
    uplink_hello(&u, held, 2, &out);
    assert_int_equal(wire_frame_read(buf_span(&out), &f, &e), ERR_OK);
    assert_int_equal(f.type, WIRE_HELLO);
    assert_int_equal(f.seq, 1);
    assert_int_equal(f.session, 0);
    assert_int_equal(wire_hello_read(f.body, &arena, &m, &e), ERR_OK);
    assert_true(span_eq(m.worker, SPAN("w1")));
    assert_int_equal(m.n_held, 2);
    assert_int_equal(m.held[1].counter, 3);
    assert_int_equal(m.slots, 4);
}

static void welcome_begins_a_session(void **state UNUSED)
{
    up();
    assert_int_equal(u.state, UPLINK_UP);
    assert_int_equal(u.id, 77);
    assert_int_equal(uplink_due(&u, T0 + 10), UPLINK_DUE_HEARTBEAT);
    struct wire_frame f;
    struct error e = {0};
    buf_clear(&out);
    uplink_begin(&u, WIRE_HEARTBEAT, &out);
    buf_byte(&out, 0x90);
    assert_int_equal(wire_frame_read(buf_span(&out), &f, &e), ERR_OK);
    assert_int_equal(f.epoch, 5);
    assert_int_equal(f.session, 77);
    assert_int_equal(f.seq, 2);
    assert_int_equal(f.ack_seq, 1);
    uplink_sent(&u, WIRE_HEARTBEAT, T0 + 10);
    assert_int_equal(uplink_due(&u, T0 + 10), UPLINK_DUE_NOTHING);
    assert_int_equal(uplink_deadline(&u), T0 + 10 + BEAT);
}

static void what_ends_a_session(void **state UNUSED)
{
    static const struct {
        const char *name;
        enum wire_type type;
        uint64_t epoch, session, seq;
        enum uplink_event_type event;
    } rows[] = {
        {"the next message", WIRE_HEARTBEAT, 5, 77, 2, UPLINK_EV_NONE},
        {"an assignment", WIRE_ASSIGN, 5, 77, 2, UPLINK_EV_ASSIGN},
        {"an acknowledgement", WIRE_RESULT_ACK, 5, 77, 2, UPLINK_EV_ACK},
        {"a revocation", WIRE_REVOKE, 5, 77, 2, UPLINK_EV_REVOKE},
        {"a drain", WIRE_DRAIN, 5, 77, 2, UPLINK_EV_DRAIN},
        {"what a newer coordinator may say", 30, 5, 77, 2, UPLINK_EV_NONE},
        {"a gap", WIRE_HEARTBEAT, 5, 77, 3, UPLINK_EV_DOWN},
        {"a message twice", WIRE_HEARTBEAT, 5, 77, 1, UPLINK_EV_DOWN},
        {"another session", WIRE_ASSIGN, 5, 76, 2, UPLINK_EV_NONE},
        {"another epoch", WIRE_ASSIGN, 4, 77, 2, UPLINK_EV_NONE},
        {"RESYNC", WIRE_RESYNC, 5, 77, 2, UPLINK_EV_DOWN},
        {"RESYNC of one who knows no session", WIRE_RESYNC, 6, 77, 1, UPLINK_EV_DOWN},
        {"RESYNC without a session", WIRE_RESYNC, 6, 0, 1, UPLINK_EV_DOWN},
        {"RESYNC of an earlier session", WIRE_RESYNC, 5, 70, 2, UPLINK_EV_NONE},
        {"BYE", WIRE_BYE, 5, 77, 2, UPLINK_EV_DOWN},
        {"WELCOME again", WIRE_WELCOME, 5, 77, 2, UPLINK_EV_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        up();
        const struct span m = message(rows[i].type, rows[i].epoch, rows[i].session, rows[i].seq, 1);
        if (receive(m, T0 + 20) != rows[i].event)
            fail_msg("%s: event %d", rows[i].name, (int)ev.type);
        const enum uplink_state want = rows[i].event == UPLINK_EV_DOWN ? UPLINK_DOWN : UPLINK_UP;
        if (u.state != want)
            fail_msg("%s: state %d", rows[i].name, (int)u.state);
    }
}

static void messages_that_cannot_be_read_end_it(void **state UNUSED)
{
    static const struct span rows[] = {{"", 0},
                                       {"\xc1", 1},
                                       {"\x97\x01\x05", 3},
                                       {"\x97\x01\x05\x05\x4d\x02\x01\xdd\xff\xff\xff\xff", 12}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct error e = {0};
        up();
        assert_int_not_equal(uplink_receive(&u, rows[i], T0 + 20, &arena, &ev, &e), ERR_OK);
        assert_int_equal(ev.type, UPLINK_EV_DOWN);
        assert_int_equal(u.state, UPLINK_DOWN);
    }
}

static void greeting_hears_only_the_answer(void **state UNUSED)
{
    begin();
    greet(T0);
    assert_int_equal(receive(message(WIRE_RESYNC, 5, 70, 9, 1), T0 + 1), UPLINK_EV_NONE);
    assert_int_equal(receive(message(WIRE_ASSIGN, 5, 70, 9, 1), T0 + 1), UPLINK_EV_NONE);
    assert_int_equal(u.state, UPLINK_GREETING);
    assert_int_equal(receive(message(WIRE_REFUSE, 5, 0, 1, 1), T0 + 1), UPLINK_EV_REFUSED);
    assert_int_equal(ev.code, ERR_AUTH);
    assert_int_equal(uplink_due(&u, T0 + UPLINK_REFUSED_MS), UPLINK_DUE_NOTHING);
    assert_int_equal(uplink_due(&u, T0 + 3 * UPLINK_REFUSED_MS), UPLINK_DUE_RELINK);
}

static void no_welcome_means_a_new_socket(void **state UNUSED)
{
    begin();
    greet(T0);
    assert_int_equal(uplink_due(&u, T0 + UPLINK_WELCOME_MS - 1), UPLINK_DUE_NOTHING);
    uint64_t now = T0 + UPLINK_WELCOME_MS + UPLINK_BACKOFF_MAX_MS;
    assert_int_equal(uplink_due(&u, now), UPLINK_DUE_RELINK);
    uplink_relinked(&u, now);
    greet(now);
    assert_true(uplink_deadline(&u) >= now + UPLINK_WELCOME_MS);
    /* The time between the attempts grows, and not without bound. */
    for (int i = 0; i < 40; i++) {
        now = uplink_deadline(&u);
        if (uplink_due(&u, now) == UPLINK_DUE_RELINK)
            uplink_relinked(&u, now);
        assert_true(uplink_deadline(&u) <= now + UPLINK_WELCOME_MS + UPLINK_BACKOFF_MAX_MS);
    }
}

static void without_a_connection_hello_waits(void **state UNUSED)
{
    begin();
    assert_int_equal(uplink_due(&u, T0), UPLINK_DUE_HELLO);
    uplink_unsent(&u, T0);
    assert_int_equal(uplink_due(&u, T0), UPLINK_DUE_NOTHING);
    assert_int_equal(uplink_due(&u, T0 + UPLINK_UNSENT_MIN_MS), UPLINK_DUE_HELLO);
    for (int i = 0; i < 10; i++)
        uplink_unsent(&u, T0);
    assert_int_equal(uplink_due(&u, T0 + UPLINK_BACKOFF_MIN_MS - 1), UPLINK_DUE_NOTHING);
    assert_int_equal(uplink_due(&u, T0 + UPLINK_BACKOFF_MIN_MS), UPLINK_DUE_HELLO);
}

static void silence_ends_it_after_a_lease(void **state UNUSED)
{
    up();
    uplink_sent(&u, WIRE_HEARTBEAT, T0 + 10);
    u.heartbeat_at_ms = T0 + 100 * LEASE;
    assert_int_equal(uplink_due(&u, T0 + 10 + LEASE - 1), UPLINK_DUE_NOTHING);
    assert_int_equal(uplink_due(&u, T0 + 10 + LEASE), UPLINK_DUE_SILENCE);
    assert_int_equal(u.state, UPLINK_DOWN);
    /* It begins anew with a new socket. */
    assert_int_equal(uplink_due(&u, T0 + 10 * LEASE), UPLINK_DUE_RELINK);
}

/* The lease counts from when a message was sent that the other side has read, not from when its
 * answer came: what the coordinator knows is older than what we hear. */
static void lease_counts_from_what_was_read(void **state UNUSED)
{
    up();
    assert_int_equal(uplink_lease_end(&u), T0 + LEASE); /* HELLO was sent at T0 */
    uplink_sent(&u, WIRE_HEARTBEAT, T0 + 400);          /* seq 2 */
    uplink_sent(&u, WIRE_RESULT, T0 + 700);             /* seq 3 */
    uplink_sent(&u, WIRE_HEARTBEAT, T0 + 900);          /* seq 4 */
    receive(message(WIRE_HEARTBEAT, 5, 77, 2, 1), T0 + 1000);
    assert_int_equal(uplink_lease_end(&u), T0 + LEASE);
    receive(message(WIRE_HEARTBEAT, 5, 77, 3, 3), T0 + 1100);
    assert_int_equal(uplink_lease_end(&u), T0 + 400 + LEASE);
    receive(message(WIRE_HEARTBEAT, 5, 77, 4, 4), T0 + 1200);
    assert_int_equal(uplink_lease_end(&u), T0 + 900 + LEASE);
    assert_true(uplink_lease_holds(&u, T0 + 900 + LEASE - 1));
    assert_false(uplink_lease_holds(&u, T0 + 900 + LEASE));
    /* Between sessions nothing is started, but the lease is still the old one. */
    uplink_down(&u, true, T0 + 1300);
    assert_false(uplink_lease_holds(&u, T0 + 1300));
    assert_int_equal(uplink_lease_end(&u), T0 + 900 + LEASE);
}

static void older_leases_wait_for_the_first_word(void **state UNUSED)
{
    up();
    assert_true(uplink_lease_holds(&u, T0 + 20));
    assert_false(uplink_may_start(&u, T0 + 20));
    receive(message(WIRE_REVOKE, 5, 77, 2, 1), T0 + 20);
    assert_true(uplink_may_start(&u, T0 + 20));
    assert_false(uplink_may_start(&u, T0 + LEASE));
}

static void many_heartbeats_fit_the_ring(void **state UNUSED)
{
    up();
    for (uint64_t i = 0; i < 10 * UPLINK_SENT_RING; i++)
        uplink_sent(&u, WIRE_HEARTBEAT, T0 + 100 + i);
    receive(message(WIRE_HEARTBEAT, 5, 77, 2, u.seq_out), T0 + 5000);
    assert_int_equal(uplink_lease_end(&u), T0 + 100 + 10 * UPLINK_SENT_RING - 1 + LEASE);
}

static int set_up(void **state UNUSED)
{
    arena_init(&arena, 0);
    buf_init(&out, 0);
    return 0;
}

static int tear_down(void **state UNUSED)
{
    arena_done(&arena);
    buf_done(&out);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_names_the_worker_and_what_it_holds),
        cmocka_unit_test(welcome_begins_a_session),
        cmocka_unit_test(what_ends_a_session),
        cmocka_unit_test(messages_that_cannot_be_read_end_it),
        cmocka_unit_test(greeting_hears_only_the_answer),
        cmocka_unit_test(no_welcome_means_a_new_socket),
        cmocka_unit_test(without_a_connection_hello_waits),
        cmocka_unit_test(silence_ends_it_after_a_lease),
        cmocka_unit_test(lease_counts_from_what_was_read),
        cmocka_unit_test(older_leases_wait_for_the_first_word),
        cmocka_unit_test(many_heartbeats_fit_the_ring),
    };
    return cmocka_run_group_tests_name("uplink", tests, set_up, tear_down);
}
