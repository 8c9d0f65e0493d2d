/*
 * The pool's free granules, in DRAM, derived from the records: maximal free runs. Each range has
 * its runs in a tree by address (a treap: splitting and joining cost the logarithm of the number of
 * runs), and all runs hang in bins by size (two-level segregated fit: Masmano et al., TLSF, 2004),
 * so that neither finding room nor giving it back depends on how large the pool is.
 */
#pragma once

#include "mm/pool/pool.h"

/* One run. Numbers of runs are indices + 1; 0 is none. */
struct pool_run {
        uint32_t start, count; /* granules of its range */
        uint32_t left, right;  /* in the tree */
        uint32_t next, prev;   /* in the bin */
        uint32_t member;
};

/* The most runs there can be: between the used stretches of that many granules and extents. */
uint32_t pool_space_room(uint64_t granules, uint64_t extents, size_t members);

/* Start without a free granule. run has room for that many runs, of any contents. */
void pool_space_init(struct pool_space *space, struct pool_run *run, uint32_t room);

/* Take exactly these granules of a range; false, and nothing taken, if one of them is not free. */
bool pool_space_claim(struct pool *pool, uint32_t range, uint32_t start, uint32_t count);

/* Give these granules, none of which is free, back. */
void pool_space_release(struct pool *pool, uint32_t range, uint32_t start, uint32_t count);

/*
 * Take that many granules and append them to extent[0 .. *count), which has room for max: behind
 * the last extent if there is room, one run if possible, and 1 GiB-aligned by HPA for 1 GiB and
 * more as far as free space allows. -ENOSPC: nothing was taken.
 */
must_check int pool_space_take(struct pool *pool, uint64_t granules,
                               struct pool_media_extent *extent, uint32_t *count, uint32_t max);

/* The first free run of a range that starts at or behind granule `from`; NULL: none. */
const struct pool_run *pool_space_next(const struct pool *pool, uint32_t range, uint32_t from);
