/* fuzz_unpack.c: msgpack from anyone. Whatever is accepted was read whole and lies inside. */
#include "common/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads one value by its type, as a decoder would. */
static void read_value(struct unpack *u, unsigned depth)
{
    size_t n = 0;
    switch (unpack_peek(u)) {
    case UNPACK_INT:
        (void)unpack_i64(u);
        break;
    case UNPACK_FLOAT:
        (void)unpack_f64(u);
        break;
    case UNPACK_BOOL:
        (void)unpack_bool(u);
        break;
    case UNPACK_STR:
        (void)unpack_str(u);
        break;
    case UNPACK_BIN:
        (void)unpack_bin(u);
        break;
    case UNPACK_ARRAY:
        n = unpack_array(u);
        break;
    case UNPACK_MAP:
        n = 2 * unpack_map(u);
        break;
    default:
        unpack_skip(u);
    }
    for (size_t i = 0; i < n && unpack_ok(u) && depth < UNPACK_DEPTH_MAX; i++)
        read_value(u, depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct unpack u;
    unpack_init(&u, data, size);
    struct span raw = unpack_raw(&u);
    assert(!raw.p || (raw.p == (const char *)data && raw.len <= size));
    unpack_init(&u, data, size);
    while (unpack_ok(&u) && u.p < u.end)
        read_value(&u, 0);
    assert(u.p <= u.end);
    return 0;
}
