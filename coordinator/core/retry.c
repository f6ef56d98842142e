#include "retry.h"

uint64_t retry_random(struct retry_rng *r)
{
    uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t retry_ceiling_ms(uint32_t base_ms, uint32_t max_ms, uint32_t attempts)
{
    if (attempts == 0)
        return 0;
    uint32_t shift = MIN(attempts - 1, 31u); /* 32 bits of base cannot overflow */
    uint64_t grown = (uint64_t)base_ms << shift;
    return max_ms > 0 ? MIN(grown, (uint64_t)max_ms) : grown;
}

uint64_t retry_delay_ms(struct retry_rng *r, uint32_t base_ms, uint32_t max_ms, uint32_t attempts,
                        uint32_t floor_ms)
{
    uint64_t ceiling = retry_ceiling_ms(base_ms, max_ms, attempts);
    uint64_t wait = retry_random(r) % (ceiling + 1);
    return MAX(wait, (uint64_t)floor_ms);
}
