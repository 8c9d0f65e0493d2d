/*
 * TLB tags (VPID, ASID) of the vCPUs on a CPU. A tag is given when a vCPU is loaded and kept while
 * it stays on that CPU; when a CPU has given them all, a new round begins and its TLB is flushed.
 * What a vCPU left on another CPU is never used again: it comes back with a new tag.
 */
#pragma once

#include "hv/lib/types.h"

#define TAG_FIRST 1u /* 0 is the host's */

/* Of a CPU. */
struct tag_pool {
        uint32_t next;
        uint64_t round; /* 0: none was given yet */
};

/* Of a vCPU. All zero: it has none. */
struct tag {
        const struct tag_pool *pool;
        uint64_t round;
        uint32_t tag;
};

/*
 * Give the vCPU a tag of this CPU, from TAG_FIRST to max, unless it has one. Returns whether a new
 * round began: then the CPU must forget all tagged translations.
 */
static inline bool tag_take(struct tag *tag, struct tag_pool *pool, uint32_t max)
{
        bool new_round = false;

        if (tag->pool == pool && tag->round == pool->round)
                return false;
        if (!pool->round || pool->next > max) {
                pool->round++;
                pool->next = TAG_FIRST;
                new_round = true;
        }
        *tag = (struct tag){pool, pool->round, pool->next++};
        return new_round;
}
