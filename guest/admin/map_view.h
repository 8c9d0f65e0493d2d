/* The memory map, and what lies in DRAM and NVRAM, as tables and as bars of text. */
#pragma once

#include "guest/text/out.h"
#include "mm/dram/dram.h"
#include "mm/memmap.h"
#include "mm/pool/pool.h"

/* The map's ranges: first and last address, size, kind, source. */
void map_view_ranges(struct out *out, const struct memmap *map);

/* The same in the log, those of NVRAM at LOG_NOTICE, and the totals. */
void map_view_log(const struct memmap *map);

/* A bar for DRAM, and one for each range of NVRAM with a letter a region. Nothing in JSON. */
void map_view_bars(struct out *out, const struct memmap *map, const struct dram *dram,
                   struct pool *pool);

/* The legend of the bars: regions' letters and extents. pool NULL: none. */
void map_view_regions(struct out *out, struct pool *pool);
