#include "downstream.h"

#include "hash.h"

bool downstream_is_host(struct span name)
{
    const size_t n = sizeof(DOWNSTREAM_HOST_PREFIX) - 1;
    return name.len > n && memcmp(name.p, DOWNSTREAM_HOST_PREFIX, n) == 0;
}

uint64_t downstream_hash(struct span name)
{
    const size_t skip = downstream_is_host(name) ? sizeof(DOWNSTREAM_HOST_PREFIX) - 1 : 0;
    return hash_64(name.p + skip, name.len - skip, 0);
}
