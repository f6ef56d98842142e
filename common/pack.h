/*
 * pack.h: writes msgpack (https://github.com/msgpack/msgpack/blob/master/spec.md) into a buf, by
 * msgpack-c. A failure sticks in the buf; check buf_ok() once at the end.
 */
#ifndef DROVER_PACK_H
#define DROVER_PACK_H

#include "buf.h"

void pack_array(struct buf *b, size_t n);
void pack_map(struct buf *b, size_t n_pairs);
void pack_u64(struct buf *b, uint64_t v);
void pack_i64(struct buf *b, int64_t v);
void pack_f64(struct buf *b, double v);
void pack_bool(struct buf *b, bool v);
void pack_nil(struct buf *b);
void pack_str(struct buf *b, struct span s);
void pack_cstr(struct buf *b, const char *s); /* NULL packs nil */
void pack_bin(struct buf *b, struct span s);

#endif
