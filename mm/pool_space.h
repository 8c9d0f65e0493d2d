/* The pool's map of granules in DRAM, derived from the records, and the allocator on it. */
#pragma once

#include "mm/pool.h"

bool pool_space_is_used(const struct pool_member *member, uint32_t granule);

/* Mark [start, start + count), which lies in the member, as used or free. */
void pool_space_set(struct pool_member *member, uint32_t start, uint32_t count, bool used);

/*
 * Take that many granules, in *count extents, POOL_EXTENTS_MAX at most: one run if possible,
 * and 1 GiB-aligned by HPA for a region of 1 GiB and more as far as free space allows. -ENOSPC:
 * nothing was taken.
 */
must_check int pool_space_take(struct pool *pool, uint64_t granules,
                               struct pool_media_extent *extent, uint32_t *count);

/* Free granules of the whole pool. */
uint64_t pool_space_free(const struct pool *pool);
