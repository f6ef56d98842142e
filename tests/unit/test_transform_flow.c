/* The table of flows: what goes when it is full, time that runs back. The features themselves are
 * compared with their definitions by tests/e2e/test_transform_pcap.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>

#include "common/buf.h"
#include "worker/transform/flow.h"

static int note(void *user, const struct flow *f, struct error *e)
{
    (void)e;
    buf_printf(user, "%d-%d %llu %s;", f->from.port, f->to.port,
               (unsigned long long)(f->forward.packets + f->backward.packets),
               flow_end_name(f->end));
    return ERR_OK;
}

static void add(struct flows *t, int64_t s, uint16_t from, uint16_t to, uint8_t flags)
{
    struct error e = {0};
    bool known;
    const struct packet p = {.ns = s * 1000000000,
                             .from.port = from,
                             .to.port = to,
                             .version = 4,
                             .protocol = PACKET_TCP,
                             .flags = flags,
                             .bytes = 40,
                             .header_bytes = 40};
    assert_int_equal(flows_add(t, &p, &known, &e), 0);
    assert_true(known);
}

static void expect(struct flows *t, struct buf *out, const char *want)
{
    struct error e = {0};
    assert_int_equal(flows_end(t, &e), 0);
    buf_byte(out, '\0');
    assert_string_equal((const char *)out->data, want);
    flows_free(t);
    buf_done(out);
}

static struct flows *table(uint32_t max, struct buf *out)
{
    struct error e = {0};
    struct flows *t = NULL;
    assert_int_equal(flows_new(FLOW_IDLE_S, FLOW_ACTIVE_S, max, note, out, &t, &e), 0);
    return t;
}

/* The one that was idle for longest makes room; one that is over before all others. */
static void full(void **state)
{
    (void)state;
    struct buf out = {0};
    struct flows *t = table(3, &out);
    add(t, 0, 1, 9, PACKET_SYN);
    add(t, 1, 2, 9, PACKET_SYN);
    add(t, 2, 3, 9, PACKET_SYN);
    add(t, 3, 9, 1, PACKET_ACK); /* the other direction of the first */
    add(t, 4, 4, 9, PACKET_SYN);
    add(t, 5, 1, 9, PACKET_RST);
    add(t, 6, 5, 9, PACKET_SYN);
    expect(t, &out, "2-9 1 full;1-9 3 full;3-9 1 capture;4-9 1 capture;5-9 1 capture;");
}

static void time_runs_back(void **state)
{
    (void)state;
    struct buf out = {0};
    struct flows *t = table(10, &out);
    add(t, 1000, 1, 9, PACKET_SYN);
    add(t, 10, 2, 9, PACKET_SYN);
    add(t, 1001 + FLOW_IDLE_S, 3, 9, PACKET_SYN);
    expect(t, &out, "1-9 1 idle;2-9 1 idle;3-9 1 capture;");
}

/* FIN from both sides, and what comes behind it. */
static void over(void **state)
{
    (void)state;
    struct buf out = {0};
    struct flows *t = table(10, &out);
    add(t, 0, 1, 9, PACKET_FIN | PACKET_ACK);
    add(t, 1, 1, 9, PACKET_SYN); /* not over yet */
    add(t, 2, 9, 1, PACKET_FIN | PACKET_ACK);
    add(t, 3, 1, 9, PACKET_ACK);
    add(t, 4, 1, 9, PACKET_SYN); /* another one */
    add(t, 5, 9, 1, PACKET_RST);
    add(t, 5 + FLOW_OVER_S + 1, 7, 9, PACKET_SYN);
    expect(t, &out, "1-9 4 over;1-9 2 over;7-9 1 capture;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full),
        cmocka_unit_test(time_runs_back),
        cmocka_unit_test(over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
