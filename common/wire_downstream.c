/* wire_downstream.c: the messages about what workers call: CALLS, BREAKER, SINK. */
#include "wire.h"

#include "downstream.h"
#include "pack.h"
#include "wire_part.h"

/* Text that names a downstream; an empty or overlong one is malformed. */
static struct span read_name(struct unpack *u)
{
    struct span name = wire_part_text(u);
    if (name.len == 0 || name.len > DOWNSTREAM_NAME_MAX)
        u->failed = true;
    return name;
}

void wire_calls_pack(struct buf *out, const struct wire_calls *m, size_t n)
{
    pack_array(out, n);
    for (size_t i = 0; i < n; i++) {
        pack_array(out, 7);
        wire_part_pack_text(out, m[i].downstream);
        pack_u64(out, m[i].ok);
        pack_u64(out, m[i].fail);
        pack_u64(out, m[i].slow);
        pack_u64(out, m[i].waiting);
        wire_part_pack_text(out, m[i].error);
        pack_u64(out, m[i].row);
    }
}

int wire_calls_read(struct span body, struct arena *a, struct wire_calls **ret, size_t *ret_n,
                    struct error *e)
{
    struct unpack u;
    size_t extra;
    bool nomem = false;
    unpack_init(&u, body.p, body.len);
    const size_t n = wire_part_count(&u, 7, WIRE_TASKS_MAX);
    struct wire_calls *m = wire_part_room(&u, a, n, sizeof *m, &nomem);
    for (size_t i = 0; i < n && unpack_ok(&u); i++) {
        unpack_tuple(&u, 6, &extra);
        m[i].downstream = read_name(&u);
        m[i].ok = wire_part_u32(&u);
        m[i].fail = wire_part_u32(&u);
        m[i].slow = wire_part_u32(&u);
        m[i].waiting = wire_part_u32(&u);
        m[i].error = wire_part_text_or_nil(&u);
        m[i].row = extra > 0 ? wire_part_u32(&u) : m[i].ok > 0 ? 0 : m[i].fail;
        unpack_skip_n(&u, extra > 0 ? extra - 1 : 0);
    }
    const int rc = wire_part_end(&u, nomem, "CALLS", e);
    if (rc == ERR_OK) {
        *ret = m;
        *ret_n = n;
    }
    return rc;
}

void wire_breakers_pack(struct buf *out, const struct wire_breaker *m, size_t n)
{
    pack_array(out, n);
    for (size_t i = 0; i < n; i++) {
        pack_array(out, 2);
        wire_part_pack_text(out, m[i].downstream);
        pack_u64(out, m[i].state);
    }
}

int wire_breakers_read(struct span body, struct arena *a, struct wire_breaker **ret, size_t *ret_n,
                       struct error *e)
{
    struct unpack u;
    size_t extra;
    bool nomem = false;
    unpack_init(&u, body.p, body.len);
    const size_t n = wire_part_count(&u, 3, WIRE_TASKS_MAX);
    struct wire_breaker *m = wire_part_room(&u, a, n, sizeof *m, &nomem);
    for (size_t i = 0; i < n && unpack_ok(&u); i++) {
        unpack_tuple(&u, 2, &extra);
        m[i].downstream = read_name(&u);
        const uint64_t state = unpack_u64(&u);
        if (state > WIRE_BREAKER_QUARANTINED)
            u.failed = true;
        m[i].state = (enum wire_breaker_state)state;
        unpack_skip_n(&u, extra);
    }
    const int rc = wire_part_end(&u, nomem, "BREAKER", e);
    if (rc == ERR_OK) {
        *ret = m;
        *ret_n = n;
    }
    return rc;
}

void wire_sink_pack(struct buf *out, const struct wire_sink *m)
{
    pack_array(out, 3);
    wire_part_pack_text(out, m->name);
    wire_part_pack_text(out, m->kind);
    pack_array(out, m->n_settings);
    for (size_t i = 0; i < m->n_settings; i++) {
        pack_array(out, 2);
        wire_part_pack_text(out, m->settings[i].key);
        wire_part_pack_text(out, m->settings[i].value);
    }
}

int wire_sink_read(struct span body, struct arena *a, struct wire_sink *ret, struct error *e)
{
    struct unpack u;
    struct wire_sink m;
    size_t extra, more;
    bool nomem = false;
    unpack_init(&u, body.p, body.len);
    unpack_tuple(&u, 3, &extra);
    m.name = wire_part_text(&u);
    m.kind = wire_part_text(&u);
    m.n_settings = wire_part_count(&u, 3, WIRE_SINK_SETTINGS_MAX);
    m.settings = wire_part_room(&u, a, m.n_settings, sizeof *m.settings, &nomem);
    for (size_t i = 0; i < m.n_settings && unpack_ok(&u); i++) {
        unpack_tuple(&u, 2, &more);
        m.settings[i].key = wire_part_text(&u);
        m.settings[i].value = wire_part_text(&u);
        unpack_skip_n(&u, more);
    }
    unpack_skip_n(&u, extra);
    const int rc = wire_part_end(&u, nomem, "SINK", e);
    if (rc == ERR_OK)
        *ret = m;
    return rc;
}
