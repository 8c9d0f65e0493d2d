/* Work for a CPU at rest; contract in idle.h. */
#include "guest/life/idle.h"

#include "hv/cpu.h"

#define GUESS_MS 5 /* a granule, before the first was timed */

bool idle_scrub(struct pool *pool, uint32_t tsc_khz, uint64_t until)
{
        static uint64_t cost; /* TSC ticks of a granule, as the last one was */
        uint64_t now = cpu_rdtsc();

        if (!pool || !pool->dying)
                return false;
        if (!cost)
                cost = (uint64_t)tsc_khz * GUESS_MS;
        if (until < now || until - now < 2 * cost)
                return false;
        pool_scrub(pool, 1);
        cost = cpu_rdtsc() - now;
        return true;
}
