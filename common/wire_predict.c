/* wire_predict.c: PREDICT and PREDICTED. */
#include "blob.h"
#include "pack.h"
#include "unpack.h"
#include "wire.h"
#include "wire_part.h"

static void pack_bin_or_nil(struct buf *out, struct span s)
{
    if (s.p)
        pack_bin(out, s);
    else
        pack_nil(out);
}

static struct span read_name(struct unpack *u, bool may_be_nil)
{
    struct span name = unpack_bin(u);
    if (name.len != BLOB_NAME_BYTES && (name.p || !may_be_nil))
        u->failed = true;
    return name;
}

void wire_predict_pack(struct buf *out, const struct wire_predict *m)
{
    pack_array(out, 6);
    pack_u64(out, m->id);
    pack_bin(out, m->blob);
    pack_bin_or_nil(out, m->sample);
    pack_f64(out, m->tolerance);
    pack_u64(out, m->deadline_ms);
    pack_bin_or_nil(out, m->rows);
}

int wire_predict_read(struct span body, struct wire_predict *ret, struct error *e)
{
    struct unpack u;
    struct wire_predict m;
    size_t extra;
    unpack_init(&u, body.p, body.len);
    unpack_tuple(&u, 6, &extra);
    m.id = unpack_u64(&u);
    m.blob = read_name(&u, false);
    m.sample = read_name(&u, true);
    m.tolerance = unpack_f64(&u);
    m.deadline_ms = wire_part_u32(&u);
    m.rows = unpack_bin(&u);
    if (!(m.tolerance >= 0 && m.tolerance <= 1))
        u.failed = true;
    unpack_skip_n(&u, extra);
    int rc = wire_part_end(&u, false, "PREDICT", e);
    if (rc == ERR_OK)
        *ret = m;
    return rc;
}

void wire_predicted_pack(struct buf *out, const struct wire_predicted *m)
{
    pack_array(out, 4);
    pack_u64(out, m->id);
    pack_u64(out, m->code);
    wire_part_pack_text(out, m->detail);
    pack_bin_or_nil(out, m->rows);
}

int wire_predicted_read(struct span body, struct wire_predicted *ret, struct error *e)
{
    struct unpack u;
    struct wire_predicted m;
    size_t extra;
    unpack_init(&u, body.p, body.len);
    unpack_tuple(&u, 4, &extra);
    m.id = unpack_u64(&u);
    m.code = wire_part_u32(&u);
    m.detail = wire_part_text_or_nil(&u);
    m.rows = unpack_bin(&u);
    unpack_skip_n(&u, extra);
    int rc = wire_part_end(&u, false, "PREDICTED", e);
    if (rc == ERR_OK)
        *ret = m;
    return rc;
}
