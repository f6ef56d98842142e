/* fuzz_wire.c: a frame from anyone: envelope, then the body as every message. */
#include "common/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_worker_messages(struct span body, struct arena *a)
{
    struct wire_hello hello;
    struct wire_welcome welcome;
    struct wire_credit credit;
    struct wire_assign assign;
    struct wire_result *results;
    struct wire_verdict *verdicts;
    struct wire_heartbeat heartbeat;
    struct wire_token *tokens;
    struct wire_blob_ask ask;
    struct wire_blob_answer answer;
    struct wire_predict predict;
    struct wire_predicted predicted;
    struct wire_calls *calls;
    struct wire_breaker *breakers;
    struct wire_sink sink;
    size_t n;
    bool on;
    (void)!wire_hello_read(body, a, &hello, NULL);
    (void)!wire_welcome_read(body, &welcome, NULL);
    (void)!wire_credit_read(body, &credit, NULL);
    (void)!wire_assign_read(body, a, &assign, NULL);
    (void)!wire_results_read(body, a, &results, &n, NULL);
    (void)!wire_verdicts_read(body, a, &verdicts, &n, NULL);
    (void)!wire_heartbeat_read(body, a, &heartbeat, NULL);
    (void)!wire_drain_read(body, &on, NULL);
    (void)!wire_begun_read(body, a, &tokens, &n, NULL);
    (void)!wire_blob_ask_read(body, &ask, NULL);
    (void)!wire_blob_answer_read(body, &answer, NULL);
    (void)!wire_predict_read(body, &predict, NULL);
    (void)!wire_predicted_read(body, &predicted, NULL);
    (void)!wire_calls_read(body, a, &calls, &n, NULL);
    (void)!wire_breakers_read(body, a, &breakers, &n, NULL);
    (void)!wire_sink_read(body, a, &sink, NULL);
}

static void read_client_messages(struct span body)
{
    struct wire_request request;
    struct wire_error error;
    struct span text;
    uint32_t code;
    uint64_t seq;
    (void)!wire_refuse_read(body, &code, &text, NULL);
    (void)!wire_reason_read(body, &text, NULL);
    (void)!wire_request_read(body, &request, NULL);
    (void)!wire_reply_read(body, &seq, &text, NULL);
    (void)!wire_error_read(body, &error, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span message = {(const char *)data, size};
    struct wire_frame frame = {0};
    struct arena arena;
    int rc = wire_frame_read(message, &frame, NULL);
    /* without a good envelope the bytes are tried as a body, to reach the readers sooner */
    struct span body = rc == ERR_OK || rc == ERR_PROTOCOL_MISMATCH ? frame.body : message;
    arena_init(&arena, 0);
    read_worker_messages(body, &arena);
    read_client_messages(body);
    /* what a message costs in memory is bounded by its length */
    assert(arena.used_bytes <= 64 * size + 4096);
    arena_done(&arena);
    return 0;
}
