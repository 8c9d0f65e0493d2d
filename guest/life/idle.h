/* What CPU 0 does while no guest wants it: scrubs released NVRAM. */
#pragma once

#include "mm/pool/pool.h"

/*
 * Scrub a granule, some hundreds of microseconds, where nobody will want the CPU before the TSC
 * reaches until, or twice as long as the last granule took: so nothing is ever late. Whether one
 * was scrubbed. pool may be NULL.
 */
bool idle_scrub(struct pool *pool, uint32_t tsc_khz, uint64_t until);
