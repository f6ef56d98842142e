#include "pack.h"

#include <msgpack/pack.h>

static int write_buf(void *data, const char *p, size_t n)
{
    struct buf *b = data;
    buf_append(b, p, n);
    return b->failed ? -1 : 0;
}

static msgpack_packer packer(struct buf *b)
{
    msgpack_packer pk;
    msgpack_packer_init(&pk, b, write_buf);
    return pk;
}

void pack_array(struct buf *b, size_t n)
{
    msgpack_packer pk = packer(b);
    msgpack_pack_array(&pk, n);
}

void pack_map(struct buf *b, size_t n_pairs)
{
    msgpack_packer pk = packer(b);
    msgpack_pack_map(&pk, n_pairs);
}

void pack_u64(struct buf *b, uint64_t v)
{
    msgpack_packer pk = packer(b);
    msgpack_pack_uint64(&pk, v);
}

void pack_i64(struct buf *b, int64_t v)
{
    msgpack_packer pk = packer(b);
    msgpack_pack_int64(&pk, v);
}

void pack_f64(struct buf *b, double v)
{
    msgpack_packer pk = packer(b);
    msgpack_pack_double(&pk, v);
}

void pack_bool(struct buf *b, bool v)
{
    msgpack_packer pk = packer(b);
    if (v)
        msgpack_pack_true(&pk);
    else
        msgpack_pack_false(&pk);
}

void pack_nil(struct buf *b)
{
    msgpack_packer pk = packer(b);
    msgpack_pack_nil(&pk);
}

void pack_str(struct buf *b, struct span s)
{
    msgpack_packer pk = packer(b);
    msgpack_pack_str(&pk, s.len);
    msgpack_pack_str_body(&pk, s.p, s.len);
}

void pack_cstr(struct buf *b, const char *s)
{
    if (s)
        pack_str(b, span_str(s));
    else
        pack_nil(b);
}

void pack_bin(struct buf *b, struct span s)
{
    msgpack_packer pk = packer(b);
    msgpack_pack_bin(&pk, s.len);
    msgpack_pack_bin_body(&pk, s.p, s.len);
}
