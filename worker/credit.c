#include "credit.h"

void credit_init(struct credit *c, uint32_t slots, uint64_t result_budget_bytes, uint64_t now_ms)
{
    *c = (struct credit){.slots = slots,
                         .result_budget_bytes = result_budget_bytes,
                         .prefill = CREDIT_PREFILL_MIN,
                         .measured_ms = now_ms};
}

void credit_session(struct credit *c)
{
    c->assigned = c->announced = (struct wire_credit){0};
}

void credit_assigned(struct credit *c, size_t tasks, uint64_t bytes)
{
    c->assigned.tasks += tasks;
    c->assigned.bytes += bytes;
}

void credit_measure(struct credit *c, const struct credit_state *state, uint64_t now_ms)
{
    const uint64_t elapsed_ms = now_ms - c->measured_ms;
    if (elapsed_ms < CREDIT_PREFILL_MS)
        return;
    const uint64_t finished = state->finished - c->measured_finished;
    const uint64_t prefill = finished * CREDIT_PREFILL_MS / elapsed_ms;
    c->prefill =
        (uint32_t)MAX(MIN(prefill, (uint64_t)CREDIT_PREFILL_MAX), (uint64_t)CREDIT_PREFILL_MIN);
    c->measured_ms = now_ms;
    c->measured_finished = state->finished;
}

bool credit_due(const struct credit *c, const struct credit_state *state, struct wire_credit *ret)
{
    const uint64_t budget = c->result_budget_bytes;
    const bool closed = state->closed || state->result_bytes >= budget ||
                        state->landing_bytes >= budget || state->results >= CREDIT_RESULTS_MAX;
    uint64_t window = (uint64_t)c->slots + c->prefill;
    if (!closed && state->landing_bytes > 0) /* rounded up: some of it, until the budget is used */
        window =
            (uint64_t)((double)window * (double)(budget - state->landing_bytes) / (double)budget) +
            1;
    uint64_t tasks = 0, bytes = 0;
    if (!closed && state->in_hand < window && state->input_bytes < CREDIT_INPUT_BYTES) {
        tasks = MIN(window - state->in_hand, (uint64_t)(CREDIT_RESULTS_MAX - state->results));
        bytes = CREDIT_INPUT_BYTES - state->input_bytes;
    }
    *ret = (struct wire_credit){c->assigned.tasks + tasks, c->assigned.bytes + bytes};
    const uint64_t open =
        c->announced.tasks > c->assigned.tasks ? c->announced.tasks - c->assigned.tasks : 0;
    if (tasks == 0)
        return open > 0; /* take back what is open */
    /* More, as soon as it is a quarter of the window: a message for each task would cost more than
     * the tasks do. */
    return tasks >= open + MAX(window / 4, UINT64_C(1)) ||
           (open == 0 && c->announced.tasks != ret->tasks);
}
