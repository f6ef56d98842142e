#include "parts.h"

struct parts *parts_new(struct parts_list *l, uint64_t job)
{
    struct parts *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    for (size_t i = 0; i < sizeof(p->job); i++)
        p->job[i] = (uint8_t)(job >> (56 - 8 * i));
    buf_init(&p->bytes, PARTS_BYTES_MAX);
    p->next = l->first;
    l->first = p;
    return p;
}

void parts_free(struct parts_list *l, struct parts *p)
{
    if (!p)
        return;
    struct parts **at = &l->first;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    buf_done(&p->bytes);
    free(p);
}

static struct span name_of(const struct parts *p)
{
    return (struct span){(const char *)p->job, sizeof(p->job)};
}

bool parts_ask(struct parts_list *l, uint64_t now_ms, struct wire_blob_ask *ret)
{
    for (struct parts *p = l->first; p; p = p->next) {
        if (p->state != PARTS_WAITING || p->asked || p->again_ms > now_ms)
            continue;
        p->asked = true;
        *ret = (struct wire_blob_ask){.what = WIRE_BLOB_PARTS,
                                      .name = name_of(p),
                                      .offset = p->cursor,
                                      .max = PARTS_ASK_BYTES};
        return true;
    }
    return false;
}

static void take(struct parts *p, const struct wire_blob_answer *m)
{
    buf_append(&p->bytes, m->data.p, m->data.len);
    p->cursor = m->next;
    if (!buf_ok(&p->bytes)) {
        error_set(
            &p->error, ERR_LIMIT,
            "what the tasks of the job came to has more than %d bytes: fewer groups, or a sink with "
            "mode merge, which adds them up by itself",
            PARTS_BYTES_MAX);
        p->state = PARTS_FAILED;
    } else if (m->next == m->total) {
        p->state = PARTS_READY;
    }
}

void parts_answer(struct parts_list *l, uint64_t now_ms, const struct wire_blob_answer *m)
{
    for (struct parts *p = l->first; p; p = p->next) {
        if (!p->asked || !span_eq(name_of(p), m->name) || p->cursor != m->offset)
            continue;
        p->asked = false;
        if (m->code == ERR_OK) {
            take(p, m);
        } else if (err_class((enum err)m->code) == ERR_CLASS_RETRY) {
            p->again_ms = now_ms + PARTS_PAUSE_MS;
        } else {
            error_set(&p->error, (enum err)m->code, "%.*s", (int)m->detail.len,
                      m->detail.p ? m->detail.p : "");
            p->state = PARTS_FAILED;
        }
        return;
    }
}

void parts_session(struct parts_list *l)
{
    for (struct parts *p = l->first; p; p = p->next)
        p->asked = false;
}

uint64_t parts_deadline(const struct parts_list *l)
{
    uint64_t at = UINT64_MAX;
    for (const struct parts *p = l->first; p; p = p->next)
        if (p->state == PARTS_WAITING && !p->asked)
            at = MIN(at, p->again_ms);
    return at;
}
