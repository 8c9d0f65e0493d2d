/*
 * Which of the machine's NVRAM the pool may use, by the memory map and the command line:
 * nvram-use=, nvram-skip=, nvram-format= and nvram-bad=.
 */
#pragma once

#include "guest/config/config.h"
#include "mm/memmap.h"
#include "mm/pool/pool.h"

struct nvram_choice {
        struct pool_range range[MEMMAP_ENTRIES_MAX]; /* in order of addresses */
        size_t count;
        struct pool_bad bad;
        bool members_only; /* the command line has a mistake that may matter: format nothing */
};

/*
 * Choose; what is left alone, and each mistake, is logged with its key and address. Where a range
 * is both used and skipped, it is skipped; what is not used is not formatted. After a mistake
 * nothing is formatted: it may have kept somebody's data. false: the machine has no NVRAM.
 */
bool nvram_choose(const struct memmap *map, const struct hv_options *options,
                  struct nvram_choice *choice);

/* Put the addresses of nvram-bad= on the mounted pool's list for good; what cannot be is logged. */
void nvram_add_bad(struct pool *pool, const struct hv_options *options);
