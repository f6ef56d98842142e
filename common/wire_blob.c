/* wire_blob.c: BLOB in both directions, and BEGUN, since tasks wait for blobs. */
#include "pack.h"
#include "unpack.h"
#include "wire.h"
#include "wire_part.h"

static struct span read_name(struct unpack *u)
{
    struct span name = unpack_bin(u);
    if (name.len == 0 || name.len > WIRE_BLOB_NAME_MAX)
        u->failed = true;
    return name;
}

void wire_blob_ask_pack(struct buf *out, const struct wire_blob_ask *m)
{
    pack_array(out, 4);
    pack_u64(out, m->what);
    pack_bin(out, m->name);
    pack_u64(out, m->offset);
    pack_u64(out, m->max);
}

int wire_blob_ask_read(struct span body, struct wire_blob_ask *ret, struct error *e)
{
    struct unpack u;
    struct wire_blob_ask m;
    size_t extra;
    unpack_init(&u, body.p, body.len);
    unpack_tuple(&u, 4, &extra);
    m.what = wire_part_u32(&u);
    m.name = read_name(&u);
    m.offset = unpack_u64(&u);
    m.max = wire_part_u32(&u);
    unpack_skip_n(&u, extra);
    int rc = wire_part_end(&u, false, "BLOB", e);
    if (rc == ERR_OK)
        *ret = m;
    return rc;
}

void wire_blob_answer_pack(struct buf *out, const struct wire_blob_answer *m)
{
    pack_array(out, 8);
    pack_u64(out, m->what);
    pack_bin(out, m->name);
    pack_u64(out, m->offset);
    pack_u64(out, m->next);
    pack_u64(out, m->total);
    pack_bin(out, m->data);
    pack_u64(out, m->code);
    wire_part_pack_text(out, m->detail);
}

int wire_blob_answer_read(struct span body, struct wire_blob_answer *ret, struct error *e)
{
    struct unpack u;
    struct wire_blob_answer m;
    size_t extra;
    unpack_init(&u, body.p, body.len);
    unpack_tuple(&u, 8, &extra);
    m.what = wire_part_u32(&u);
    m.name = read_name(&u);
    m.offset = unpack_u64(&u);
    m.next = unpack_u64(&u);
    m.total = unpack_u64(&u);
    m.data = unpack_bin(&u);
    m.code = wire_part_u32(&u);
    m.detail = wire_part_text_or_nil(&u);
    unpack_skip_n(&u, extra);
    int rc = wire_part_end(&u, false, "BLOB", e);
    if (rc == ERR_OK)
        *ret = m;
    return rc;
}

void wire_begun_pack(struct buf *out, const struct wire_token *tokens, size_t n)
{
    pack_array(out, n);
    for (size_t i = 0; i < n; i++) {
        pack_array(out, 3);
        wire_part_pack_token(out, &tokens[i]);
    }
}

int wire_begun_read(struct span body, struct arena *a, struct wire_token **ret, size_t *ret_n,
                    struct error *e)
{
    struct unpack u;
    size_t extra;
    bool nomem = false;
    unpack_init(&u, body.p, body.len);
    size_t n = wire_part_count(&u, 4, WIRE_TASKS_MAX);
    struct wire_token *tokens = wire_part_room(&u, a, n, sizeof *tokens, &nomem);
    for (size_t i = 0; i < n && unpack_ok(&u); i++) {
        unpack_tuple(&u, 3, &extra);
        tokens[i] = wire_part_token(&u);
        unpack_skip_n(&u, extra);
    }
    int rc = wire_part_end(&u, nomem, "BEGUN", e);
    if (rc == ERR_OK) {
        *ret = tokens;
        *ret_n = n;
    }
    return rc;
}
